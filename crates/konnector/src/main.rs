//! The konnector's process.

use std::process::ExitCode;

use portolan_konnector::{Args, run};

fn main() -> ExitCode {
    match portolan_runtime::args::parse::<Args>("konnector") {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
