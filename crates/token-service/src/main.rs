//! The token service's process.

use std::process::ExitCode;

use portolan_token_service::{Args, run};

fn main() -> ExitCode {
    match Args::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
