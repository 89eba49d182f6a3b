//! Routes and policies: kinds of others with just enough schema, and statuses as their controllers write them.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
};
use portolan_testkit::eventually;
use serde_json::{Value as Json, json};

use super::lab::{NAMESPACE, ROUTES};

const CONCURRENCY: usize = 20;
const WITHIN: Duration = Duration::from_secs(30);
/// Plural, kind, group and version.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("planpolicies", "PlanPolicy", "extensions.kuadrant.io", "v1alpha1"),
    ("authpolicies", "AuthPolicy", "kuadrant.io", "v1"),
    ("httproutes", "HTTPRoute", "gateway.networking.k8s.io", "v1"),
    ("gateways", "Gateway", "gateway.networking.k8s.io", "v1"),
];

pub(super) fn route(number: usize) -> String {
    format!("route-{number:03}")
}

/// Installs the CRDs of others.
pub(super) async fn install(client: &Client) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for (plural, kind, group, version) in KINDS {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let version = json!({
            "name": version, "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema},
        });
        let names = json!({"plural": plural, "singular": kind.to_lowercase(), "kind": kind});
        let crd: CustomResourceDefinition = serde_json::from_value(json!({
            "metadata": {
                "name": format!("{plural}.{group}"),
                "annotations": {"api-approved.kubernetes.io": "unapproved, for a bench"},
            },
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
        }))?;
        crds.create(&PostParams::default(), &crd).await?;
    }
    for (_, kind, ..) in KINDS {
        let objects = objects(client, kind);
        let listed = async || objects.list(&ListParams::default()).await.map(Some);
        eventually("the kind is served", WITHIN, listed).await?;
    }
    Ok(())
}

/// Objects of a foreign kind.
pub(super) fn objects(client: &Client, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), NAMESPACE, &resource(kind))
}

fn resource(kind: &str) -> ApiResource {
    let found = KINDS.into_iter().find(|(_, known, ..)| *known == kind);
    let (plural, _, group, version) = found.expect("only these kinds are asked for");
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Makes all routes, each with its plans and its authentication.
pub(super) async fn fill(client: &Client) -> Result<()> {
    let routes = stream::iter(0..ROUTES).map(|number| make(client, number));
    routes.buffer_unordered(CONCURRENCY).try_collect().await
}

async fn make(client: &Client, number: usize) -> Result<()> {
    let name = route(number);
    let parent = json!({"name": "external", "namespace": "api-gateway"});
    let accepted = json!({"parents": [{
        "parentRef": parent, "controllerName": "example.com/gateway-controller",
        "conditions": [condition("Accepted")],
    }]});
    let spec = json!({"parentRefs": [parent], "hostnames": [format!("{name}.example.com")]});
    write(client, "HTTPRoute", &name, spec, accepted).await?;
    write(client, "PlanPolicy", &name, plans(&name, 100), json!({})).await?;
    let labels = json!({"matchLabels": {"app": name}});
    let method = json!({"apiKey": {"selector": labels, "allNamespaces": true},
        "credentials": {"authorizationHeader": {"prefix": "APIKEY"}}});
    let rules = json!({"authentication": {"api-key-users": method}});
    let spec = json!({"targetRef": target(&name), "rules": rules});
    let in_force = json!({"conditions": [condition("Accepted"), condition("Enforced")]});
    write(client, "AuthPolicy", &name, spec, in_force).await
}

/// The spec of a PlanPolicy with this daily limit in its first plan.
pub(super) fn plans(route: &str, daily: usize) -> Json {
    json!({"targetRef": target(route), "plans": [
        {"tier": "gold", "predicate": "g", "limits": {"daily": daily}},
        {"tier": "silver", "predicate": "s", "limits": {"daily": 50}},
        {"tier": "bronze", "predicate": "b", "limits": {"daily": 10}},
    ]})
}

fn target(route: &str) -> Json {
    json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route})
}

fn condition(r#type: &str) -> Json {
    json!({"type": r#type, "status": "True", "reason": r#type, "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

async fn write(client: &Client, kind: &str, name: &str, spec: Json, status: Json) -> Result<()> {
    let objects = objects(client, kind);
    let object = DynamicObject::new(name, &resource(kind)).data(json!({"spec": spec}));
    objects.create(&PostParams::default(), &object).await?;
    let status = Patch::Merge(json!({"status": status}));
    objects.patch_status(name, &PatchParams::default(), &status).await?;
    Ok(())
}
