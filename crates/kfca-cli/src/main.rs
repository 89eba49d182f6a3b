//! The process of the exchange's client.

use std::process::ExitCode;

use portolan_kfca_cli::{Args, run};

fn main() -> ExitCode {
    match Args::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
