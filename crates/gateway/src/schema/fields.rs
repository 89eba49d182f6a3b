//! GraphQL names of the properties of a definition.

use std::collections::{BTreeMap, BTreeSet};

use crate::names;

/// Names each key. A key that is a valid name keeps it. A derived name that collides yields, and then depends on the
/// key alone.
pub fn names_of<'a>(keys: impl Iterator<Item = &'a str> + Clone) -> BTreeMap<&'a str, String> {
    let natural: BTreeSet<&str> = keys.clone().filter(|key| names::is_natural(key)).collect();
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for key in keys.clone().filter(|key| !natural.contains(key)) {
        *made.entry(names::sanitized(key)).or_default() += 1;
    }
    let name = |key: &'a str| {
        if natural.contains(key) {
            return (key, key.to_owned());
        }
        let name = names::sanitized(key);
        let is_alone = made.get(&name) == Some(&1) && !natural.contains(name.as_str());
        (key, if is_alone { name } else { format!("{name}_{}", names::mark(key)) })
    };
    keys.map(name).collect()
}

/// The name of a field that the object does not have, beside those that it has.
pub fn beside(wanted: &str, raw: &str, taken: &BTreeSet<String>) -> String {
    if taken.contains(wanted) { format!("{wanted}_{}", names::mark(raw)) } else { wanted.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_names_stay_and_others_depend_on_their_key_only() {
        let named = |keys: &[&'static str]| names_of(keys.iter().copied());
        assert_eq!(named(&["foo-bar"])["foo-bar"], "foo_bar");
        let all = named(&["foo-bar", "foo_bar", "foo.bar", "$ref", "a"]);
        assert_eq!(
            (all["foo_bar"].as_str(), all["$ref"].as_str(), all["a"].as_str()),
            ("foo_bar", "_ref", "a")
        );
        assert!(all["foo-bar"].starts_with("foo_bar_") && all["foo.bar"].starts_with("foo_bar_"));
        assert_ne!(all["foo-bar"], all["foo.bar"]);
        assert_eq!(named(&["foo.bar", "foo-bar"])["foo-bar"], all["foo-bar"]);
    }
}
