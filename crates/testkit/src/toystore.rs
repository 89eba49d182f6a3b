//! The toystore, the example of the developer portal: kinds of others with just enough schema, and the route and
//! policies of one API.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::eventually;

/// Limit for a kind to be served.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

/// Plural, kind, group and version.
const KINDS: [(&str, &str, &str, &str); 4] = [
    ("planpolicies", "PlanPolicy", "extensions.kuadrant.io", "v1alpha1"),
    ("authpolicies", "AuthPolicy", "kuadrant.io", "v1"),
    ("httproutes", "HTTPRoute", "gateway.networking.k8s.io", "v1"),
    ("gateways", "Gateway", "gateway.networking.k8s.io", "v1"),
];

/// Installs the CRDs of others.
pub async fn install(client: &Client) -> Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for (plural, kind, group, version) in KINDS {
        let name = format!("{plural}.{group}");
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
                "versions": [{
                    "name": version, "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }],
            },
        });
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&crd)).await?;
    }
    for (_, kind, ..) in KINDS {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(kind));
        let listed = async || api.list(&kube::api::ListParams::default()).await.map(Some);
        eventually("the kind is served", SERVED_WITHIN, listed).await?;
    }
    Ok(())
}

fn resource(kind: &str) -> ApiResource {
    let (plural, _, group, version) =
        KINDS.into_iter().find(|(_, known, ..)| *known == kind).expect("one of KINDS");
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Objects of a foreign kind in a namespace.
pub fn foreign(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

/// Writes an object of a foreign kind, and its status.
pub async fn write(
    client: &Client,
    kind: &str,
    (namespace, name): (&str, &str),
    spec: &Value,
    status: &Value,
) -> Result<()> {
    let resource = resource(kind);
    let api = foreign(client, kind, namespace);
    let object =
        json!({"apiVersion": resource.api_version, "kind": kind, "metadata": {"name": name}, "spec": spec});
    let params = PatchParams::apply("test").force();
    api.patch(name, &params, &Patch::Apply(&object)).await?;
    say(client, kind, (namespace, name), status).await
}

/// Writes the status of an object of a foreign kind, as its controller would.
pub async fn say(client: &Client, kind: &str, (namespace, name): (&str, &str), status: &Value) -> Result<()> {
    let patch = json!([{"op": "add", "path": "/status", "value": status}]);
    let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
    foreign(client, kind, namespace).patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// The reference of a policy to its target.
pub fn target(kind: &str, name: &str) -> Value {
    json!({"group": "gateway.networking.k8s.io", "kind": kind, "name": name})
}

fn condition(r#type: &str, status: &str) -> Value {
    json!({"type": r#type, "status": status, "reason": r#type, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// The status of a policy that is enforced.
pub fn in_force() -> Value {
    json!({"conditions": [condition("Accepted", "True"), condition("Enforced", "True")]})
}

/// The status of a policy that is accepted and not enforced.
pub fn not_enforced() -> Value {
    json!({"conditions": [condition("Accepted", "True"), condition("Enforced", "False")]})
}

/// The status of a route, as a gateway writes it.
pub fn accepted(parent: &Value, status: &str) -> Value {
    json!({"parents": [{"parentRef": parent, "controllerName": "example.com/gateway-controller", "conditions": [condition("Accepted", status)]}]})
}

/// A parent of a route: a Gateway in another namespace.
pub fn external() -> Value {
    json!({"name": "external", "namespace": "api-gateway"})
}

/// Plans as the document has them.
pub fn plans() -> Value {
    json!([
        {"tier": "gold", "predicate": "g", "limits": {"daily": 100}},
        {"tier": "silver", "predicate": "s", "limits": {"daily": 50}},
        {"tier": "bronze", "predicate": "b", "limits": {"daily": 10}},
    ])
}

/// A method for API keys with these labels.
pub fn api_keys(labels: &Value) -> Value {
    json!({"api-key-users": {
        "apiKey": {"selector": {"matchLabels": labels}, "allNamespaces": true},
        "credentials": {"authorizationHeader": {"prefix": "APIKEY"}},
    }})
}

/// The route, the policies and everything of the toystore in a namespace.
pub async fn toystore(client: &Client, namespace: &str) -> Result<()> {
    let route = json!({"parentRefs": [external()], "hostnames": ["api.toystore.com"]});
    write(client, "HTTPRoute", (namespace, "toystore"), &route, &accepted(&external(), "True")).await?;
    let plan = json!({"targetRef": target("HTTPRoute", "toystore"), "plans": plans()});
    write(client, "PlanPolicy", (namespace, "toystore-plans"), &plan, &json!({})).await?;
    authentication(client, namespace, &api_keys(&json!({"app": "my-api-product"}))).await
}

/// The AuthPolicy of the toystore's route.
pub async fn authentication(client: &Client, namespace: &str, methods: &Value) -> Result<()> {
    let rules =
        json!({"authentication": methods, "authorization": {"opa": {"opa": {"rego": "allow = true"}}}});
    let auth = json!({"targetRef": target("HTTPRoute", "toystore"), "rules": rules});
    write(client, "AuthPolicy", (namespace, "toystore"), &auth, &in_force()).await
}

/// Installs the admission policies of the developer portal's chart for a controller, by its user name.
pub async fn install_policies(client: &Client, policies: &str, controller: &str) -> Result<()> {
    let text = policies.replace("CONTROLLER", controller).replace("PREFIX", "devportal");
    for policy in text.split("\n---\n").skip(1) {
        let policy: Value = serde_saphyr::from_str(policy)?;
        let name = policy["metadata"]["name"].clone();
        apply(client, "ValidatingAdmissionPolicy", &policy).await?;
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        apply(client, "ValidatingAdmissionPolicyBinding", &binding).await?;
    }
    Ok(())
}

async fn apply(client: &Client, kind: &str, object: &Value) -> Result<()> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await?;
    Ok(())
}
