//! JSON schemas as digests, read straight from their text: no tree of values is made of them on the way.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::digest::{Digest, Feed};

/// The parts of a schema that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaSketch {
    /// Equal for equal schemas, whatever the order of their keys.
    pub whole: Digest,
    /// Equal for schemas that keep the same fields of objects, in whichever of their two shapes they come: bare, or as
    /// `openAPIV3Schema`.
    pub fields: Digest,
}

impl Default for SchemaSketch {
    /// Of no schema at all.
    fn default() -> Self {
        Self::from(Node::leaf(b"n", &[]))
    }
}

impl From<Node> for SchemaSketch {
    fn from(node: Node) -> Self {
        Self { whole: node.whole, fields: node.wrapped.unwrap_or(node.kept) }
    }
}

impl<'de> Deserialize<'de> for SchemaSketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Role::Schema.deserialize(deserializer).map(Self::from)
    }
}

/// The meaning of a value within a schema.
#[derive(Clone, Copy)]
enum Role {
    Schema,
    /// The fields of an object, by name.
    Properties,
}

/// A value that was read.
struct Node {
    whole: Digest,
    /// Digest of the fields that are kept, as a schema or as properties.
    kept: Digest,
    /// The same of what it holds as `openAPIV3Schema`.
    wrapped: Option<Digest>,
    is_object: bool,
    is_true: bool,
}

impl Node {
    fn leaf(tag: &[u8], bytes: &[u8]) -> Self {
        let whole = Feed::new(tag).bytes(bytes).finish();
        Self { whole, kept: Digest::ABSENT, wrapped: None, is_object: false, is_true: false }
    }

    fn number(text: &str) -> Self {
        Self::leaf(b"#", text.as_bytes())
    }

    fn map(role: Role, mut members: Vec<(String, Self)>) -> Self {
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let digest = |part: fn(&Self) -> Digest| {
            let fed = members
                .iter()
                .fold(Feed::new(b"{"), |feed, (name, node)| feed.bytes(name.as_bytes()).digest(part(node)));
            fed.finish()
        };
        let kept = match role {
            Role::Schema => kept(&members),
            Role::Properties => digest(|node| node.kept),
        };
        let wrapped = find(&members, "openAPIV3Schema").map(|node| node.kept);
        Self { whole: digest(|node| node.whole), kept, wrapped, is_object: true, is_true: false }
    }
}

fn find<'a>(members: &'a [(String, Node)], name: &str) -> Option<&'a Node> {
    let at = members.binary_search_by(|(own, _)| own.as_str().cmp(name)).ok()?;
    Some(&members[at].1)
}

/// Digests the fields that a schema with these members keeps.
fn kept(members: &[(String, Node)]) -> Digest {
    let within = |name| find(members, name).filter(|node| node.is_object).map(|node| node.kept);
    let is_true = |name| find(members, name).is_some_and(|node| node.is_true);
    let parts = ["properties", "items", "additionalProperties"].map(within);
    let is_open = is_true("x-kubernetes-preserve-unknown-fields") || is_true("additionalProperties");
    if !is_open && parts.iter().all(Option::is_none) {
        return Digest::ABSENT;
    }
    let fed = parts.into_iter().fold(Feed::new(if is_open { b"o" } else { b"s" }), |feed, part| {
        feed.digest(part.unwrap_or(Digest::ABSENT))
    });
    fed.finish()
}

impl<'de> DeserializeSeed<'de> for Role {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Role {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::leaf(b"n", &[]))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::leaf(b"n", &[]))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node { is_true: value, ..Node::leaf(b"b", &[value.into()]) })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::number(&value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::number(&value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::number(&format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::leaf(b"\"", value.as_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut feed = Feed::new(b"[");
        while let Some(item) = items.next_element_seed(Self::Schema)? {
            feed = feed.digest(item.whole);
        }
        Ok(Node { whole: feed.finish(), ..Node::leaf(b"[", &[]) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let is_properties = matches!(self, Self::Schema) && name == "properties";
            let role = if is_properties { Self::Properties } else { Self::Schema };
            let node = map.next_value_seed(role)?;
            members.push((name, node));
        }
        Ok(Node::map(self, members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::digest::tests::{assert_all_differ, different};

    fn sketch(value: &Value) -> SchemaSketch {
        let (read, text) =
            (SchemaSketch::deserialize(value).unwrap(), serde_json::from_str(&value.to_string()).unwrap());
        assert_eq!(read, text, "from a tree and from text: {value}");
        read
    }

    #[test]
    fn different_values_have_different_digests() {
        let mut values = different();
        values.extend([
            json!(1.5),
            json!(-1),
            json!(true),
            json!({"properties": {}}),
            json!({"properties": {"properties": {}}}),
        ]);
        assert_all_differ(&values, |value| sketch(value).whole);
        let one: SchemaSketch = serde_json::from_str(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#).unwrap();
        let other: SchemaSketch = serde_json::from_str(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#).unwrap();
        assert_eq!(one, other, "the order of keys says nothing");
    }

    #[test]
    fn schemas_differ_by_the_fields_that_they_keep() {
        let text = || json!({"type": "string"});
        let schema = |properties: &Value, description: &str| json!({"type": "object", "description": description, "properties": properties});
        let base = json!({"a": text(), "b": {"type": "array", "items": {"type": "object", "properties": {"c": text()}}}});
        let fields = |properties: &Value| sketch(&schema(properties, "one")).fields;
        assert_eq!(fields(&base), sketch(&schema(&base, "another")).fields, "texts keep nothing");
        assert_eq!(fields(&base), sketch(&json!({"openAPIV3Schema": schema(&base, "one")})).fields);
        for (pointer, other) in [
            ("/a", json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
            ("/a", json!({"type": "object", "additionalProperties": true})),
            (
                "/a",
                json!({"type": "object", "additionalProperties": {"type": "object", "properties": {"x": text()}}}),
            ),
            ("/b/items/properties", json!({"c": text(), "d": text()})),
            ("/b/items/properties", json!({})),
            ("/b/items/properties/c", json!({"properties": {"properties": text()}})),
        ] {
            let mut changed = base.clone();
            *changed.pointer_mut(pointer).unwrap() = other;
            assert_ne!(fields(&base), fields(&changed), "{changed}");
        }
    }
}
