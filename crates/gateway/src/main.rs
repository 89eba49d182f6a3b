//! The gateway's process.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use portolan_gateway::{Args, run};

/// Keeps subscribers smaller, and returns the memory of lists to the system; see ADR 21.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Args::read() {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
