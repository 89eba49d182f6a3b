//! Lists of names, shortened for people. Pure.

use std::collections::BTreeSet;

/// Limit on the length of the list of exports in the status.
const MAX_RESOURCES_LENGTH: usize = 200;
/// Limit on the names in a message.
const LISTED: usize = 3;

/// A list for people, who read the first few.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(LISTED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

pub(super) fn shortened(names: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for (shown, name) in names.iter().enumerate() {
        let separator = if text.is_empty() { "" } else { "," };
        if text.len() + name.len() > MAX_RESOURCES_LENGTH {
            return format!("{text}{separator}and {} more", names.len() - shown);
        }
        text = format!("{text}{separator}{name}");
    }
    text
}
