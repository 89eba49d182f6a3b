//! Parts that the checks of charts share: the list of charts, and the content of their files.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, de::DeserializeOwned};

/// One alert.
#[derive(Deserialize)]
pub(super) struct Alert {
    #[serde(rename = "alert")]
    pub(super) name: String,
    pub(super) expr: String,
    #[serde(default)]
    pub(super) annotations: Annotations,
}

/// The annotations of an alert, as far as they are checked.
#[derive(Default, Deserialize)]
pub(super) struct Annotations {
    #[serde(default)]
    pub(super) runbook_url: String,
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Alert>,
}

/// Charts that have a file, sorted.
pub(super) fn with(root: &Path, file: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("charts")).context("charts")? {
        let entry = entry?;
        if entry.path().join(file).is_file() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// A file in YAML or JSON, relative to `root`.
pub(super) fn read<T: DeserializeOwned>(root: &Path, path: &str) -> Result<T> {
    parse(&fs::read_to_string(root.join(path)).with_context(|| path.to_owned())?)
        .with_context(|| path.to_owned())
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    Ok(serde_saphyr::from_str(text)?)
}

/// The alerts of a chart.
pub(super) fn alerts(root: &Path, chart: &str) -> Result<Vec<Alert>> {
    let rules: Rules = read(root, &format!("charts/{chart}/files/alerts.yaml"))?;
    Ok(rules.groups.into_iter().flat_map(|group| group.rules).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_prometheus_reads_them() {
        let text =
            "groups: [{name: a, rules: [{alert: A, expr: up == 0, for: 5m, labels: {severity: info}}]}]";
        let rules: Rules = parse(text).unwrap();
        let alert = &rules.groups[0].rules[0];
        assert_eq!((alert.name.as_str(), alert.annotations.runbook_url.as_str()), ("A", ""));
    }
}
