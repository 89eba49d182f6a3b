//! The process of the token exchange.

use std::process::ExitCode;

use portolan_token_exchange::{ExchangeArgs, run};

fn main() -> ExitCode {
    match ExchangeArgs::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
