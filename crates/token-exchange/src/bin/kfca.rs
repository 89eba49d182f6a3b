//! The process of the token exchange under the name that its clients know: the same program, which looks at its own
//! name.

use std::process::ExitCode;

use portolan_token_exchange::{ExchangeArgs, run};

fn main() -> ExitCode {
    match ExchangeArgs::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
