//! `cargo xtask bench SERVICE`: a program of its own, so that no other verb has to wait for it to compile.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Arguments of the verb: `cargo xtask bench --help` lists them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// The service, and what the benches take beside it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds the benches, and becomes them.
pub fn run(args: &Args) -> Result<ExitCode> {
    let metadata = workspace::members()?;
    let built = Command::new("cargo")
        .args(["build", "--profile", "ci", "--package", "xtask", "--package", "xtask-bench"])
        .current_dir(&metadata.workspace_root)
        .status()
        .context("starting cargo")?;
    ensure!(built.success(), "the benches do not build");
    let program = metadata.target_directory.join("ci/xtask-bench");
    Err(Command::new(&program).args(&args.arguments).exec()).with_context(|| format!("starting {program}"))
}
