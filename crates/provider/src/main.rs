//! The provider's process.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use portolan_provider::{ProviderArgs, run};

/// Gives back what large schemas took; see ADR 16.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match portolan_runtime::args::parse::<ProviderArgs>("provider") {
        Ok(args) => run(&args),
        Err(code) => code,
    }
}
