//! The gateway's process.

use std::process::ExitCode;

use portolan_gateway::{Args, run};

fn main() -> ExitCode {
    match Args::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
