//! Tables of CRDs and what is offered of them.

use super::*;

fn crd(spec: &Value) -> SourceCrd {
    let mut full = json!({
        "group": "wildwest.dev", "scope": "Namespaced",
        "names": {"plural": "cowboys", "kind": "Cowboy", "listKind": "CowboyList", "singular": "cowboy"},
        "versions": [version("v1", true, true)],
        "conversion": {"strategy": "None"},
    });
    for (field, value) in spec.as_object().unwrap() {
        full[field] = value.clone();
    }
    serde_json::from_value(json!({"metadata": {"name": "cowboys.wildwest.dev"}, "spec": full})).unwrap()
}

fn version(name: &str, served: bool, storage: bool) -> Value {
    json!({
        "name": name, "served": served, "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "x-of-the-future": {"maximum": 1.5}}},
        "subresources": {"status": {}},
        "selectableFields": [{"jsonPath": ".spec.intent"}],
        "additionalPrinterColumns": [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
    })
}

#[test]
fn a_schema_is_the_crd_without_what_is_not_carried() {
    let offer = crd(&json!({})).offer(Tenancy::default()).unwrap();
    let mut carried = version("v1", true, true);
    carried.as_object_mut().unwrap().remove("selectableFields");
    assert_eq!(
        json!(offer.schema),
        json!({
            "group": "wildwest.dev", "scope": "Namespaced", "informerScope": "Namespaced",
            "names": {"plural": "cowboys", "kind": "Cowboy", "listKind": "CowboyList", "singular": "cowboy"},
            "versions": [carried],
        })
    );
    assert_eq!(offer.hash.len(), 64);
}

#[test]
fn the_hash_follows_the_schema() {
    let hash = |spec: &Value| crd(spec).offer(Tenancy::default()).unwrap().hash;
    assert_eq!(hash(&json!({})), hash(&json!({"preserveUnknownFields": false})));
    assert_ne!(hash(&json!({})), hash(&json!({"versions": [version("v2", true, true)]})));
}

#[test]
fn served_versions_are_named_with_the_stored_one_first() {
    let versions = [
        version("v1alpha1", true, false),
        version("v1beta1", false, false),
        version("v1", true, true),
        version("v2", true, false),
    ];
    assert_eq!(
        crd(&json!({"versions": versions})).offer(Tenancy::default()).unwrap().resource.versions,
        ["v1", "v1alpha1", "v2"]
    );
}

#[test]
fn a_webhook_is_carried_if_consumers_can_reach_it() {
    let reachable = json!({"url": "https://convert.example", "caBundle": "Q0E="});
    let table = [
        (json!({"strategy": "None"}), false, false),
        (webhook(&reachable), true, false),
        (webhook(&json!({"service": {"name": "s", "namespace": "n"}})), false, true),
    ];
    for (conversion, carried, dropped) in table {
        let crd = crd(&json!({"conversion": conversion}));
        let offered = crd.offer(Tenancy::default()).unwrap().schema.conversion;
        assert_eq!(offered.map(|offered| json!(offered)), carried.then_some(conversion));
        assert_eq!(crd.drops_conversion(), dropped);
    }
}

fn webhook(client_config: &Value) -> Value {
    json!({"strategy": "Webhook", "webhook": {"clientConfig": client_config, "conversionReviewVersions": ["v1"]}})
}

#[test]
fn what_cannot_be_offered_is_refused() {
    let cluster = crd(&json!({"scope": "Cluster"}));
    assert!(
        matches!(cluster.offer(Tenancy::default()), Err(Refusal::NotExportable(why)) if why.contains("namespaced"))
    );
    let without_schema = crd(&json!({"versions": [{"name": "v1", "served": true, "storage": true}]}));
    assert!(
        matches!(without_schema.offer(Tenancy::default()), Err(Refusal::NotExportable(why)) if why.contains("schema"))
    );
    let mut terminating = crd(&json!({}));
    terminating.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(terminating.offer(Tenancy::default()).unwrap_err(), Refusal::Terminating);
}

#[test]
fn claims_go_with_the_offer_and_a_broken_annotation_is_named() {
    let claiming = |text: &str| {
        let mut crd = crd(&json!({}));
        let annotation = (ANNOTATION_PERMISSION_CLAIMS.to_owned(), text.to_owned());
        crd.metadata.annotations = Some([annotation].into());
        crd.offer(Tenancy::default())
    };
    let offer = claiming(r#"[{"resource": "secrets", "selector": {}}]"#).unwrap();
    assert_eq!(offer.claims[0].resource, "secrets");
    assert_eq!(offer.hash, crd(&json!({})).offer(Tenancy::default()).unwrap().hash);
    assert!(matches!(claiming("[{]"), Err(Refusal::Unclear(why)) if why.contains("permission-claims")));
}

#[test]
fn our_own_group_is_not_offered_whatever_else_a_crd_says() {
    for (group, refused) in [
        ("kube-bind.io", true),
        ("x.kube-bind.io", false),
        ("gateway.networking.k8s.io", false),
        ("snapshot.storage.k8s.io", false),
        ("metrics.k8s.io", false),
    ] {
        let sharing = Tenancy { allow_shared: true, ..Tenancy::default() };
        for tenancy in [Tenancy::default(), sharing] {
            let offer = crd(&json!({"group": group})).offer(tenancy);
            let said = matches!(&offer, Err(Refusal::NotExportable(why)) if why.contains("group of exports"));
            assert_eq!(said, refused, "{group}");
            assert_eq!(offer.is_err(), refused, "{group}");
        }
    }
}
