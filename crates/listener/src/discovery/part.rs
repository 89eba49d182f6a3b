//! One part of a document: the OpenAPI of a group-version in the document's shape, extended by what discovery knows of
//! its kinds. Schemas are converted one by one; a document of ten megabytes is never in memory as a tree.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use portolan_core::{
    api::gateway::SchemaFilter,
    schema_document::{
        CATEGORIES, GROUP_VERSION_KIND, PLURAL, PREFERRED, REF_PREFIX, SCOPE, SHORT_NAMES, SINGULAR,
        SUBRESOURCES, VERBS, referred,
    },
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::resources::{GroupVersion, KindResource};

const COMPONENTS: &str = "#/components/schemas/";
/// Maximum size of one schema, which is a tree in memory, of up to eighty times its size. No API server takes a CRD of
/// half as much.
const ONE_SCHEMA: usize = 4 * 1024 * 1024;

/// A part that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadePart {
    pub bytes: Vec<u8>,
    /// Number of served kinds.
    pub kinds: usize,
    /// Number of described kinds without a resource.
    pub orphans: usize,
}

/// Reasons why no part can be made.
#[derive(Debug, thiserror::Error)]
pub enum NoPart {
    /// The input does not have the shape of an OpenAPI document.
    #[error("not an OpenAPI document")]
    Shape(#[from] serde_json::Error),
    /// Something has more bytes than that.
    #[error("{0} has more than {1} bytes")]
    TooLarge(&'static str, usize),
}

/// The role of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SchemaRole {
    /// A served kind.
    Kind,
    /// A kind of this group-version without a resource.
    Orphan,
    /// Anything else.
    Type,
}

#[derive(Deserialize)]
struct OpenApiDocument<'a> {
    #[serde(borrow)]
    components: Option<OpenApiComponents<'a>>,
}

#[derive(Deserialize)]
struct OpenApiComponents<'a> {
    #[serde(borrow, default)]
    schemas: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

/// Makes a part of at most `max_bytes`. The same input gives the same bytes.
pub fn make(
    openapi: &[u8],
    resources: &GroupVersion,
    filter: Option<&SchemaFilter>,
    max_bytes: usize,
) -> Result<MadePart, NoPart> {
    let wire: OpenApiDocument<'_> = serde_json::from_slice(openapi)?;
    let schemas = wire.components.map(|components| components.schemas).unwrap_or_default();
    if schemas.values().any(|raw| raw.get().len() > ONE_SCHEMA) {
        return Err(NoPart::TooLarge("a schema", ONE_SCHEMA));
    }
    let wanted = match filter {
        None => None,
        Some(filter) => Some(closure(&schemas, |kind| is_served(resources, filter, kind))?),
    };
    // It need not grow: what is left out of the answer has more bytes than what is added.
    let mut bytes: Vec<u8> = Vec::with_capacity(openapi.len());
    bytes.extend_from_slice(b"{\"definitions\":{");
    let (mut kinds, mut orphans) = (0, 0);
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.contains(name));
    for (place, (name, raw)) in schemas.iter().filter(|(name, _)| is_wanted(name)).enumerate() {
        let mut schema: Value = serde_json::from_str(raw.get())?;
        convert(&mut schema);
        let role = extend(&mut schema, resources, filter);
        kinds += usize::from(role == SchemaRole::Kind);
        orphans += usize::from(role == SchemaRole::Orphan);
        if place > 0 {
            bytes.push(b',');
        }
        serde_json::to_writer(&mut bytes, name.as_ref())?;
        bytes.push(b':');
        serde_json::to_writer(&mut bytes, &schema)?;
        // What discovery knows of a kind comes with every schema that claims to be of it.
        if bytes.len() > max_bytes {
            return Err(NoPart::TooLarge("the document made of the answer", max_bytes));
        }
    }
    bytes.extend_from_slice(b"}}");
    // A copy: an allocator may leave a block that shrinks as large as it was.
    Ok(MadePart { bytes: Vec::from(bytes.as_slice()), kinds, orphans })
}

fn is_served(resources: &GroupVersion, filter: &SchemaFilter, kind: &str) -> bool {
    resources.kinds.contains_key(kind) && filter.selects(&resources.group, &resources.version, kind)
}

