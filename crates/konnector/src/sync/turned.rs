//! Maps and lists that were one whole and have become parts. Pure.
//!
//! Of a list that its schema calls atomic we own the list, and nobody else has a part of it. When the schema turns it
//! into one of type `map` or `set`, we own the list still and none of its items: server-side apply then keeps what the
//! consumer has removed. So what was wholly ours is remembered, and what is left of it without an owner is taken out.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use portolan_runtime::apply::escaped;
use serde_json::{Map, Value, json};

use super::selector::ItemSelector;

/// The maps and lists of an object that are ours as a whole, as hashes of their places in a `FieldsV1` tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedWholes(Box<[u64]>);

impl OwnedWholes {
    /// `ours` and `others` are the fields of a value that we own, and that all others own.
    pub(super) fn of(value: &Value, ours: &Value, others: &Value) -> Self {
        let mut found = Vec::new();
        collect(value, [ours, others], "", &mut found);
        Self(found.into())
    }

    fn has(&self, place: &str) -> bool {
        self.0.contains(&hash(place))
    }
}

fn hash(place: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    hasher.finish()
}

fn collect(value: &Value, [ours, others]: [&Value; 2], place: &str, into: &mut Vec<u64>) {
    let is_filled = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => return,
    };
    if is_leaf(ours) {
        // What others have parts of is none that is whole.
        if is_filled && is_leaf(others) {
            into.push(hash(place));
        }
        return;
    }
    for (place_in, member, owned) in members(value, ours) {
        if let Some((key, below)) = owned {
            let theirs = owner(&place_in, member, others).map_or(&Value::Null, |(_, below)| below);
            collect(member, [below, theirs], &format!("{place}/{key}"), into);
        }
    }
}

/// Removals of what is left in a value of maps and lists that were wholly ours and are not whole any more, and that
/// nobody owns, as operations of a JSON patch (RFC 6902). Where it is not certain that all of them was the consumer's
/// word (`is_exact`), only items of lists are removed.
pub(super) fn left_over(
    value: &Value,
    fields: [&Value; 2],
    wholes: &OwnedWholes,
    is_exact: bool,
) -> Vec<Value> {
    let mut walk = RemovalWalk { wholes, is_exact, operations: Vec::new() };
    walk.through(value, fields, ["", ""], false);
    walk.operations
}

struct RemovalWalk<'a> {
    wholes: &'a OwnedWholes,
    is_exact: bool,
    operations: Vec<Value>,
}

impl RemovalWalk<'_> {
    /// `at` is the place in the object, and the one in a `FieldsV1` tree.
    fn through(&mut self, value: &Value, [ours, others]: [&Value; 2], at: [&str; 2], was_whole: bool) {
        if is_leaf(ours) || !(value.is_object() || value.is_array()) {
            return;
        }
        let is_turned = self.wholes.has(at[1]);
        let (was_whole, is_list) = (is_turned || (was_whole && self.is_exact), value.is_array());
        // The last first: the places of the others stay.
        for (place, member, owned) in members(value, ours).into_iter().rev() {
            let path = format!("{}/{}", at[0], place.pointer());
            let theirs = owner(&place, member, others);
            match (owned, theirs) {
                (Some((key, below)), theirs) => {
                    let theirs = theirs.map_or(&Value::Null, |(_, below)| below);
                    let at = [path.as_str(), &format!("{}/{key}", at[1])];
                    self.through(member, [below, theirs], at, was_whole);
                }
                (None, None) if was_whole && (is_list || self.is_exact) => {
                    self.operations.push(json!({"op": "remove", "path": path}));
                }
                (None, _) => {}
            }
        }
    }
}

/// The place of a member in a map or list.
enum MemberPlace<'a> {
    Key(&'a str),
    Index(usize),
}

impl MemberPlace<'_> {
    fn pointer(&self) -> String {
        match self {
            Self::Key(name) => escaped(name),
            Self::Index(index) => index.to_string(),
        }
    }
}

/// A name in a `FieldsV1` tree, and what is below it.
type FieldsEntry<'a> = Option<(&'a String, &'a Value)>;

/// The members of a map or list, each with what `fields` has of it.
fn members<'a>(value: &'a Value, fields: &'a Value) -> Vec<(MemberPlace<'a>, &'a Value, FieldsEntry<'a>)> {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, member)| {
                let at = MemberPlace::Key(key);
                let owned = owner(&at, member, fields);
                (at, member, owned)
            })
            .collect(),
        Value::Array(items) => {
            let selectors: Vec<_> = selectors(fields).collect();
            let owned = |index: usize, item: &Value| {
                let found = selectors.iter().find(|(selector, ..)| selector.selects(index, item));
                found.map(|(_, key, below)| (*key, *below))
            };
            items.iter().enumerate().map(|(i, item)| (MemberPlace::Index(i), item, owned(i, item))).collect()
        }
        _ => Vec::new(),
    }
}

