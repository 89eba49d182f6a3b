//! One file made of many parts.
//!
//! Parts come from servers that may disagree: the `ObjectMeta` of an aggregated API may differ from that of the API
//! server itself. Definitions of one name that differ only in descriptions count as the same. Otherwise each later one
//! gets its own name, and its part refers to that. The order depends on names only, so that the same parts always give
//! the same file.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    CLUSTER_METADATA, ClusterMetadata, DEFINITIONS, GROUP_VERSION_KIND, REF_PREFIX, referred, rewrite,
};

/// A part and its group-version.
#[derive(Clone, Copy, Debug)]
pub struct NamedPart<'a> {
    /// The group-version, such as `v1` or `apps/v1`.
    pub group_version: &'a str,
    /// The JSON `{"definitions": {..}}`.
    pub bytes: &'a [u8],
}

/// A part that is not valid.
#[derive(Debug, thiserror::Error)]
#[error("the part of {group_version} is not an object with definitions")]
pub struct InvalidPart {
    group_version: String,
    #[source]
    source: serde_json::Error,
}

#[derive(Deserialize)]
struct Definitions<'a> {
    #[serde(borrow)]
    definitions: BTreeMap<String, &'a RawValue>,
}

type Merged<'a> = BTreeMap<String, Definition<'a>>;

/// A definition as in its part, or with other references.
enum Definition<'a> {
    Same(&'a str),
    Changed(String),
}

impl Definition<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Same(text) => text,
            Self::Changed(text) => text,
        }
    }
}

/// Writes a document. The same parts and metadata give the same bytes, in any order.
///
/// # Errors
/// If `out` fails, or a part is not valid.
pub fn write(metadata: &ClusterMetadata, parts: &[NamedPart<'_>], out: &mut impl Write) -> io::Result<()> {
    let merged = merge(parts).map_err(io::Error::other)?;
    let mut separator = "";
    write!(out, "{{\"{DEFINITIONS}\":{{")?;
    for (name, definition) in &merged {
        write!(out, "{separator}")?;
        separator = ",";
        serde_json::to_writer(&mut *out, name)?;
        write!(out, ":{}", definition.text())?;
    }
    write!(out, "}},\"{CLUSTER_METADATA}\":")?;
    // By way of a value, so that its members are in the order of their names, too.
    serde_json::to_value(metadata)?.serialize(&mut serde_json::Serializer::new(&mut *out))?;
    out.write_all(b"}")
}

fn merge<'a>(parts: &[NamedPart<'a>]) -> Result<Merged<'a>, InvalidPart> {
    let mut parts = parts.to_vec();
    parts.sort_by(|a, b| group_version_order(a.group_version, b.group_version));
    let mut merged = Merged::new();
    for part in parts {
        add(&mut merged, part)?;
    }
    Ok(merged)
}

fn add<'a>(merged: &mut Merged<'a>, part: NamedPart<'a>) -> Result<(), InvalidPart> {
    let group_version = part.group_version;
    let invalid = |source| InvalidPart { group_version: group_version.to_owned(), source };
    let Definitions { definitions } = serde_json::from_slice(part.bytes).map_err(invalid)?;
    let own = own_names(merged, &definitions);
    let renamed = |name: &str| own.contains(name).then(|| own_name(name, group_version));
    for (name, raw) in definitions {
        if own.is_empty() || !raw.get().contains(REF_PREFIX) && !own.contains(&name) {
            merged.entry(name).or_insert_with(|| Definition::Same(raw.get()));
            continue;
        }
        let mut value = parsed(raw.get());
        rewrite(&mut value, &renamed);
        let name = renamed(&name).unwrap_or(name);
        merged.entry(name).or_insert_with(|| Definition::Changed(value.to_string()));
    }
    Ok(())
}

/// The definitions that a part needs under its own names: those that differ from known ones, and known ones that refer
/// to one of these.
fn own_names(merged: &Merged<'_>, definitions: &BTreeMap<String, &RawValue>) -> BTreeSet<String> {
    let known = |name: &String| merged.get(name).map(Definition::text);
    let differs = |(name, raw): &(&String, &&RawValue)| {
        known(name).is_some_and(|text| text != raw.get() && meaning(text) != meaning(raw.get()))
    };
    let mut own: BTreeSet<String> =
        definitions.iter().filter(differs).map(|(name, _)| name.clone()).collect();
    loop {
        let before = own.len();
        if before == 0 {
            return own;
        }
        for (name, raw) in definitions {
            let shared = known(name).is_some() && !own.contains(name);
            if shared && referred(&parsed(raw.get())).iter().any(|target| own.contains(*target)) {
                own.insert(name.clone());
            }
        }
        if own.len() == before {
            return own;
        }
    }
}