/// The names of the schemas that the selected kinds need.
fn closure(
    schemas: &BTreeMap<Cow<'_, str>, &RawValue>,
    selects: impl Fn(&str) -> bool,
) -> Result<BTreeSet<String>, serde_json::Error> {
    let mut pending = Vec::new();
    for (name, raw) in schemas {
        if raw.get().contains(GROUP_VERSION_KIND)
            && own_kind(&serde_json::from_str(raw.get())?).is_some_and(|(_, kind)| selects(&kind))
        {
            pending.push(name.to_string());
        }
    }
    let mut found = BTreeSet::new();
    while let Some(name) = pending.pop() {
        let Some(raw) = schemas.get(name.as_str()) else { continue };
        if found.insert(name) {
            let mut schema: Value = serde_json::from_str(raw.get())?;
            convert(&mut schema);
            pending.extend(referred(&schema).into_iter().map(str::to_owned));
        }
    }
    Ok(found)
}

/// Group-version and kind of a schema that has exactly one.
fn own_kind(schema: &Value) -> Option<((String, String), String)> {
    let [only] = schema.get(GROUP_VERSION_KIND)?.as_array()?.as_slice() else { return None };
    let text = |member: &str| only.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(((text("group"), text("version")), text("kind")))
}

/// Adds what discovery knows to the schema of a kind.
fn extend(schema: &mut Value, resources: &GroupVersion, filter: Option<&SchemaFilter>) -> SchemaRole {
    let Some(((group, version), name)) = own_kind(schema) else { return SchemaRole::Type };
    let ours = group == resources.group && version == resources.version;
    let selected = filter.is_none_or(|filter| filter.selects(&group, &version, &name));
    let kind = resources.kinds.get(&name).filter(|_| ours && selected);
    let Some(members) = schema.as_object_mut() else { return SchemaRole::Type };
    let Some(kind) = kind else {
        if filter.is_some() {
            // It is only referred to, not served.
            members.remove(GROUP_VERSION_KIND);
        }
        let is_orphan = ours && filter.is_none() && !name.ends_with("List");
        return if is_orphan { SchemaRole::Orphan } else { SchemaRole::Type };
    };
    for (extension, value) in extensions(kind, resources.preferred) {
        members.insert(extension.to_owned(), value);
    }
    SchemaRole::Kind
}

fn extensions(kind: &KindResource, preferred: bool) -> [(&'static str, Value); 8] {
    [
        (SCOPE, json!(if kind.namespaced { "Namespaced" } else { "Cluster" })),
        (CATEGORIES, json!(kind.categories)),
        (PLURAL, json!(kind.plural)),
        (SINGULAR, json!(kind.singular)),
        (VERBS, json!(kind.verbs)),
        (SUBRESOURCES, json!(kind.subresources)),
        (SHORT_NAMES, json!(kind.short_names)),
        (PREFERRED, json!(preferred)),
    ]
}

/// Converts from the shape of OpenAPI v3 to that of the document: `{"allOf": [{"$ref": ..}]}` becomes `{"$ref": ..}`.
fn convert(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(target) = only_reference(members.get("allOf")) {
                members.remove("allOf");
                // OpenAPI's empty default means nothing here.
                members.remove("default");
                members.insert("$ref".to_owned(), target);
            }
            if let Some(Value::String(target)) = members.get_mut("$ref")
                && let Some(name) = target.strip_prefix(COMPONENTS)
            {
                *target = format!("{REF_PREFIX}{name}");
            }
            members.values_mut().for_each(convert);
        }
        Value::Array(items) => items.iter_mut().for_each(convert),
        _ => {}
    }
}

