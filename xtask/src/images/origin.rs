//! Ingredients of an image: version, commit and time, all of them the same however often it is built.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::workspace;

/// The origin of an image's sources.
pub(super) struct Origin {
    pub(super) version: String,
    /// The commit, or `unknown` outside of a repository. With `-dirty` when something is not committed.
    pub(super) revision: String,
    /// The time of every file, in seconds since 1970: that of the commit, or `SOURCE_DATE_EPOCH`.
    pub(super) seconds: i64,
}

impl Origin {
    /// The sources in `root`.
    pub(super) fn of(root: &Path) -> Result<Self> {
        let metadata = workspace::members()?;
        let package = metadata.packages.iter().find(|package| package.name == "portolan-runtime");
        let revision = git(root, &["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]);
        let seconds = match env::var_os("SOURCE_DATE_EPOCH") {
            Some(given) => Some(given.to_string_lossy().into_owned()),
            None => git(root, &["log", "-1", "--format=%ct"]),
        };
        Ok(Self {
            version: package.context("the workspace has a version")?.version.to_string(),
            revision: revision.unwrap_or_else(|| "unknown".to_owned()),
            seconds: seconds.map_or(Ok(0), |text| text.parse()).context("SOURCE_DATE_EPOCH is in seconds")?,
        })
    }

    /// The time as people write it.
    pub(super) fn created(&self) -> Result<String> {
        Ok(Timestamp::from_second(self.seconds).context("SOURCE_DATE_EPOCH")?.to_string())
    }
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root).stderr(Stdio::null()).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}
