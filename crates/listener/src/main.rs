//! The listener's process.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use portolan_listener::{Args, run};

/// Returns the memory of large schemas to the system; see ADR 16 and ADR 24.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match portolan_runtime::args::parse::<Args>("listener") {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
