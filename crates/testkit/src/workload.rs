//! The service that examples, tests and benches share between clusters: `cowboys.wildwest.dev`.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::eventually::{eventually, watch_until};

/// Label that makes a CRD one of a provider's exports.
pub const EXPORTED: &str = "kube-bind.io/exported";
const GROUP: &str = "wildwest.dev";
const VERSION: &str = "v1alpha1";

/// The CRD `cowboys.wildwest.dev`, labelled as exported.
///
/// # Panics
/// Never: it is a constant.
pub fn wildwest() -> CustomResourceDefinition {
    let names = json!({
        "kind": "Cowboy", "listKind": "CowboyList", "plural": "cowboys", "singular": "cowboy", "shortNames": ["cb"],
    });
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "cowboys.wildwest.dev", "labels": {EXPORTED: "true"}},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version()]},
    });
    serde_json::from_value(crd).expect("this constant is a CRD")
}

fn version() -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"intent": {"type": "string"}},
                "x-kubernetes-preserve-unknown-fields": true,
            },
            "status": {
                "type": "object",
                "properties": {"result": {"type": "string"}},
                "x-kubernetes-preserve-unknown-fields": true,
            },
        },
    });
    json!({
        "name": VERSION, "served": true, "storage": true,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": "Intent", "type": "string", "jsonPath": ".spec.intent"},
            {"name": "Result", "type": "string", "jsonPath": ".status.result"},
        ],
    })
}

/// Time for which kube-apiserver delays every create of a kind after it became established, for the sake of other API
/// servers that do not know it yet.
const YOUNG: Duration = Duration::from_millis(2_100);
const INSTALL_WITHIN: Duration = Duration::from_secs(30);

/// Creates a CRD and waits until its kind is served at full speed, so that a bench or a test with figures
/// does not measure the two seconds that a young kind costs in any cluster.
pub async fn install(client: &Client, crd: &CustomResourceDefinition) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = crd.name_any();
    crds.create(&PostParams::default(), crd).await.with_context(|| format!("cannot create CRD {name}"))?;
    watch_until(crds, &name, is_established, INSTALL_WITHIN).await?;
    tokio::time::sleep(YOUNG).await;
    let version = crd.spec.versions.first().context("a CRD has a version")?;
    let served = resource_of(crd, &version.name);
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &served);
    // The first lists are refused with 429 while the watch cache is filled.
    let (what, one) = (format!("{name} is served"), ListParams::default().limit(1));
    eventually(&what, INSTALL_WITHIN, async || objects.list(&one).await.map(Some)).await?;
    Ok(())
}

/// Returns `true` if the API server serves the kind.
pub fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
}

fn resource_of(crd: &CustomResourceDefinition, version: &str) -> ApiResource {
    ApiResource {
        group: crd.spec.group.clone(),
        version: version.to_owned(),
        api_version: format!("{}/{version}", crd.spec.group),
        kind: crd.spec.names.kind.clone(),
        plural: crd.spec.names.plural.clone(),
    }
}

/// Describes cowboys to a dynamic API.
pub fn cowboys() -> ApiResource {
    resource_of(&wildwest(), VERSION)
}

/// One cowboy.
pub fn cowboy(namespace: &str, name: &str, intent: &str) -> DynamicObject {
    let object = DynamicObject::new(name, &cowboys()).within(namespace);
    object.data(json!({"spec": {"intent": intent}}))
}

/// A cowboy of about 1 KB, as benches use it: a spec of 600 bytes, 3 labels, 2 annotations.
pub fn cowboy_sized(namespace: &str, name: &str) -> DynamicObject {
    let mut object = cowboy(namespace, name, &"ride ".repeat(117));
    object.metadata.labels = Some(pairs(&[
        ("app.kubernetes.io/name", "cowboy"),
        ("app.kubernetes.io/part-of", "wildwest"),
        ("wildwest.dev/team", "posse-of-the-north"),
    ]));
    object.metadata.annotations = Some(pairs(&[
        ("wildwest.dev/description", "rides until the sun is down"),
        ("wildwest.dev/contact", "sheriff@wildwest.example"),
    ]));
    object
}

fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sized_cowboy_has_the_size_that_benches_promise() {
        let cowboy = cowboy_sized("default", "cowboy-0001");
        let spec = serde_json::to_string(&cowboy.data["spec"]).unwrap().len();
        let whole = serde_json::to_string(&cowboy).unwrap().len();
        assert!((595..=605).contains(&spec), "{spec}");
        assert!((950..=1_100).contains(&whole), "{whole}");
    }

    #[test]
    fn the_crd_is_labelled_and_has_a_status() {
        let crd = wildwest();
        assert_eq!(crd.metadata.labels.unwrap()[EXPORTED], "true");
        assert!(crd.spec.versions[0].subresources.as_ref().unwrap().status.is_some());
    }
}
