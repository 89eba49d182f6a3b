//! Schemas of small documents, each of which is valid.

use serde_json::{Value, json};

use super::{ClusterApi, FieldKey, FieldRelation, OperationVerb, ReferenceNeeds, TypeInterner};
use crate::document::Document;

/// A definition of a kind.
pub fn kind(group: &str, kind: &str, more: &Value) -> (String, Value) {
    let mut body = json!({
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": "v1", "kind": kind}],
        "x-kubernetes-scope": "Namespaced", "x-kubernetes-categories": ["all"],
    });
    for (name, property) in more.as_object().into_iter().flatten() {
        body["properties"][name] = property.clone();
    }
    (format!("{group}.v1.{kind}"), body)
}

/// A document of some kinds.
pub fn document(kinds: &[(String, Value)]) -> Vec<u8> {
    let mut definitions = json!({
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "properties": {
            "name": {"type": "string"}, "namespace": {"type": "string"}, "resourceVersion": {"type": "string"},
            "uid": {"type": "string"}, "ownerReferences": {"type": "array", "items": {"$ref": "#/definitions/OwnerReference"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            "generation": {"type": "integer", "format": "int64"},
            "managedFields": {"type": "array", "items": {"$ref": "#/definitions/ManagedFields"}},
        }},
        "ManagedFields": {"type": "object", "properties": {"fieldsV1": {"$ref": "#/definitions/FieldsV1"}, "manager": {"type": "string"}}},
        "FieldsV1": {"type": "object"},
        "OwnerReference": {"type": "object", "properties": {"kind": {"type": "string"}, "name": {"type": "string"}, "uid": {"type": "string"}}},
    });
    for (name, body) in kinds {
        definitions[name] = body.clone();
    }
    json!({"definitions": definitions}).to_string().into_bytes()
}

/// The schema of a document.
pub fn api(kinds: &[(String, Value)]) -> ClusterApi {
    let document = Document::read(&document(kinds)).unwrap();
    let api = ClusterApi::build(&document, &TypeInterner::default()).unwrap();
    if let Err(errors) = api.schema.clone().into_inner().validate() {
        panic!("{errors}");
    }
    api
}

fn has(api: &ClusterApi, ty: &str, field: &str) -> bool {
    api.schema.type_field(ty, field).is_ok()
}

#[test]
fn the_names_are_those_of_the_reference() {
    let api = api(&[
        kind(
            "",
            "ConfigMap",
            &json!({"data": {"type": "object", "additionalProperties": {"type": "string"}}}),
        ),
        kind("apps", "Deployment", &json!({})),
    ]);
    for (ty, field) in [
        ("Query", "v1"),
        ("Query", "apps"),
        ("AppsQuery", "v1"),
        ("V1Query", "ConfigMaps"),
        ("V1Query", "ConfigMap"),
        ("V1Query", "ConfigMapYaml"),
        ("AppsV1Query", "Deployments"),
        ("V1Mutation", "createConfigMap"),
        ("V1Mutation", "updateConfigMap"),
        ("V1Mutation", "deleteConfigMap"),
        ("AppsV1Mutation", "scaleDeployment"),
        ("Mutation", "applyYaml"),
        ("Subscription", "v1_configmaps"),
        ("Subscription", "apps_v1_deployment"),
        ("V1ConfigMapList", "remainingItemCount"),
        ("V1ConfigMapEvent", "type"),
        ("V1ConfigMap", "data"),
        ("Query", "typeByCategory"),
    ] {
        assert!(has(&api, ty, field), "{ty}.{field}\n{}", api.sdl());
    }
    let sdl = api.sdl();
    assert!(sdl.contains("data: StringMap_Input") && sdl.contains("input V1ConfigMap_Input"), "{sdl}");
    assert!(sdl.contains("generation: Long") && sdl.contains("fieldsV1_json: JSON"), "{sdl}");
}

#[test]
fn natural_names_win_over_made_ones() {
    let names = [
        "Foo",
        "FooStatus",
        "FooYaml",
        "FooEvent",
        "FooList",
        "Foos",
        "HTTPRoute",
        "HttpRoute",
        "Query",
        "Endpoints",
    ];
    let status = json!({"status": {"type": "object", "properties": {"a": {"type": "string"}}}});
    let mut kinds: Vec<_> = names.map(|name| kind("x.io", name, &status)).into();
    let all = api(&kinds);
    for name in names {
        assert!(has(&all, "XIoV1Query", name) || has(&all, "XIoV1_Query", name), "{name}\n{}", all.sdl());
    }
    let operation = |ty: &str, field: &str| {
        let key = (apollo_compiler::Name::new_unchecked(ty), apollo_compiler::Name::new_unchecked(field));
        let found = all.operations.get(&key).unwrap_or_else(|| panic!("no {field}: {}", all.sdl()));
        (found.verb, all.kinds[found.kind.unwrap()].resource.name.kind.as_str())
    };
    let (queries, mutations) = ("XIoV1_Query", "XIoV1Mutation");
    assert_eq!(operation(queries, "FooYaml"), (OperationVerb::Get, "FooYaml"));
    assert_eq!(operation(queries, "Foo_yaml"), (OperationVerb::Yaml, "Foo"));
    assert_eq!(operation(queries, "Foos"), (OperationVerb::Get, "Foos"));
    assert_eq!(operation(queries, "Foo_list"), (OperationVerb::List, "Foo"));
    assert_eq!(operation(queries, "Endpoints_list"), (OperationVerb::List, "Endpoints"));
    assert_eq!(operation(mutations, "updateFooStatus"), (OperationVerb::Update, "FooStatus"));
    assert_eq!(operation(mutations, "updateFoo_status"), (OperationVerb::UpdateStatus, "Foo"));
    kinds.reverse();
    assert_eq!(api(&kinds).sdl(), all.sdl());
}

#[test]
fn groups_that_look_alike_are_kept_apart() {
    let api = api(&[kind("a-b.io", "Foo", &json!({})), kind("a.b.io", "Foo", &json!({}))]);
    assert!(has(&api, "Query", "a_b_io"));
    let fields = &api.schema.get_object("Query").unwrap().fields;
    assert!(fields.keys().any(|name| name.starts_with("a_b_io_")), "{:?}", fields.keys());
}

#[test]
fn fields_that_look_alike_read_their_own_keys() {
    let unknown = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let spec = json!({"spec": {"type": "object", "properties": {
        "foo-bar": {"type": "string"}, "foo_bar": {"type": "integer"}, "foo.bar": {"type": "boolean"},
        "a": unknown, "a_json": {"type": "string"}, "port": {"x-kubernetes-int-or-string": true},
        "recursive": {"$ref": "#/definitions/Tree"},
    }}});
    let tree = (
        "Tree".to_owned(),
        json!({"type": "object", "properties": {"$ref": {"type": "string"}, "not": {"$ref": "#/definitions/Tree"}}}),
    );
    let api = api(&[kind("x.io", "Foo", &spec), tree]);
    let fields = &api.schema.get_object("XIoV1FooSpec").unwrap().fields;
    assert_eq!(
        (fields["foo_bar"].ty.to_string(), fields["a_json"].ty.to_string()),
        ("Long".into(), "String".into())
    );
    assert_eq!(
        (fields["a"].ty.to_string(), fields["port_json"].ty.to_string()),
        ("JSONString".into(), "JSON".into())
    );
    assert_eq!(fields.len(), 9, "{:?}", fields.keys());
    let keys: Vec<_> =
        api.keys.iter().filter(|((ty, _), _)| ty == "XIoV1FooSpec").map(|(_, key)| key.clone()).collect();
    for raw in ["foo-bar", "foo.bar", "a", "port"] {
        assert!(keys.contains(&FieldKey::Of(raw.into())), "{raw}");
    }
    assert_eq!(api.schema.get_object("Tree").unwrap().fields["not"].ty.to_string(), "Tree");
}

/// Two groups have a `ProviderConfig`: which of them a reference means depends on whose it is.
#[test]
fn references_lead_to_their_own_group_first() {
    let reference = |more: Value| {
        let mut reference = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        for (name, property) in more.as_object().into_iter().flatten() {
            reference["properties"][name] = property.clone();
        }
        reference
    };
    let text = json!({"type": "string"});
    let spec = |key: &str, reference: &Value| json!({"spec": {"type": "object", "properties": {key: reference, "in": {"type": "object", "properties": {key: reference}}}}});
    let plain = spec("providerConfigRef", &reference(json!({})));
    let both = spec("issuerRef", &reference(json!({"kind": text, "group": text})));
    let core = spec("secretRef", &reference(json!({})));
    let api = api(&[
        kind("a.io", "ProviderConfig", &json!({})),
        kind("b.io", "ProviderConfig", &json!({})),
        kind("a.io", "Bucket", &plain),
        kind("b.io", "Bucket", &plain),
        kind("c.io", "Bucket", &plain),
        kind("", "Secret", &json!({})),
        kind("c.io", "Secret", &json!({})),
        kind("a.io", "Vault", &core),
        kind("a.io", "Issuer", &json!({})),
        kind("a.io", "ClusterIssuer", &json!({})),
        kind("b.io", "Certificate", &both),
    ]);
    let table = [
        ("AIoV1BucketSpec", "providerConfig", "a.io", (false, false)),
        ("AIoV1BucketSpecIn", "providerConfig", "a.io", (false, false)),
        ("BIoV1BucketSpec", "providerConfig", "b.io", (false, false)),
        ("BIoV1BucketSpecIn", "providerConfig", "b.io", (false, false)),
        ("CIoV1BucketSpec", "providerConfig", "a.io", (false, true)),
        ("AIoV1VaultSpec", "secret", "", (false, false)),
        ("BIoV1CertificateSpec", "issuer", "a.io", (false, false)),
        ("BIoV1CertificateSpec", "clusterIssuer", "a.io", (true, false)),
    ];
    for (ty, field, group, (kind, is_group)) in table {
        let place = (apollo_compiler::Name::new_unchecked(ty), apollo_compiler::Name::new_unchecked(field));
        let found = api.relations.get(&place).unwrap_or_else(|| panic!("no {field} in {ty}"));
        let FieldRelation::Reference { kind: index, needs, .. } = found else { panic!("{found:?}") };
        let known = &api.kinds[*index].resource.name;
        assert_eq!(known.group, group, "{field} of {ty}");
        assert_eq!(*needs, ReferenceNeeds { kind, group: is_group }, "{field} of {ty}");
        let returned = &api.schema.type_field(ty, field).unwrap().ty;
        assert_eq!(returned.inner_named_type(), &api.kinds[*index].type_name, "{field} of {ty}");
    }
}

#[test]
fn kinds_are_offered_what_their_api_takes() {
    let mut review = kind("authentication.k8s.io", "TokenReview", &json!({}));
    review.1["x-kubernetes-verbs"] = json!(["create"]);
    let api = api(&[review, kind("", "Pod", &json!({}))]);
    assert!(has(&api, "AuthenticationK8sIoV1Mutation", "createTokenReview"));
    assert!(
        !has(&api, "AuthenticationK8sIoV1Mutation", "deleteTokenReview")
            && !has(&api, "Query", "authentication_k8s_io")
    );
    assert!(has(&api, "Subscription", "podLogs"));
}

#[test]
fn clusters_share_their_types() {
    let interner = TypeInterner::default();
    let build = |kinds: &[(String, Value)]| {
        ClusterApi::build(&Document::read(&document(kinds)).unwrap(), &interner).unwrap()
    };
    let first = build(&[kind("", "Pod", &json!({}))]);
    let before = interner.len();
    let second = build(&[kind("", "Pod", &json!({})), kind("x.io", "Foo", &json!({}))]);
    assert!(first.schema.get_object("V1Pod").unwrap().ptr_eq(second.schema.get_object("V1Pod").unwrap()));
    assert!(interner.len() > before);
    interner.keep([&*first.schema].into_iter());
    assert_eq!(interner.len(), before);
}
