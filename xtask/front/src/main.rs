//! Starts `cargo xtask VERB`: builds the verbs and hands over to them.
//!
//! Half the workspace is in the verbs, so a first build takes minutes. This program takes a second, and shows from
//! then on what goes on. Where a verb needs control planes, Go builds them at the same time.

mod building;

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
};

use building::Building;

/// Verbs that start control planes as soon as they are built.
const WITH_CONTROL_PLANES: [&str; 3] = ["bench", "torture", "up"];
/// Exit code where something cannot be built or started.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match run(&arguments) {
        // A build that fails has said why.
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn run(arguments: &[OsString]) -> io::Result<ExitCode> {
    // The verbs are built into the directory that this program is in.
    let program = env::current_exe()?;
    let directory = program.parent().map(Path::to_path_buf).unwrap_or_default();
    let verb = arguments.iter().find_map(|argument| argument.to_str().filter(|text| !text.starts_with('-')));
    let verb = verb.unwrap_or_default();
    if !directory.join("xtask").exists() {
        say("building this project's commands; the first time takes some minutes, later seconds");
    }
    let go = if WITH_CONTROL_PLANES.contains(&verb) { start_go(&directory)? } else { None };
    // `up` runs every service, so that all is built at once.
    let packages: &[&str] = match verb {
        "up" => &["--workspace", "--exclude", "xtask-bench", "--bins"],
        "bench" => &["--package", "xtask", "--package", "xtask-bench"],
        _ => &["--package", "xtask"],
    };
    if !cargo(packages)? || !has_built(go)? {
        return Ok(ExitCode::from(FAILED));
    }
    // This process becomes the verb: signals reach it, and its exit code is ours. It comes back only where that fails.
    Err(Command::new(directory.join("xtask")).args(arguments).exec())
}

/// Starts the build of the control planes' programs, which ends at once where they are there.
fn start_go(directory: &Path) -> io::Result<Option<Child>> {
    if !cargo(&["--package", "portolan-control-plane"])? {
        return Err(io::Error::other("what builds the control plane does not compile"));
    }
    let program: PathBuf = directory.join("control-plane");
    Command::new(program).spawn().map(Some)
}

fn has_built(go: Option<Child>) -> io::Result<bool> {
    go.map_or(Ok(true), |mut go| Ok(go.wait()?.success()))
}

fn cargo(packages: &[&str]) -> io::Result<bool> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--profile", "ci"]).args(packages);
    if io::stderr().is_terminal() {
        // Cargo draws its own progress.
        return Ok(command.status()?.success());
    }
    Building::start(command)?.finish()
}

/// A line for a person. A closed pipe is no reason to panic.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
