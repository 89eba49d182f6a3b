//! Tables of CRDs and exports, and whether the export stays.

use portolan_core::{
    api::kubebind::{APIServiceExportStatus, CONDITION_CONNECTED, REASON_NOT_BOUND},
    condition,
};
use serde_json::{Value, json};

use super::*;
use crate::{contract::ConsumerContract, tenancy::IsolationFlag};

fn crd(scope: &str, annotations: &Value, versions: &Value) -> SourceCrd {
    serde_json::from_value(json!({
        "metadata": {"name": "cowboys.wildwest.dev", "annotations": annotations},
        "spec": {
            "group": "wildwest.dev", "scope": scope, "versions": versions,
            "names": {"plural": "cowboys", "kind": "Cowboy"},
        },
    }))
    .unwrap()
}

fn good() -> Value {
    json!([{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}])
}

/// An export on the terms that hold for a CRD by default.
fn export(connected: Option<Verdict>) -> APIServiceExport {
    let mut export: APIServiceExport = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport",
        "metadata": {"name": "cowboys.wildwest.dev"},
        "spec": {
            "resources": [{"group": "wildwest.dev", "resource": "cowboys"}],
            "informerScope": "Namespaced", "isolation": "Prefixed",
        },
    }))
    .unwrap();
    if let Some(connected) = connected {
        let mut status = APIServiceExportStatus::default();
        condition::set(&mut status.conditions, CONDITION_CONNECTED, connected, jiff::Timestamp::UNIX_EPOCH);
        export.status = Some(status);
    }
    export
}

/// The verdict on an export: its reason, if it has to explain itself.
fn said(wanted: &WantedExport) -> String {
    match wanted {
        WantedExport::Nothing => "withdrawn".to_owned(),
        WantedExport::AsItIs(None) => "as it is".to_owned(),
        WantedExport::AsItIs(Some(why)) => format!("as it is: {}", why.reason),
        WantedExport::Offer(offer, None) => format!("offered: {:?}", offer.terms.isolation),
        WantedExport::Offer(offer, Some(why)) => {
            format!("offered: {:?}: {}", offer.terms.isolation, why.reason)
        }
    }
}

#[test]
fn only_the_label_the_crd_or_the_choice_withdraws() {
    let used = || Some(export(Some(Verdict::holds())));
    let flag = |isolation, allow_shared| Tenancy { isolation, allow_shared, ..Tenancy::default() };
    let plain = Tenancy::default();
    let annotated = |key: &str, value: &str| json!({key: value});
    let isolation = "kube-bind.io/isolation";
    let kept = "offered: Prefixed: NotExportable";
    let table = [
        ("a CRD as before", crd("Namespaced", &json!({}), &good()), plain, "offered: Prefixed"),
        ("a typo", crd("Namespaced", &annotated(isolation, "Prefixd"), &good()), plain, kept),
        ("a typo", crd("Namespaced", &annotated("kube-bind.io/consumer-scope", "x"), &good()), plain, kept),
        ("impossible", crd("Cluster", &annotated(isolation, "namespaced"), &good()), plain, kept),
        ("no --allow-shared", crd("Cluster", &json!({}), &good()), plain, kept),
        (
            "no schema",
            crd("Namespaced", &json!({}), &json!([{"name": "v1", "served": true, "storage": true}])),
            plain,
            "as it is: NotExportable",
        ),
        (
            "broken claims",
            crd("Namespaced", &annotated("kube-bind.io/permission-claims", "[{]"), &good()),
            plain,
            "as it is: NotExportable",
        ),
        (
            "another flag",
            crd("Namespaced", &json!({}), &good()),
            flag(IsolationFlag::Namespaced, false),
            "offered: Prefixed: ReplaceRefused",
        ),
        (
            "another annotation",
            crd("Namespaced", &annotated(isolation, "none"), &good()),
            plain,
            "offered: Prefixed: ReplaceRefused",
        ),
        (
            "a wider scope",
            crd("Namespaced", &annotated("kube-bind.io/consumer-scope", "cluster"), &good()),
            flag(IsolationFlag::Prefixed, true),
            "offered: Prefixed: ReplaceRefused",
        ),
        (
            "another annotation, agreed to",
            crd("Namespaced", &json!({isolation: "none", "kube-bind.io/allow-replace": "true"}), &good()),
            plain,
            "offered: None",
        ),
    ];
    for (what, crd, tenancy, expected) in table {
        let found = offered(&crd, CrdChoice::Chosen, tenancy, used().as_ref());
        assert_eq!(said(&found), expected, "{what}");
    }
    let crd = crd("Namespaced", &json!({}), &good());
    let chosen = |choice| said(&offered(&crd, choice, plain, used().as_ref()));
    assert_eq!(chosen(CrdChoice::NotChosen), "withdrawn");
    assert_eq!(chosen(CrdChoice::Unclear), "as it is");
}

#[test]
fn a_namespace_that_is_no_contract_withdraws_nothing() {
    let crd = crd("Namespaced", &json!({}), &good());
    let contract = serde_json::from_value(json!({"metadata": {"name": "kube-bind-a"}})).unwrap();
    let contract = Standing::Contract(ConsumerContract::of(&contract));
    let table = [
        (&contract, "offered: Prefixed", "withdrawn"),
        (&Standing::Unlabelled, "as it is: NoContract", "withdrawn"),
        (&Standing::Unheard, "as it is", "as it is"),
        (&Standing::Ended, "as it is", "as it is"),
    ];
    for (standing, with_crd, without) in table {
        let used = export(Some(Verdict::holds()));
        let found = |crd| said(&wanted(crd, ("kube-bind-a", standing), Tenancy::default(), Some(&used)));
        assert_eq!((found(Some(&crd)).as_str(), found(None).as_str()), (with_crd, without), "{standing:?}");
    }
}

#[test]
fn an_export_that_nobody_uses_takes_other_terms_at_once() {
    let other = crd("Namespaced", &json!({"kube-bind.io/isolation": "none"}), &good());
    let not_bound = Verdict::pending(REASON_NOT_BOUND, "");
    for export in [None, Some(export(None)), Some(export(Some(not_bound)))] {
        let found = offered(&other, CrdChoice::Chosen, Tenancy::default(), export.as_ref());
        assert_eq!(said(&found), "offered: None");
    }
    let broken = crd("Namespaced", &json!({"kube-bind.io/isolation": "x"}), &good());
    assert_eq!(said(&offered(&broken, CrdChoice::Chosen, Tenancy::default(), None)), "as it is");
}
