//! A CRD of which no version is served, while its objects have to be read: our own finalizers would hold them for ever.

use kube::{Api, ResourceExt as _, api::ApiResource};
use portolan_core::outline::CrdOutline;
use portolan_runtime::apply::{self, WriteError};
use serde_json::{Value, json};
use tracing::info;

use crate::context::KonnectorContext;

/// The resource to read and write the objects of a CRD in. `None` where none was served until now: the version that
/// objects are stored in is about to be.
pub(super) async fn served(
    context: &KonnectorContext,
    crd: &CrdOutline,
) -> Result<Option<ApiResource>, WriteError> {
    if let Some(resource) = crd.stored_resource() {
        return Ok(Some(resource));
    }
    let Some(operations) = serving(crd) else { return Ok(None) };
    let name = crd.name_any();
    info!(crd = name, "no version is served: serving the stored one until the objects are drained");
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    let written: CrdOutline = apply::json_patch(&api, &name, None, operations).await?;
    context.crds.wrote(written);
    Ok(None)
}

/// The change by which the stored version is served, in the version of the CRD that was seen.
fn serving(crd: &CrdOutline) -> Option<Value> {
    let place = crd.spec.versions.iter().position(|version| version.storage)?;
    let name = &crd.spec.versions[place].name;
    let path = format!("/spec/versions/{place}");
    Some(json!([
        {"op": "test", "path": "/metadata/uid", "value": crd.metadata.uid},
        {"op": "test", "path": format!("{path}/name"), "value": name},
        {"op": "replace", "path": format!("{path}/served"), "value": true},
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_version_is_served() {
        let version = |name: &str, storage: bool| json!({"name": name, "served": false, "storage": storage, "schema": {}});
        let crd: CrdOutline = serde_json::from_value(json!({
            "metadata": {"name": "as.a.dev", "uid": "u"},
            "spec": {
                "group": "a.dev", "scope": "Namespaced", "names": {"plural": "as", "kind": "A"},
                "versions": [version("v1", false), version("v2", true)],
            },
        }))
        .unwrap();
        assert!(crd.stored_resource().is_none());
        let expected = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "test", "path": "/spec/versions/1/name", "value": "v2"},
            {"op": "replace", "path": "/spec/versions/1/served", "value": true},
        ]);
        assert_eq!(serving(&crd), Some(expected));
    }
}
