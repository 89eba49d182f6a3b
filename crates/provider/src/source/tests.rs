//! Tables of CRDs and what is offered of them.

use serde_json::Value;

use super::*;

fn full(spec: &Value) -> Value {
    let mut full = json!({
        "group": "wildwest.dev", "scope": "Namespaced",
        "names": {"plural": "cowboys", "kind": "Cowboy", "listKind": "CowboyList", "singular": "cowboy"},
        "versions": [version("v1", true, true)],
        "conversion": {"strategy": "None"},
    });
    for (field, value) in spec.as_object().unwrap() {
        full[field] = value.clone();
    }
    json!({"metadata": {"name": "cowboys.wildwest.dev"}, "spec": full})
}

fn crd(spec: &Value) -> SourceCrd {
    serde_json::from_value(full(spec)).unwrap()
}

/// The schema that is written for consumers.
fn schema(spec: &Value) -> portolan_core::api::kubebind::BoundSchemaSpec {
    let crd: FullCrd = serde_json::from_value(full(spec)).unwrap();
    let terms = crd.source().unwrap().terms(Tenancy::default()).unwrap();
    crd.schema(terms).unwrap()
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
fn a_schema_carries_every_field_of_a_version() {
    let carried = schema(&json!({}));
    assert_eq!(
        json!(carried),
        json!({
            "group": "wildwest.dev", "scope": "Namespaced", "informerScope": "Namespaced",
            "names": {"plural": "cowboys", "kind": "Cowboy", "listKind": "CowboyList", "singular": "cowboy"},
            "versions": [version("v1", true, true)],
        })
    );
    let offer = crd(&json!({})).offer(Tenancy::default()).unwrap();
    let read = serde_json::from_value(json!(carried)).unwrap();
    assert_eq!(offer.schema, read, "what plans compare is what is written");
    assert_eq!((offer.hash.len(), offer.dropped), (64, Vec::<String>::new()));
}

#[test]
fn what_is_not_carried_is_named() {
    let mut future = version("v1", true, true);
    future["ofTheFuture"] = json!(true);
    let table = [
        (json!({"preserveUnknownFields": true}), "preserveUnknownFields"),
        (json!({"versions": [future]}), "versions[v1].ofTheFuture"),
        (json!({"ofTheFuture": 1}), "ofTheFuture"),
        (
            json!({"conversion": webhook(&json!({"service": {"name": "s", "namespace": "n"}}))}),
            "conversion.webhook.clientConfig.service",
        ),
    ];
    for (spec, field) in table {
        let dropped = crd(&spec).offer(Tenancy::default()).unwrap().dropped;
        assert_eq!(dropped, [field]);
        assert!(not_carried(&dropped).contains(field));
    }
    assert!(
        crd(&json!({"preserveUnknownFields": false})).offer(Tenancy::default()).unwrap().dropped.is_empty()
    );
}

#[test]
fn a_protected_group_keeps_its_approval() {
    let mut crd = crd(&json!({}));
    let before = crd.offer(Tenancy::default()).unwrap();
    crd.metadata.annotations = Some([(ANNOTATION_API_APPROVED.to_owned(), "https://x".to_owned())].into());
    let offer = crd.offer(Tenancy::default()).unwrap();
    assert_eq!(offer.approved.as_deref(), Some("https://x"));
    assert_ne!(offer.hash, before.hash);
}

#[test]
fn the_hash_follows_the_schema() {
    let hash = |spec: &Value| crd(spec).offer(Tenancy::default()).unwrap().hash;
    assert_eq!(hash(&json!({})), hash(&json!({"preserveUnknownFields": false})));
    assert_ne!(hash(&json!({})), hash(&json!({"preserveUnknownFields": true})));
    assert_ne!(hash(&json!({})), hash(&json!({"versions": [version("v2", true, true)]})));
}

#[test]
fn versions_come_and_go_without_being_named() {
    let versions = [version("v1alpha1", true, false), version("v1api20200601storage", true, true)];
    let offer = crd(&json!({"versions": versions})).offer(Tenancy::default()).unwrap();
    assert!(offer.resource.versions.is_empty());
    let names: Vec<_> = offer.schema.versions.iter().map(|version| version.name.as_str()).collect();
    assert_eq!(names, ["v1alpha1", "v1api20200601storage"]);
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
        let offer = crd.offer(Tenancy::default()).unwrap();
        assert_eq!(offer.drops_conversion(), dropped);
        assert_eq!(offer.schema.conversion.map(|offered| json!(offered)), carried.then_some(conversion));
    }
}

fn webhook(client_config: &Value) -> Value {
    json!({"strategy": "Webhook", "webhook": {"clientConfig": client_config, "conversionReviewVersions": ["v1"]}})
}

#[test]
fn what_cannot_be_offered_is_refused() {
    let cluster = crd(&json!({"scope": "Cluster"}));
    assert!(
        matches!(cluster.offer(Tenancy::default()), Err(OfferRefusal::NotExportable(why)) if why.contains("namespaced"))
    );
    let without_schema = crd(&json!({"versions": [{"name": "v1", "served": true, "storage": true}]}));
    assert!(
        matches!(without_schema.offer(Tenancy::default()), Err(OfferRefusal::NotExportable(why)) if why.contains("schema"))
    );
    let mut terminating = crd(&json!({}));
    terminating.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(terminating.offer(Tenancy::default()).unwrap_err(), OfferRefusal::Terminating);
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
    assert!(
        matches!(claiming("[{]"), Err(OfferRefusal::NotExportable(why)) if why.contains("permission-claims"))
    );
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
            let said =
                matches!(&offer, Err(OfferRefusal::NotExportable(why)) if why.contains("group of exports"));
            assert_eq!(said, refused, "{group}");
            assert_eq!(offer.is_err(), refused, "{group}");
        }
    }
}
