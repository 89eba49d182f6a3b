//! One file made of many parts.
//!
//! Parts come from servers that may disagree: the `ObjectMeta` of an aggregated API may differ from that of the API
//! server itself. Definitions of one name that differ only in descriptions count as the same. So does a kind that other
//! parts refer to, where it has no extensions: a `StatefulSet` holds claims, which only the core group serves. Otherwise
//! each later one gets its own name, and its part refers to that. The order depends on names only, so that the same
//! parts always give the same file.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io::{self, Write},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{
    CATEGORIES, CLUSTER_METADATA, ClusterMetadata, DEFINITIONS, GROUP_VERSION_KIND, PLURAL, PREFERRED,
    REF_PREFIX, SCOPE, SHORT_NAMES, SINGULAR, SUBRESOURCES, VERBS, referred, rewrite,
};

/// What a part knows of its own kinds, beside their schemas.
const OF_RESOURCES: [&str; 8] =
    [SCOPE, CATEGORIES, PLURAL, SINGULAR, VERBS, SUBRESOURCES, SHORT_NAMES, PREFERRED];

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
        let text = raw.get();
        let definition = || {
            if own.is_empty() || !text.contains(REF_PREFIX) {
                return Definition::Same(text);
            }
            let mut value = parsed(text);
            rewrite(&mut value, &renamed);
            Definition::Changed(value.to_string())
        };
        match merged.entry(renamed(&name).unwrap_or(name)) {
            Entry::Vacant(place) => _ = place.insert(definition()),
            // Other parts only refer to this kind, and this one serves it.
            Entry::Occupied(mut place) if is_resource(text) && !is_resource(place.get().text()) => {
                place.insert(definition());
            }
            Entry::Occupied(_) => {}
        }
    }
    Ok(())
}

fn is_resource(text: &str) -> bool {
    text.contains(PLURAL) && parsed(text).get(PLURAL).is_some()
}

/// The definitions that a part needs under its own names: those that differ from known ones, and known ones that refer
/// to one of these.
fn own_names(merged: &Merged<'_>, definitions: &BTreeMap<String, &RawValue>) -> BTreeSet<String> {
    let known = |name: &String| merged.get(name).map(Definition::text);
    let differs = |(name, raw): &(&String, &&RawValue)| {
        known(name)
            .is_some_and(|text| text != raw.get() && !Meaning::of(text).agrees(&Meaning::of(raw.get())))
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
struct Meaning {
    schema: Value,
    /// Its kind, if it has one only.
    kind: Option<Value>,
    /// What is known of its resource, if this part serves it.
    resource: Option<Vec<Option<Value>>>,
}

impl Meaning {
    fn of(text: &str) -> Self {
        let mut schema = parsed(text);
        let mut take = |extension: &str| schema.as_object_mut().and_then(|members| members.remove(extension));
        let kind = take(GROUP_VERSION_KIND);
        let kind = kind.filter(|kinds| kinds.as_array().is_none_or(|kinds| kinds.len() < 2));
        let resource: Vec<_> = OF_RESOURCES.into_iter().map(take).collect();
        let resource = Some(resource).filter(|resource| resource.iter().any(Option::is_some));
        forget_descriptions(&mut schema, false);
        Self { schema, kind, resource }
    }

    /// Returns `true` if both can be one definition: kind and resource of one may be unknown to the other.
    fn agrees(&self, other: &Self) -> bool {
        self.schema == other.schema
            && agree(self.kind.as_ref(), other.kind.as_ref())
            && agree(self.resource.as_ref(), other.resource.as_ref())
    }
}

fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
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
    fn a_kind_that_others_refer_to_is_one_definition() {
        let claim = |more: Value| {
            let mut claim =
                json!({"type": "object", "description": "d", "properties": {"spec": reference("Spec")}});
            claim.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            claim
        };
        let kind = |group: &str| json!([{"group": group, "version": "v1", "kind": "Claim"}]);
        let of = |group: &str| json!({GROUP_VERSION_KIND: kind(group)});
        let served =
            |group: &str| json!({GROUP_VERSION_KIND: kind(group), PLURAL: "claims", SCOPE: "Namespaced"});
        let set = || json!({"properties": {"claims": {"items": reference("Claim")}}});
        let part = |own: Value| json!({"Set": set(), "Claim": claim(own), "Spec": {"type": "object"}});
        // Another part comes before that of the kind, or after it; a filter takes the kind away from it.
        for other in ["apps/v1", "x.io/v1"] {
            for known in [of("batch"), json!({})] {
                let own = json!({"Claim": claim(served("batch")), "Spec": {"type": "object"}});
                let written = document(&[("batch/v1", own), (other, part(known))]);
                let definitions = &written["definitions"];
                let names: Vec<_> = definitions.as_object().unwrap().keys().collect();
                assert_eq!(names, ["Claim", "Set", "Spec"], "{other}");
                assert_eq!(definitions["Claim"], claim(served("batch")), "{other}");
                assert_eq!(definitions["Set"], set(), "{other}");
            }
        }
        // Kinds of two groups are two.
        for known in [of("x.io"), served("x.io")] {
            let own = json!({"Claim": claim(served("batch"))});
            let written = document(&[("batch/v1", own), ("x.io/v1", part(known.clone()))]);
            let definitions = &written["definitions"];
            assert_eq!(definitions["Claim"], claim(served("batch")));
            assert_eq!(definitions["Claim.x.io.v1"], claim(known));
            assert_eq!(definitions["Set"]["properties"]["claims"]["items"], reference("Claim.x.io.v1"));
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
