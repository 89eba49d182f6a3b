//! The konnector's process.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use portolan_konnector::{KonnectorArgs, run};

/// Gives back what large schemas took; see ADR 16.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match portolan_runtime::args::parse::<KonnectorArgs>("konnector") {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
