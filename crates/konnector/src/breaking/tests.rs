//! Changes of schemas that break, and those that do not.

use super::*;

fn crd(spec: &Value, stored: &[&str]) -> CrdBody {
    let value = json!({"metadata": {}, "spec": spec, "status": {"storedVersions": stored}});
    serde_json::from_value(value).unwrap()
}

fn spec(versions: &[(&str, Value)]) -> Value {
    // The last one is stored.
    let last = versions.last().map(|(name, _)| *name);
    let version = |(name, schema): &(&str, Value)| json!({"name": name, "served": true, "storage": Some(*name) == last, "schema": {"openAPIV3Schema": schema}});
    json!({
        "group": "a.dev", "scope": "Namespaced",
        "names": {"plural": "as", "kind": "A", "listKind": "AList", "singular": "a"},
        "versions": versions.iter().map(version).collect::<Vec<_>>(),
    })
}

/// The finding when the schema of one field changes.
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
            "spec.f no longer accepts \"b\"",
        ),
        (
            json!({"type": "string"}),
            json!({"type": "string", "enum": ["a"]}),
            "spec.f accepts only certain values",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "object"}),
            "spec.f no longer accepts fields that the schema does not name",
        ),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            object(json!({"a": {"type": "string"}})),
            "spec.f no longer accepts fields that the schema does not name",
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
fn identity_is_kept_and_versions_come_and_go() {
    let object = || json!({"type": "object"});
    let old = spec(&[("v1", object()), ("v2", object())]);
    let with = |pointer: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(pointer).unwrap() = value;
        new
    };
    let table = [
        (with("/scope", json!("Cluster")), Some(("scope", BreakingCure::Rebind))),
        (with("/names/kind", json!("B")), Some(("names.kind", BreakingCure::Rebind))),
        (with("/names/singular", json!("b")), Some(("names.singular", BreakingCure::Consent))),
        (spec(&[("v2", object())]), None),
        (spec(&[("v1", object())]), None),
        (spec(&[("v1", object()), ("v2", object()), ("v3", object())]), None),
    ];
    for (new, expected) in table {
        let found = breaking(&crd(&old, &["v1"]), &json!({"spec": new}));
        let found = found.as_ref().map(|found| (found.path.as_str(), found.cure));
        assert_eq!(found, expected);
    }
}

#[test]
fn a_version_to_store_objects_in_keeps_what_the_one_before_has_kept() {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let text = || json!({"type": "string"});
    let (a, ab) = (object(json!({"a": text()})), object(json!({"a": text(), "b": text()})));
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let lost = Some("versions[v1beta1 -> v1].b is removed");
    let table = [
        // What is stored before and after, and which versions there are after.
        (ab.clone(), spec(&[("v1beta1", ab.clone()), ("v1", a.clone())]), lost),
        (ab.clone(), spec(&[("v1", a.clone())]), lost),
        (a.clone(), spec(&[("v1beta1", a.clone()), ("v1", ab.clone())]), None),
        (a.clone(), spec(&[("v1", ab.clone())]), None),
        (ab.clone(), spec(&[("v1", open)]), None),
        (ab.clone(), spec(&[("v1", a.clone()), ("v1beta1", ab.clone())]), None),
    ];
    for (before, new, expected) in table {
        let old = crd(&spec(&[("v1beta1", before)]), &["v1beta1"]);
        let found =
            breaking(&old, &json!({"spec": new})).map(|found| format!("{} {}", found.path, found.what));
        assert_eq!(found.as_deref(), expected, "{new}");
        let mut converting = json!({"spec": new});
        converting["spec"]["conversion"] = json!({"strategy": "Webhook"});
        assert_eq!(breaking(&old, &converting), None, "a webhook keeps what it likes");
    }
    // A version that was never in use may go with its fields, and one that has long been stored beside may differ.
    let two = spec(&[("v1beta1", ab.clone()), ("v1", a.clone())]);
    assert_eq!(breaking(&crd(&two, &["v1beta1", "v1"]), &json!({"spec": two})), None);
    let one = json!({"spec": spec(&[("v1", a.clone())])});
    assert_eq!(breaking(&crd(&two, &["v1"]), &one), None);
    assert!(breaking(&crd(&two, &["v1beta1", "v1"]), &one).is_some(), "it is rewritten, and loses b");
}
