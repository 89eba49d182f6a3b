//! Names of groups and versions in GraphQL.

use std::collections::{BTreeMap, BTreeSet};

use crate::{document::KindName, names};

/// The field of each group, by the group's own name.
pub fn group_names<'a>(kinds: impl Iterator<Item = &'a KindName>) -> BTreeMap<String, String> {
    let groups: BTreeSet<&str> = kinds.map(|kind| kind.group.as_str()).collect();
    let is_plain = |group: &str| group.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    let name = |group: &str| {
        let name = names::sanitized(group);
        let is_shared = groups.iter().any(|other| *other != group && names::sanitized(other) == name);
        if is_shared && !is_plain(group) { format!("{name}_{}", names::mark(group)) } else { name }
    };
    groups
        .iter()
        .map(|group| ((*group).to_owned(), if group.is_empty() { String::new() } else { name(group) }))
        .collect()
}

/// The group and version as one name, such as `v1` or `apps_v1`.
pub fn version_name(groups: &BTreeMap<String, String>, kind: &KindName) -> String {
    let version = names::sanitized(&kind.version);
    match groups.get(&kind.group).filter(|name| !name.is_empty()) {
        Some(group) => format!("{group}_{version}"),
        None => version,
    }
}
