//! Items of lists in the tree of fields that somebody owns (`FieldsV1`).

use serde_json::{Map, Value};

/// The ways in which a `FieldsV1` tree names an item of a list.
pub(super) enum ItemSelector {
    Keys(Map<String, Value>),
    Value(Value),
    Index(usize),
}

impl ItemSelector {
    pub(super) fn parse(key: &str) -> Option<Self> {
        let (kind, rest) = key.split_once(':')?;
        match kind {
            "k" => serde_json::from_str(rest).ok().map(Self::Keys),
            "v" => serde_json::from_str(rest).ok().map(Self::Value),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    pub(super) fn selects(&self, index: usize, item: &Value) -> bool {
        match self {
            Self::Keys(keys) => keys.iter().all(|(key, value)| item.get(key) == Some(value)),
            Self::Value(value) => value == item,
            Self::Index(wanted) => *wanted == index,
        }
    }
}
