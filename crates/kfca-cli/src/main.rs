//! The process of the exchange's client.

use std::process::ExitCode;

use portolan_kfca_cli::{CliArgs, run};

fn main() -> ExitCode {
    match CliArgs::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
