//! Paths of our own binaries: cargo puts them next to the program that runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The binary of `service`, from the target directory of the running test, bench or xtask.
pub fn find(service: &str) -> Result<PathBuf> {
    let directory = directory()?;
    let program = directory.join(service);
    let there = program.is_file().then_some(program);
    there.with_context(|| {
        let directory = directory.display();
        format!("there is no {service} in {directory}: run `cargo build --profile ci -p portolan-{service}`")
    })
}

/// Directory of all of them.
pub(crate) fn directory() -> Result<PathBuf> {
    let running = std::env::current_exe().context("cannot tell which program is running")?;
    binaries_of(&running).map(Path::to_owned).context("the running program has no directory")
}

/// Tests and examples are in a directory below the one of the binaries.
fn binaries_of(running: &Path) -> Option<&Path> {
    let directory = running.parent()?;
    let below = ["deps", "examples"].iter().any(|name| directory.ends_with(name));
    if below { directory.parent() } else { Some(directory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_and_a_binary_find_the_same_directory() {
        let expected = Some(Path::new("/t/ci"));
        for running in ["/t/ci/deps/konnector-0f", "/t/ci/xtask", "/t/ci/examples/x"] {
            assert_eq!(binaries_of(Path::new(running)), expected, "{running}");
        }
    }

    #[test]
    fn a_missing_binary_names_the_command_that_builds_it() {
        let error = find("no-such-service").unwrap_err().to_string();
        assert!(error.ends_with("run `cargo build --profile ci -p portolan-no-such-service`"), "{error}");
    }
}
