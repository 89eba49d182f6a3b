//! Path of the workspace, and Cargo's facts about it.

use std::{
    env::{self, consts::ARCH},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

/// The workspace's own packages, without resolving their dependencies: fast.
pub fn members() -> Result<Metadata> {
    MetadataCommand::new().no_deps().exec().context("reading the workspace")
}

/// The whole dependency graph, exactly as Cargo.lock has it.
pub fn graph() -> Result<Metadata> {
    MetadataCommand::new().other_options(["--locked".to_owned()]).exec().context(
        "reading the dependency graph; if Cargo.lock is out of date, `cargo check` brings it up to date",
    )
}

/// The same for one platform: the Linux that runs this program.
pub fn linked() -> Result<Metadata> {
    let target = format!("{ARCH}-unknown-linux-gnu");
    let options = ["--locked", "--filter-platform", &target].map(str::to_owned);
    MetadataCommand::new()
        .other_options(options)
        .exec()
        .context("reading the dependency graph of one platform")
}

/// The folder of the workspace. Asked at run time: a build can be shared by several checkouts.
pub fn root() -> Result<PathBuf> {
    Ok(members()?.workspace_root.into_std_path_buf())
}

/// Path of the program that runs, to start it again. Cargo may have put a newer build in its place since it started; the
/// kernel then names the old file, which nobody can start.
pub fn own_program() -> Result<PathBuf> {
    let path = env::current_exe().context("finding this program")?;
    Ok(in_its_place(&path))
}

fn in_its_place(path: &Path) -> PathBuf {
    match path.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(place) if !path.exists() => PathBuf::from(place),
        _ => path.to_path_buf(),
    }
}

/// Names of the integration tests in `packages`, with their source files.
pub fn test_targets<'a>(
    packages: impl IntoIterator<Item = &'a Package>,
) -> impl Iterator<Item = (&'a str, &'a Path)> {
    packages
        .into_iter()
        .flat_map(|package| &package.targets)
        .filter(|target| target.kind.contains(&TargetKind::Test))
        .map(|target| (target.name.as_str(), target.src_path.as_std_path()))
}

/// Every Rust file of the workspace, sorted, relative to `root`.
pub fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["crates", "fuzz", "tests", "xtask"] {
        collect(&root.join(folder), &mut found)?;
    }
    found.sort();
    Ok(found.into_iter().filter_map(|file| Some(file.strip_prefix(root).ok()?.to_path_buf())).collect())
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_built_again_is_found_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("xtask");
        let gone = folder.path().join("xtask (deleted)");
        assert_eq!(in_its_place(&place), place);
        assert_eq!(in_its_place(&gone), place);

        fs::write(&gone, "a program with this very name").unwrap();
        assert_eq!(in_its_place(&gone), gone);
    }
}
