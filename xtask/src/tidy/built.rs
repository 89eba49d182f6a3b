//! The packages that are really built.
//!
//! `cargo metadata` also lists those that only a feature nobody turned on would bring: `rustls?/ring` puts ring into
//! Cargo.lock although nothing compiles it. Such a package must not need an exception in `deny.toml`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use cargo_metadata::{FeatureName, Metadata, Package, PackageId};

/// Finds the packages that are reachable from the workspace over dependencies that are turned on, on any platform.
pub(super) fn packages(graph: &Metadata) -> Result<Vec<Package>> {
    let resolve = graph.resolve.as_ref().context("cargo metadata answered without a graph")?;
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let packages: BTreeMap<_, _> = graph.packages.iter().map(|package| (&package.id, package)).collect();
    let mut reached: BTreeSet<&PackageId> = graph.workspace_members.iter().collect();
    let mut open: Vec<_> = reached.iter().copied().collect();
    while let Some(id) = open.pop() {
        let (package, node) = (packages[id], nodes[id]);
        for next in node.deps.iter().map(|dependency| &dependency.pkg) {
            if is_on(package, &node.features, &packages[next].name) && reached.insert(next) {
                open.push(next);
            }
        }
    }
    Ok(graph.packages.iter().filter(|package| reached.contains(&package.id)).cloned().collect())
}

/// Returns `true` if `package` with these features depends on `name`.
pub fn is_on(package: &Package, features: &[FeatureName], name: &str) -> bool {
    package.dependencies.iter().filter(|dependency| dependency.name == name).any(|dependency| {
        let key = dependency.rename.as_deref().unwrap_or(name);
        let turned_on =
            || features.iter().filter_map(|f| package.features.get(&**f)).flatten().any(|f| enables(f, key));
        !dependency.optional || turned_on()
    })
}

/// Returns `true` if a feature's entry turns an optional dependency on: `dep:key` and `key/feature`, but not
/// `key?/feature`.
fn enables(entry: &str, key: &str) -> bool {
    entry.strip_prefix("dep:").is_some_and(|name| name == key)
        || entry.split_once('/').is_some_and(|(name, _)| name == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_features() {
        for (entry, expected) in [
            ("dep:ring", true),
            ("ring/std", true),
            ("ring?/std", false),
            ("ring", false),
            ("dep:ring-core", false),
        ] {
            assert_eq!(enables(entry, "ring"), expected, "{entry}");
        }
    }
}