fn own_name(name: &str, group_version: &str) -> String {
    format!("{name}.{}", group_version.replace('/', "."))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// A definition without what makes no difference: descriptions, and the list of kinds of common types.
fn meaning(text: &str) -> Value {
    let mut value = parsed(text);
    if let Some(members) = value.as_object_mut()
        && members.get(GROUP_VERSION_KIND).and_then(Value::as_array).is_some_and(|kinds| kinds.len() > 1)
    {
        members.remove(GROUP_VERSION_KIND);
    }
    forget_descriptions(&mut value, false);
    value
}

/// Removes descriptions. With `named`, the members are properties, one of which may be called "description".
fn forget_descriptions(value: &mut Value, named: bool) {
    match value {
        Value::Object(members) => {
            if !named {
                members.remove("description");
            }
            for (name, member) in members {
                forget_descriptions(member, !named && name == "properties");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| forget_descriptions(item, false)),
        _ => {}
    }
}

/// The order of group-versions: the core group, then other built-in ones, then all others by name.
pub fn group_version_order(a: &str, b: &str) -> Ordering {
    let key = |group_version: &str| {
        let group = group_version.split_once('/').map_or("", |(group, _)| group);
        let rank = match group {
            "" => 0,
            group if !group.contains('.') => 1,
            group if group.ends_with(".k8s.io") => 2,
            _ => 3,
        };
        (rank, group_version.to_owned())
    };
    key(a).cmp(&key(b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata() -> ClusterMetadata {
        serde_json::from_value(
            json!({"host": "https://h", "path": "p", "auth": {"type": "token", "token": "YQ=="}}),
        )
        .unwrap()
    }

    fn document(parts: &[(&str, Value)]) -> Value {
        let parts: Vec<_> =
            parts.iter().map(|(gv, defs)| (*gv, json!({"definitions": defs}).to_string())).collect();
        let write_in = |order: &mut dyn Iterator<Item = &(&str, String)>| {
            let parts: Vec<_> =
                order.map(|(gv, text)| NamedPart { group_version: gv, bytes: text.as_bytes() }).collect();
            let mut out = Vec::new();
            write(&metadata(), &parts, &mut out).unwrap();
            out
        };
        let bytes = write_in(&mut parts.iter());
        assert_eq!(bytes, write_in(&mut parts.iter().rev()), "the order must not matter");
        serde_json::from_slice(&bytes).unwrap()
    }

    fn reference(name: &str) -> Value {
        json!({"$ref": format!("#/definitions/{name}")})
    }

    #[test]
    fn parts_that_agree_share_their_definitions() {
        let meta = |text: &str| json!({"type": "object", "description": text, "properties": {"description": {"type": "string"}}});
        let written = document(&[
            (
                "apps/v1",
                json!({"Deployment": {"properties": {"metadata": reference("Meta")}}, "Meta": meta("b")}),
            ),
            ("v1", json!({"Pod": {"properties": {"metadata": reference("Meta")}}, "Meta": meta("a")})),
        ]);
        let names: Vec<_> = written["definitions"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["Deployment", "Meta", "Pod"]);
        assert_eq!(written["definitions"]["Meta"]["description"], "a", "the core group comes first");
        assert_eq!(written["x-cluster-metadata"]["auth"]["token"], "YQ==");
    }

    #[test]
    fn a_definition_with_another_content_gets_a_name_of_its_own() {
        let built_in = (
            "apps/v1",
            json!({
                "Deployment": {"properties": {"metadata": reference("Meta")}},
                "Meta": {"properties": {"entry": reference("Entry")}},
                "Entry": {"type": "object"},
            }),
        );
        let foreign = (
            "x.io/v1",
            json!({
                "Foo": {"properties": {"metadata": reference("Meta")}},
                "Meta": {"properties": {"entry": reference("Entry")}},
                "Entry": {"type": "string"},
            }),
        );
        let written = document(&[built_in.clone(), foreign]);
        let definitions = &written["definitions"];
        assert_eq!(definitions["Deployment"]["properties"]["metadata"], reference("Meta"));
        assert_eq!(definitions["Entry"]["type"], "object");
        assert_eq!(definitions["Foo"]["properties"]["metadata"], reference("Meta.x.io.v1"));
        assert_eq!(definitions["Meta.x.io.v1"]["properties"]["entry"], reference("Entry.x.io.v1"));
        assert_eq!(definitions["Entry.x.io.v1"]["type"], "string");
        let alone = document(&[built_in]);
        for name in ["Deployment", "Meta", "Entry"] {
            assert_eq!(definitions[name], alone["definitions"][name]);
        }
    }

    #[test]
    fn the_core_group_comes_first_and_foreign_ones_last() {
        let mut order = ["x.io/v1", "apps/v1", "a.example/v1", "v1", "batch/v1", "storage.k8s.io/v1"];
        order.sort_by(|a, b| group_version_order(a, b));
        assert_eq!(order, ["v1", "apps/v1", "batch/v1", "storage.k8s.io/v1", "a.example/v1", "x.io/v1"]);
    }

    #[test]
    fn what_is_no_part_is_named() {
        let part = NamedPart { group_version: "apps/v1", bytes: b"<html>" };
        let error = write(&metadata(), &[part], &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("apps/v1"), "{error}");
    }
}
