//! Repositories see no drift: a person who applies from one keeps what was applied, and the konnector owns what it
//! adds.

use kube::{
    ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::support::{Service, clusters, merge_status, object_with};

const GITOPS: &str = "gitops";

/// Applies what stands in a repository.
async fn apply(service: &Service, wanted: &Value, dry_run: bool) -> DynamicObject {
    let params = PatchParams { dry_run, ..PatchParams::apply(GITOPS) };
    service.here().patch("billy", &params, &Patch::Apply(wanted)).await.unwrap()
}

/// Lists the paths of a manager's fields, over all of its entries.
fn owned(object: &DynamicObject, is: impl Fn(&str) -> bool) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in object.managed_fields() {
        if is(entry.manager.as_deref().unwrap_or_default()) {
            collect(&json!(entry.fields_v1), "", &mut paths);
        }
    }
    paths.sort();
    paths
}

fn collect(fields: &Value, path: &str, found: &mut Vec<String>) {
    let inner: Vec<_> = fields.as_object().into_iter().flatten().filter(|(name, _)| *name != ".").collect();
    if inner.is_empty() {
        found.push(path.to_owned());
    }
    for (name, below) in inner {
        collect(below, &format!("{path}/{name}"), found);
    }
}

#[tokio::test]
async fn a_gitops_controller_sees_no_drift() {
    let service = Service::bind(clusters().await, "gitops").await;
    let wanted = json!({
        "apiVersion": service.resource.api_version, "kind": service.resource.kind,
        "metadata": {
            "name": "billy", "namespace": "gitops",
            "labels": {"app": "saloon"}, "annotations": {"team": "west"},
        },
        "spec": {"intent": "ride", "horses": [{"name": "tin"}, {"name": "silver"}]},
    });
    let applied = apply(&service, &wanted, false).await;
    let copy = service.arrives("billy").await;
    assert_eq!(copy.data["spec"], wanted["spec"]);
    merge_status(&service.there(), "billy", json!({"result": "rode"})).await;
    let synced = object_with(&service.here(), "billy", "is in sync both ways", |object| {
        object.data["status"]["result"] == "rode"
            && object.annotations().contains_key("kube-bind.io/provider-uid")
    })
    .await;

    let theirs = |manager: &str| manager == GITOPS;
    assert_eq!(owned(&synced, theirs), owned(&applied, theirs), "what they own is what they applied");
    let ours = owned(&synced, |manager| manager != GITOPS);
    let is_ours = |path: &String| {
        path.starts_with("/f:status/")
            || path.starts_with("/f:metadata/f:annotations/f:kube-bind.io/")
            || path == "/f:metadata/f:finalizers/v:\"kubebind.io/syncer\""
    };
    assert!(!ours.is_empty() && ours.iter().all(is_ours), "{ours:#?}");
    assert_eq!(synced.data["spec"], wanted["spec"]);
    assert_eq!(json!(synced.labels()), wanted["metadata"]["labels"]);
    assert_eq!(synced.metadata.generation, applied.metadata.generation, "nobody has changed the spec");

    // As they look for drift: the same once more finds nothing to do, and takes nothing of ours.
    let again = apply(&service, &wanted, true).await;
    assert_eq!(again.resource_version(), synced.resource_version());
    assert_eq!(json!(again), json!(synced));
}
