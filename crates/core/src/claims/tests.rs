//! Claims and paths as tables.

use serde_json::{Value, json};

use super::*;

fn read_json(claims: Value, isolation: Isolation) -> (Vec<ResourceClaim>, Vec<String>) {
    let claims: Vec<PermissionClaim> = serde_json::from_value(claims).unwrap();
    let exported = ExportedResource {
        group: "wildwest.dev".to_owned(),
        resource: "cowboys".to_owned(),
        versions: Vec::new(),
    };
    let (valid, invalid) = read(&claims, &[exported], isolation);
    (valid, invalid.iter().map(ToString::to_string).collect())
}

#[test]
fn paths_lead_to_texts_and_keep_the_place_of_what_is_missing() {
    let object = json!({"spec": {
        "ref": {"name": "a"}, "number": 1, "dotted.key": "d", "names": ["x", "y"],
        "refs": [{"name": "b", "namespace": "n"}, {"name": "c"}, {"namespace": "m"}],
    }});
    let table: [(&str, &[Option<&str>]); 8] = [
        ("spec.ref.name", &[Some("a")]),
        ("spec.refs.#.name", &[Some("b"), Some("c"), None]),
        ("spec.refs.#.namespace", &[Some("n"), None, Some("m")]),
        ("spec.refs.1.name", &[Some("c")]),
        ("spec.names", &[Some("x"), Some("y")]),
        ("spec.dotted\\.key", &[Some("d")]),
        ("spec.number", &[None]),
        ("spec.absent.#.name", &[None]),
    ];
    for (path, expected) in table {
        assert_eq!(FieldPath::parse(path).unwrap().texts(&object), expected, "{path}");
    }
}

#[test]
fn what_is_not_a_plain_path_is_refused() {
    for path in
        ["", "a..b", "spec.refs[*].name", "a.*", "a.#", "a.#(x==1).b", "a|b", "@this", "a\\", "a.#b.c"]
    {
        let error = FieldPath::parse(path).unwrap_err().to_string();
        assert!(error.contains("use a.b"), "{path}: {error}");
    }
}

#[test]
fn a_claim_chooses_by_labels_or_by_names() {
    let selector = json!({
        "labelSelector": {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]},
        "namedResources": [{"name": "one", "namespace": "n"}, {"name": "any"}],
    });
    let (valid, invalid) =
        read_json(json!([{"resource": "secrets", "selector": selector}]), Isolation::Prefixed);
    assert!(invalid.is_empty(), "{invalid:?}");
    let claim = &valid[0];
    assert_eq!((claim.resource, claim.label_keys.len()), (ClaimedResource::Secrets, 2));
    let labels = |entries: &[(&str, &str)]| {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    assert!(claim.chooses_labels(&labels(&[("app", "a"), ("tier", "x")])));
    assert!(!claim.chooses_labels(&labels(&[("app", "a")])));
    assert!(claim.names("n", "one") && claim.names("m", "any") && !claim.names("m", "one"));
}

#[test]
fn an_empty_selector_chooses_nothing() {
    let (valid, _) = read_json(json!([{"resource": "configmaps", "selector": {}}]), Isolation::Prefixed);
    assert!(!valid[0].chooses_labels(&BTreeMap::new()) && !valid[0].names("n", "a"));
}

#[test]
fn what_cannot_be_claimed_is_named() {
    let reference = |resource: &str, path: &str, versions: Value| {
        json!([{"resource": "secrets", "selector": {"references": [{
            "group": "wildwest.dev", "resource": resource, "versions": versions, "jsonPath": {"name": path},
        }]}}])
    };
    let table = [
        (json!([{"resource": "pods", "selector": {}}]), "\"pods\" of group \"\" cannot be claimed"),
        (json!([{"group": "x", "resource": "secrets", "selector": {}}]), "group \"x\" cannot be claimed"),
        (
            json!([{"resource": "secrets", "selector": {}}, {"resource": "secrets", "selector": {}}]),
            "several claims on secrets",
        ),
        (reference("sheriffs", "spec.a", json!([])), "not in the same export"),
        (reference("cowboys", "spec.a[*].b", json!([])), "spec.a[*].b"),
        (
            json!([{"resource": "secrets", "selector": {"labelSelector": {"matchExpressions": [
                {"key": "a", "operator": "Like"}]}}}]),
            "operator \"Like\"",
        ),
        (json!([{"resource": "secrets", "selector": {"namedResources": [{"name": ""}]}}]), "has no name"),
    ];
    for (claims, expected) in table {
        let (_, invalid) = read_json(claims, Isolation::Prefixed);
        assert!(invalid.len() == 1 && invalid[0].contains(expected), "{invalid:?}");
    }
    let elsewhere = |versions| read_json(reference("sheriffs", "spec.a", versions), Isolation::None).1;
    assert_eq!(elsewhere(json!(["v1"])), Vec::<String>::new());
    assert!(elsewhere(json!([]))[0].contains("without a version"));
}
