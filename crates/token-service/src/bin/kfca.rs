//! The exchange's process under the name that its clients know: the same program, which looks at its own name.

use std::process::ExitCode;

use portolan_token_service::{Args, run};

fn main() -> ExitCode {
    match Args::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
