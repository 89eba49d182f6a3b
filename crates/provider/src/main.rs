//! The provider's process.

use std::process::ExitCode;

use portolan_provider::{Args, run};

fn main() -> ExitCode {
    match portolan_runtime::args::parse::<Args>("provider") {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