fn only_reference(all_of: Option<&Value>) -> Option<Value> {
    let [only] = all_of?.as_array()?.as_slice() else { return None };
    let members = only.as_object()?;
    members.get("$ref").filter(|target| members.len() == 1 && target.is_string()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 8 * 1024 * 1024;

    fn openapi() -> Value {
        let reference = |name: &str| json!({"$ref": format!("{COMPONENTS}{name}")});
        let kind = |kind: &str| json!([{"group": "apps", "version": "v1", "kind": kind}]);
        json!({"components": {"schemas": {
            "apps.Deployment": {"type": "object", "properties": {
                "metadata": {"allOf": [reference("Meta")], "default": {}, "description": "d"},
                "replicas": {"items": {"allOf": [reference("Replica")]}},
            }, "x-kubernetes-group-version-kind": kind("Deployment")},
            "apps.DeploymentList": {"x-kubernetes-group-version-kind": kind("DeploymentList")},
            "apps.Other": {"x-kubernetes-group-version-kind": kind("Other")},
            "Replica": {"properties": {"other": reference("apps.Other")}},
            "Meta": {"type": "object"},
            "Unused": {},
        }}})
    }

    fn resources() -> GroupVersion {
        let kind = |plural: &str| KindResource {
            plural: plural.to_owned(),
            singular: "deployment".to_owned(),
            namespaced: true,
            verbs: vec!["get".to_owned()],
            subresources: vec!["scale".to_owned()],
            short_names: vec!["deploy".to_owned()],
            categories: vec!["all".to_owned()],
        };
        GroupVersion {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            preferred: true,
            stale: false,
            kinds: [("Deployment".to_owned(), kind("deployments")), ("Other".to_owned(), kind("others"))]
                .into(),
        }
    }

    #[test]
    fn kinds_that_discovery_does_not_know_yet_are_noted() {
        let mut late = resources();
        late.kinds.remove("Other");
        let made = make(openapi().to_string().as_bytes(), &late, None, MAX).unwrap();
        assert_eq!((made.kinds, made.orphans), (1, 1));
    }

    #[test]
    fn a_part_keeps_no_room_to_grow() {
        let made = make(openapi().to_string().as_bytes(), &resources(), None, MAX).unwrap();
        assert_eq!(made.bytes.capacity(), made.bytes.len());
    }

    fn definitions(filter: Option<&SchemaFilter>) -> (Value, usize) {
        let made = make(openapi().to_string().as_bytes(), &resources(), filter, MAX).unwrap();
        let value: Value = serde_json::from_slice(&made.bytes).unwrap();
        (value["definitions"].clone(), made.kinds)
    }

    #[test]
    fn kinds_carry_what_discovery_knows() {
        let (definitions, kinds) = definitions(None);
        assert_eq!(kinds, 2);
        let deployment = &definitions["apps.Deployment"];
        assert_eq!(
            deployment["properties"]["metadata"],
            json!({"$ref": "#/definitions/Meta", "description": "d"})
        );
        assert_eq!(deployment["properties"]["replicas"]["items"], json!({"$ref": "#/definitions/Replica"}));
        for (extension, value) in [
            (GROUP_VERSION_KIND, json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])),
            (SCOPE, json!("Namespaced")),
            (CATEGORIES, json!(["all"])),
            (PLURAL, json!("deployments")),
            (SINGULAR, json!("deployment")),
            (VERBS, json!(["get"])),
            (SUBRESOURCES, json!(["scale"])),
            (SHORT_NAMES, json!(["deploy"])),
            (PREFERRED, json!(true)),
        ] {
            assert_eq!(deployment[extension], value, "{extension}");
        }
        assert!(definitions["apps.DeploymentList"].get(SCOPE).is_none(), "a list is no resource");
        assert!(definitions.get("Unused").is_some());
    }

    #[test]
    fn a_filter_keeps_kinds_and_what_they_refer_to() {
        let filter: SchemaFilter =
            serde_json::from_value(json!({"include": [{"group": "apps", "kinds": ["Deployment"]}]})).unwrap();
        let (definitions, kinds) = definitions(Some(&filter));
        assert_eq!(kinds, 1);
        let names: Vec<_> = definitions.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["Meta", "Replica", "apps.Deployment", "apps.Other"]);
        let other = &definitions["apps.Other"];
        assert!(other.get(GROUP_VERSION_KIND).is_none() && other.get(PLURAL).is_none(), "{other}");
    }

    #[test]
    fn little_that_becomes_much_is_refused() {
        let kind = json!([{"group": "apps", "version": "v1", "kind": "Deployment"}]);
        let claim = |number: usize| (number.to_string(), json!({"x-kubernetes-group-version-kind": kind}));
        let claims: serde_json::Map<_, _> = (0..100).map(claim).collect();
        let openapi = json!({"components": {"schemas": claims}}).to_string();
        let mut resources = resources();
        let long = "c".repeat(1000);
        resources.kinds.get_mut("Deployment").unwrap().categories = vec![long];
        assert!(make(openapi.as_bytes(), &resources, None, 200_000).is_ok());
        let much = make(openapi.as_bytes(), &resources, None, 50_000).unwrap_err();
        assert!(matches!(much, NoPart::TooLarge(_, 50_000)), "{much}");
        let tree = format!("[{}0]", r#"{"":0},"#.repeat(ONE_SCHEMA / 7 + 1));
        let openapi = format!(r#"{{"components":{{"schemas":{{"a":{tree}}}}}}}"#);
        let tree = make(openapi.as_bytes(), &resources, None, MAX).unwrap_err();
        assert!(matches!(tree, NoPart::TooLarge(_, ONE_SCHEMA)), "{tree}");
    }

    #[test]
    fn what_is_no_openapi_is_refused_and_nothing_is_nothing() {
        assert!(make(b"<html>", &resources(), None, MAX).is_err());
        assert_eq!(make(b"{}", &resources(), None, MAX).unwrap().bytes, b"{\"definitions\":{}}");
        let deep =
            format!(r#"{{"components":{{"schemas":{{"a":{}{}}}}}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(
            make(deep.as_bytes(), &resources(), None, MAX).is_err(),
            "deep nesting must not overflow the stack"
        );
    }
}
