//! The token service's process.

use std::process::ExitCode;

use portolan_token_service::{TokenServiceArgs, run};

fn main() -> ExitCode {
    match TokenServiceArgs::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
