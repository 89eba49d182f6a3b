//! The objects that a subscriber knows, and how each looked when it was last sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The object is new.
    Added,
    /// The object has changed.
    Modified,
    /// The object is gone.
    Deleted,
}

impl ChangeKind {
    /// The name of the change in events.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// The objects of a subscriber, each with a hash of what it selects.
#[derive(Debug, Default)]
pub struct KnownObjects {
    objects: BTreeMap<Box<str>, u64>,
}

/// A hash of the selection from an object, and of its version, if other changes count, too.
pub fn look(selected: &[Vec<u8>], version: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (selected, version).hash(&mut hasher);
    hasher.finish()
}

impl KnownObjects {
    /// Records an object. Returns the change for the subscriber, unless it looks as before.
    pub fn there(&mut self, key: &str, look: u64) -> Option<ChangeKind> {
        match self.objects.insert(key.into(), look) {
            None => Some(ChangeKind::Added),
            Some(before) => (before != look).then_some(ChangeKind::Modified),
        }
    }

    /// Removes an object. None if it was not known.
    pub fn gone(&mut self, key: &str) -> Option<ChangeKind> {
        self.objects.remove(key).map(|_| ChangeKind::Deleted)
    }

    /// The known objects that are missing from a complete list.
    pub fn missing(&self, all: &BTreeSet<Box<str>>) -> Vec<Box<str>> {
        self.objects.keys().filter(|key| !all.contains(*key)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_otherwise_is_news() {
        let mut known = KnownObjects::default();
        let [one, other] = [b"1", b"2"].map(|selected| [selected.to_vec()]);
        let table = [
            (look(&one, None), Some(ChangeKind::Added)),
            (look(&one, None), None),
            (look(&other, None), Some(ChangeKind::Modified)),
            (look(&other, Some("7")), Some(ChangeKind::Modified)),
            // It is listed again.
            (look(&other, Some("7")), None),
            (look(&other, Some("8")), Some(ChangeKind::Modified)),
        ];
        for (look, expected) in table {
            assert_eq!(known.there("a", look), expected);
        }
        assert_eq!(known.missing(&BTreeSet::new()), ["a".into()]);
        assert_eq!((known.gone("a"), known.gone("a")), (Some(ChangeKind::Deleted), None));
    }
}
