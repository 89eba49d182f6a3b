//! Every manifest of the workspace takes versions, lints and package fields from the root.

use std::fs;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::Project;

const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// Names what a manifest says for itself.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for package in project.graph.workspace_packages() {
        let text = fs::read_to_string(&package.manifest_path).context("reading a manifest")?;
        let manifest = text.parse().with_context(|| package.manifest_path.to_string())?;
        found.extend(faults(&manifest).into_iter().map(|fault| format!("{}: {fault}", package.name)));
    }
    Ok(found)
}

fn faults(manifest: &Table) -> Vec<String> {
    let mut found = Vec::new();
    if !inherits(manifest.get("lints")) {
        found.push("add `[lints] workspace = true`".to_owned());
    }
    let package = manifest.get("package").and_then(Value::as_table);
    for field in INHERITED {
        if !inherits(package.and_then(|package| package.get(field))) {
            found.push(format!("say `{field}.workspace = true`"));
        }
    }
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    for table in targets.filter_map(Value::as_table).chain([manifest]) {
        found.extend(own_versions(table));
    }
    found
}

fn own_versions(table: &Table) -> impl Iterator<Item = String> {
    let sections = DEPENDENCIES.iter().filter_map(|section| table.get(*section)?.as_table());
    let own = sections.flatten().filter(|(_, dependency)| !inherits(Some(dependency)));
    own.map(|(name, _)| format!("say `{name}.workspace = true` and put its version into the root manifest"))
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
        package = { version.workspace = true, edition.workspace = true, rust-version.workspace = true,
            license.workspace = true, publish.workspace = true }
        lints.workspace = true
    ";

    #[test]
    fn manifests() {
        let cases = [
            ("dependencies.a.workspace = true", 0),
            ("dependencies.a = { workspace = true, features = ['x'] }", 0),
            ("dependencies.a = '1'", 1),
            ("dev-dependencies.a = { path = '../a' }", 1),
            ("build-dependencies.a = { version = '1' }", 1),
            ("target.'cfg(unix)'.dependencies.a = '1'", 1),
            ("target.'cfg(unix)'.dependencies.a.workspace = true", 0),
        ];
        for (line, expected) in cases {
            assert_eq!(faults(&format!("{GOOD}{line}").parse().unwrap()).len(), expected, "{line}");
        }
        assert_eq!(faults(&"package.version = '1'".parse().unwrap()).len(), 6);
    }
}