/// Our part, in `fields`, of one member.
fn owner<'a>(at: &MemberPlace<'_>, member: &Value, fields: &'a Value) -> FieldsEntry<'a> {
    match at {
        MemberPlace::Key(name) => fields.as_object()?.get_key_value(&format!("f:{name}")),
        MemberPlace::Index(index) => selectors(fields)
            .find(|(selector, ..)| selector.selects(*index, member))
            .map(|(_, key, below)| (key, below)),
    }
}

fn selectors(fields: &Value) -> impl Iterator<Item = (ItemSelector, &String, &Value)> {
    let named = fields.as_object().into_iter().flatten().filter(|(key, _)| *key != ".");
    named.filter_map(|(key, below)| Some((ItemSelector::parse(key)?, key, below)))
}

fn is_leaf(fields: &Value) -> bool {
    fields.as_object().is_none_or(Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(operations: &[Value]) -> Vec<&str> {
        operations.iter().map(|operation| operation["path"].as_str().unwrap()).collect()
    }

    fn item(name: &str) -> Value {
        json!({"name": name, "port": 1})
    }

    #[test]
    fn an_item_that_nobody_owns_goes_after_a_list_has_turned() {
        let before = json!({"spec": {"ports": [item("a"), item("b"), item("c")]}});
        let wholes = OwnedWholes::of(&before, &json!({"f:spec": {"f:ports": {}}}), &Value::Null);
        // Server-side apply has kept b, which the consumer has removed, and a controller has added d.
        let after = json!({"spec": {"ports": [item("a"), item("b"), item("c"), item("d")]}});
        let key = |name: &str| format!("k:{{\"name\":\"{name}\"}}");
        let whole_item = json!({".": {}, "f:name": {}, "f:port": {}});
        let ours = json!({"f:spec": {"f:ports": {key("a"): whole_item, key("c"): whole_item}}});
        let theirs = json!({"f:spec": {"f:ports": {key("d"): whole_item}}});
        for is_exact in [true, false] {
            assert_eq!(paths(&left_over(&after, [&ours, &theirs], &wholes, is_exact)), ["/spec/ports/1"]);
        }
        // A list that was of type map before: what nobody owns is a default or of a webhook.
        let wholes = OwnedWholes::of(&before, &ours, &theirs);
        assert_eq!(left_over(&after, [&ours, &theirs], &wholes, true), Vec::<Value>::new());
    }

    #[test]
    fn several_items_go_from_the_end_and_sets_and_what_is_in_items_too() {
        let before = json!({"set": ["a", "b", "c"], "rules": [{"host": "h", "old": 1, "keep": 2}]});
        let wholes = OwnedWholes::of(&before, &json!({"f:set": {}, "f:rules": {}}), &json!({}));
        let ours = json!({
            "f:set": {"v:\"b\"": {}},
            "f:rules": {"k:{\"host\":\"h\"}": {".": {}, "f:host": {}, "f:keep": {}}},
        });
        let left = left_over(&before, [&ours, &Value::Null], &wholes, true);
        let mut found = paths(&left);
        assert!(found.iter().position(|p| *p == "/set/2") < found.iter().position(|p| *p == "/set/0"));
        found.sort_unstable();
        assert_eq!(found, ["/rules/0/old", "/set/0", "/set/2"]);
        let left = left_over(&before, [&ours, &Value::Null], &wholes, false);
        assert_eq!(paths(&left).len(), 2, "a field may be a default: {left:?}");
    }

    #[test]
    fn of_a_map_only_what_was_the_consumers_word_for_sure_goes() {
        let before = json!({"opts": {"a": 1, "b/c": 2}});
        let wholes = OwnedWholes::of(&before, &json!({"f:opts": {}}), &json!({}));
        let ours = json!({"f:opts": {"f:a": {}}});
        assert_eq!(paths(&left_over(&before, [&ours, &Value::Null], &wholes, true)), ["/opts/b~1c"]);
        assert!(left_over(&before, [&ours, &Value::Null], &wholes, false).is_empty());
        let theirs = json!({"f:opts": {"f:b/c": {}}});
        assert!(left_over(&before, [&ours, &theirs], &wholes, true).is_empty(), "a controller's");
    }

    #[test]
    fn what_is_whole_still_and_what_others_fill_is_left_alone() {
        let value = json!({"list": [1, 2], "opts": {"x": 1}});
        let ours = json!({"f:list": {}, "f:opts": {}});
        let filled = OwnedWholes::of(&value, &ours, &json!({"f:opts": {"f:x": {}}}));
        assert_eq!(filled.0.len(), 1, "the map is theirs in part");
        assert!(left_over(&value, [&ours, &Value::Null], &filled, true).is_empty());
        let empty = json!({"list": [], "opts": {}, "text": "t"});
        let ours = json!({"f:list": {}, "f:opts": {}, "f:text": {}});
        assert_eq!(OwnedWholes::of(&empty, &ours, &json!({})), OwnedWholes::default());
    }
}
