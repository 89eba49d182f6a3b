//! Changes of schemas that break, and those that do not.

use super::*;

fn crd(spec: &Value, stored: &[&str]) -> CustomResourceDefinition {
    let value = json!({"metadata": {}, "spec": spec, "status": {"storedVersions": stored}});
    serde_json::from_value(value).unwrap()
}

fn spec(versions: &[(&str, Value)]) -> Value {
    let version = |(name, schema): &(&str, Value)| json!({"name": name, "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    json!({
        "group": "a.dev", "scope": "Namespaced",
        "names": {"plural": "as", "kind": "A", "listKind": "AList", "singular": "a"},
        "versions": versions.iter().map(version).collect::<Vec<_>>(),
    })
}

/// What is found when the schema of one field changes.
fn field(old: &Value, new: &Value) -> Option<String> {
    let schema = |field: &Value| json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"f": field}}}});
    let (old, new) = (spec(&[("v1", schema(old))]), spec(&[("v1", schema(new))]));
    let found = breaking(&crd(&old, &["v1"]), &json!({"spec": new}))?;
    assert!(found.path.starts_with("versions[v1].spec"), "{found:?}");
    Some(format!("{} {}", &found.path["versions[v1].".len()..], found.what))
}

#[test]
fn what_takes_away_is_found_with_its_path() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let table = [
        (
            json!({"type": "string"}),
            json!({"type": "integer"}),
            "spec.f changes its type from string to integer",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!({"type": "string"}),
            "spec.f changes its type from int-or-string to string",
        ),
        (object(json!({"a": {"type": "string"}})), object(json!({})), "spec.f.a is removed"),
        (
            json!({"type": "array", "items": object(json!({"a": {"type": "string"}}))}),
            json!({"type": "array", "items": object(json!({}))}),
            "spec.f[].a is removed",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            "spec.f[*] changes its type from string to integer",
        ),
        (
            object(json!({"a": {"type": "string"}})),
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
            "spec.f.a is required now",
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!({"type": "string", "enum": ["a"]}),
            "spec.f no longer takes \"b\"",
        ),
        (
            json!({"type": "string"}),
            json!({"type": "string", "enum": ["a"]}),
            "spec.f takes certain values only",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "object"}),
            "spec.f takes no fields any more that the schema does not name",
        ),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            object(json!({"a": {"type": "string"}})),
            "spec.f takes no fields any more that the schema does not name",
        ),
        (
            json!({"type": "string"}),
            json!({"type": "string", "pattern": "^a"}),
            "spec.f must match another pattern: \"^a\"",
        ),
    ];
    for (old, new, expected) in table {
        assert_eq!(field(&old, &new).as_deref(), Some(expected), "{old} {new}");
    }
}

#[test]
fn what_adds_or_widens_passes() {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let table = [
        (json!({"type": "string"}), json!({"type": "string", "description": "a word", "maxLength": 9})),
        (json!({"type": "object"}), json!({"type": "object", "properties": {"a": {"type": "string"}}})),
        (json!({"type": "object", "properties": {"a": {"type": "string"}}}), open.clone()),
        (json!({"type": "string"}), json!({"x-kubernetes-preserve-unknown-fields": true})),
        (json!({"type": "object", "required": ["a", "b"]}), json!({"type": "object", "required": ["a"]})),
        (
            json!({"type": "object"}),
            json!({"type": "object", "properties": {"a": {"type": "string", "default": "x"}}, "required": ["a"]}),
        ),
        (json!({"type": "string", "enum": ["a"]}), json!({"type": "string", "enum": ["a", "b"]})),
        (json!({"type": "string", "pattern": "^a"}), json!({"type": "string"})),
    ];
    for (old, new) in table {
        assert_eq!(field(&old, &new), None, "{old} {new}");
    }
}

#[test]
fn identity_and_stored_versions_are_kept() {
    let object = || json!({"type": "object"});
    let old = spec(&[("v1", object()), ("v2", object())]);
    let with = |pointer: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(pointer).unwrap() = value;
        new
    };
    let table = [
        (with("/scope", json!("Cluster")), Some(("scope", Cure::Rebind))),
        (with("/names/kind", json!("B")), Some(("names.kind", Cure::Rebind))),
        (with("/names/singular", json!("b")), Some(("names.singular", Cure::Consent))),
        (spec(&[("v2", object())]), Some(("versions[v1]", Cure::Migrate))),
        (spec(&[("v1", object())]), None),
        (spec(&[("v1", object()), ("v2", object()), ("v3", object())]), None),
    ];
    for (new, expected) in table {
        let found = breaking(&crd(&old, &["v1"]), &json!({"spec": new}));
        let found = found.as_ref().map(|found| (found.path.as_str(), found.cure));
        assert_eq!(found, expected);
    }
}
