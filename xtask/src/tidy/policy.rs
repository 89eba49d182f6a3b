//! `deny.toml`, in cargo-deny's own format: the parts of it that are checked here.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use cargo_metadata::semver::{Version, VersionReq};
use serde::{Deserialize, de::Error as _};

/// The rules for dependencies.
#[derive(Deserialize)]
pub(super) struct Policy {
    pub(super) bans: Bans,
    pub(super) licenses: Licenses,
    pub(super) sources: Sources,
}

/// Crates that must not be there, or only once.
#[derive(Deserialize)]
pub(super) struct Bans {
    pub(super) deny: Vec<Ban>,
    pub(super) skip: Vec<Ban>,
}

/// A crate, and why it is listed. The reason is not optional: a list without reasons only grows.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Ban {
    #[serde(rename = "crate")]
    pub(super) spec: Spec,
    pub(super) reason: String,
}

/// `name` or `name@requirement`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) version: VersionReq,
}

impl Spec {
    pub(super) fn matches(&self, name: &str, version: &Version) -> bool {
        self.name == name && self.version.matches(version)
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (name, version) = text.split_once('@').unwrap_or((&text, "*"));
        let version = version.parse().map_err(|error| D::Error::custom(format!("{text}: {error}")))?;
        Ok(Self { name: name.to_owned(), version })
    }
}

/// Licences that a crate may have.
#[derive(Deserialize)]
pub(super) struct Licenses {
    pub(super) allow: Vec<String>,
    #[serde(default)]
    pub(super) exceptions: Vec<Exception>,
}

/// Further licences that one crate may have.
#[derive(Deserialize)]
pub(super) struct Exception {
    #[serde(rename = "crate")]
    pub(super) spec: Spec,
    pub(super) allow: Vec<String>,
}

/// The permitted sources of crates.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Sources {
    pub(super) allow_registry: Vec<String>,
}

impl Policy {
    pub(super) fn load(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
        toml::from_str(&text).context("deny.toml")
    }
}
