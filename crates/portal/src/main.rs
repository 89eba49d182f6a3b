//! The portal's process.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use portolan_portal::{Args, run};

/// Returns the memory of large lists to the system; see ADR 16.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match portolan_runtime::args::parse::<Args>("portal") {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
