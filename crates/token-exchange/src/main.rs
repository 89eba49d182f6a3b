//! The process of the token exchange.

use std::process::ExitCode;

use portolan_token_exchange::{Args, run};

fn main() -> ExitCode {
    match Args::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
