//! A bill of materials of an image: `CycloneDX` 1.5 in JSON.
//!
//! Crates are those that Cargo links into the binary, with the checksums of Cargo.lock; what comes from the
//! distribution is what `docker/assemble` recorded. It names the image by its digest, and is the same however often
//! it is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, Node, Package, PackageId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::origin::Origin;
use crate::tidy::built::is_on;

/// The reference of the image itself.
const IMAGE: &str = "image";

/// The image that is written about.
pub(super) struct Subject<'a> {
    pub(super) name: &'a str,
    /// `sha256:` and its hexadecimal digits.
    pub(super) digest: &'a str,
    pub(super) origin: &'a Origin,
    /// The folder with the folder `NAME` that holds its files.
    pub(super) files: &'a Path,
}

/// Writes the bill of an image.
pub(super) fn write(graph: &Metadata, subject: &Subject<'_>) -> Result<Value> {
    let checksums = checksums(graph)?;
    let crates = linked(graph, &format!("portolan-{}", subject.name))?;
    let mut components: Vec<_> = crates.keys().map(|package| component(package, &checksums)).collect();
    let distributed = distributed(&subject.files.join(subject.name))?;
    let mut parts: Vec<_> = distributed.iter().map(|part| part["bom-ref"].clone()).collect();
    parts.push(json!(format!("portolan-{}@{}", subject.name, subject.origin.version)));
    components.extend(distributed);
    let mut dependencies = vec![json!({"ref": IMAGE, "dependsOn": parts})];
    dependencies.extend(crates.iter().map(
        |(package, on)| json!({"ref": reference(package), "dependsOn": on.iter().copied().map(reference).collect::<Vec<_>>()}),
    ));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": serial(subject.digest),
        "version": 1,
        "metadata": {
            "timestamp": subject.origin.created()?,
            "tools": {"components": [{"type": "application", "name": "cargo xtask images"}]},
            "component": image(subject),
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn image(Subject { name, digest, origin, .. }: &Subject<'_>) -> Value {
    let hexadecimal = digest.trim_start_matches("sha256:");
    json!({
        "type": "container",
        "bom-ref": IMAGE,
        "name": format!("portolan/{name}"),
        "version": origin.version,
        "hashes": [{"alg": "SHA-256", "content": hexadecimal}],
        "purl": format!("pkg:oci/{name}@sha256%3A{hexadecimal}"),
        "properties": [{"name": "org.opencontainers.image.revision", "value": origin.revision}],
    })
}

/// A UUID of the eighth version, which is for what others say.
fn serial(digest: &str) -> String {
    let hexadecimal = digest.trim_start_matches("sha256:");
    let part = |from: usize, to: usize| hexadecimal.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

/// The crates that are part of the binary of a package, sorted, with what each depends on. What only runs while the
/// binary is built, build scripts and macros, is none of them.
fn linked<'a>(graph: &'a Metadata, root: &str) -> Result<BTreeMap<Sorted<'a>, Vec<&'a Package>>> {
    let resolve = graph.resolve.as_ref().context("cargo metadata answered without a graph")?;
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let packages: BTreeMap<_, _> = graph.packages.iter().map(|package| (&package.id, package)).collect();
    let root = graph.packages.iter().find(|package| package.name == root);
    let root = root.context("no package has the name of the image")?;
    let (mut reached, mut open, mut found) = (BTreeSet::from([&root.id]), vec![root], BTreeMap::new());
    while let Some(package) = open.pop() {
        let on = needed(package, nodes[&package.id], &packages);
        open.extend(on.iter().filter(|next| reached.insert(&next.id)));
        found.insert(Sorted(package), on);
    }
    Ok(found)
}

fn needed<'a>(
    package: &Package,
    node: &'a Node,
    packages: &BTreeMap<&'a PackageId, &'a Package>,
) -> Vec<&'a Package> {
    let normal = node
        .deps
        .iter()
        .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
    let mut on: Vec<_> = normal
        .map(|dependency| packages[&dependency.pkg])
        .filter(|next| is_on(package, &node.features, &next.name))
        .filter(|next| !next.targets.iter().any(cargo_metadata::Target::is_proc_macro))
        .collect();
    on.sort_by_key(|package| Sorted(package));
    on
}

/// A package in the order of names and versions.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sorted<'a>(&'a Package);

impl std::ops::Deref for Sorted<'_> {
    type Target = Package;

    fn deref(&self) -> &Package {
        self.0
    }
}

impl Ord for Sorted<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.0.name, &self.0.version, &self.0.id).cmp(&(&other.0.name, &other.0.version, &other.0.id))
    }
}

impl PartialOrd for Sorted<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Ours are in no registry, so that they have no address of a package.
fn reference(package: &Package) -> String {
    let plain = format!("{}@{}", package.name, package.version);
    if package.source.is_some() { purl("cargo", &plain) } else { plain }
}

fn purl(kind: &str, rest: &str) -> String {
    format!("pkg:{kind}/{}", rest.replace('+', "%2B").replace(':', "%3A"))
}

fn component(package: &Package, checksums: &BTreeMap<(String, String), String>) -> Value {
    let mut component = json!({
        "type": if package.source.is_some() { "library" } else { "application" },
        "bom-ref": reference(package),
        "name": package.name.as_str(),
        "version": package.version.to_string(),
    });
    if let Some(licence) = &package.license {
        // What crates wrote before SPDX had expressions.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    if package.source.is_some() {
        component["purl"] = json!(reference(package));
    }
    if let Some(checksum) = checksums.get(&(package.name.to_string(), package.version.to_string())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    component
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Checksums of crates, as Cargo has checked them.
fn checksums(graph: &Metadata) -> Result<BTreeMap<(String, String), String>> {
    let lock = fs::read_to_string(graph.workspace_root.join("Cargo.lock")).context("Cargo.lock")?;
    let lock: Lock = toml::from_str(&lock).context("Cargo.lock")?;
    let known = lock.package.into_iter().filter_map(|it| Some(((it.name, it.version), it.checksum?)));
    Ok(known.collect())
}

/// Reads the distribution's packages from its records in the image.
fn distributed(root: &Path) -> Result<Vec<Value>> {
    let release = fs::read_to_string(root.join("etc/os-release")).context("os-release of the image")?;
    let field = |name: &str| release.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let (id, number) = (field("ID=").trim_matches('"'), field("VERSION_ID=").trim_matches('"'));
    let mut found = BTreeMap::new();
    for record in fs::read_dir(root.join("var/lib/dpkg/status.d")).context("packages of the image")? {
        let text = fs::read_to_string(record?.path())?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let name = field("Package:").context("a package without a name")?;
        let version = field("Version:").context("a package without a version")?;
        let architecture = field("Architecture:").unwrap_or("all");
        let purl = format!(
            "{}?arch={architecture}&distro={id}-{number}",
            purl("deb", &format!("{id}/{name}@{version}"))
        );
        let component = json!({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "licenses": licences(name),
        });
        found.insert(name.to_owned(), component);
    }
    Ok(found.into_values().collect())
}

/// Debian's records have no licences. `docker/Dockerfile` names the same in a label.
fn licences(package: &str) -> Value {
    let expression = match package {
        "libc6" => "LGPL-2.1-or-later",
        "libgcc-s1" => "GPL-3.0-or-later WITH GCC-exception-3.1",
        "ca-certificates" => "MPL-2.0",
        _ => return json!([]),
    };
    json!([{"expression": expression}])
}

#[cfg(test)]
mod tests;
