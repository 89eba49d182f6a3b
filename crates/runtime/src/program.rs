//! Another program in the place of this process.

use std::{ffi::OsString, io, os::unix::process::CommandExt as _, process::Command};

/// Becomes the program of a name: the one beside ours, or else one on the `PATH`. `line` is its whole command line.
/// Comes back only when that fails, and says why.
pub fn become_program(name: &str, line: &[OsString]) -> io::Error {
    let own = std::env::current_exe().ok();
    let beside = own.map(|own| own.with_file_name(name)).filter(|program| program.is_file());
    let mut command = Command::new(beside.unwrap_or_else(|| name.into()));
    if let Some((called, arguments)) = line.split_first() {
        command.arg0(called).args(arguments);
    }
    command.exec()
}
