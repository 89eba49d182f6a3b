//! Requests for namespaces that nobody needs any more: the consumer's namespace is gone, and nothing of ours is left in
//! the provider's. The request goes; the provider then looks at what else is in its namespace.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};
use portolan_core::{
    api::kubebind::{APIServiceNamespace, LABEL_OWNER, ResourceScope},
    claims::ClaimedResource,
    names,
    outline::SchemaOutline,
};
use portolan_runtime::{
    apply::{self, WriteError, code},
    cache::Cache,
    telemetry::ErrorChain,
};
use tracing::{debug, info};

use super::session::Session;

/// Namespaces of the consumer, by name.
pub type ConsumerNamespaces = Cache<PartialObjectMeta<Namespace>>;

/// The value of the owner label on what the provider wants the consumer to have.
pub(super) const BY_PROVIDER: &str = "provider";

impl Session {
    /// Looks for requests that nobody needs any more, twice before anything is done about one.
    pub(super) fn spawn_leftovers(self: &Arc<Self>, namespaces: ConsumerNamespaces, poll: Duration) {
        let session = Arc::clone(self);
        self.tasks.spawn("leftover namespaces", async move {
            session.gate.opened().await;
            namespaces.synced().await;
            let mut before = BTreeSet::new();
            loop {
                tokio::time::sleep(poll).await;
                let found = session.without_namespace(&namespaces);
                let uids: BTreeSet<_> = found.iter().filter_map(|request| request.uid()).collect();
                for request in
                    found.iter().filter(|request| request.uid().is_some_and(|u| before.contains(&u)))
                {
                    if let Err(error) = session.drop_leftover(request).await {
                        debug!(request = request.name_any(), "the request stays: {}", ErrorChain(&error));
                    }
                }
                before = uids;
            }
        });
    }

    /// Requests for namespaces that the consumer does not have. One that the provider has made for it is no leftover.
    fn without_namespace(&self, namespaces: &ConsumerNamespaces) -> Vec<Arc<APIServiceNamespace>> {
        if !self.gate.is_open() || !self.namespaces.are_listed() || self.contents.exports().is_none() {
            return Vec::new();
        }
        let mut requests = self.namespaces.requests();
        let is_there = |name: &str| namespaces.get(name).is_some();
        requests.retain(|request| is_leftover(request, is_there(&request.name_any())));
        requests
    }

    async fn drop_leftover(&self, request: &APIServiceNamespace) -> Result<(), WriteError> {
        let name = request.name_any();
        let answered = request.status.as_ref().and_then(|status| status.namespace.clone());
        // The store may be behind.
        let here: Api<Namespace> = Api::all(self.consumer.client());
        let named = ListParams::default().fields(&format!("metadata.name={name}"));
        if !here.list_metadata(&named).await?.items.is_empty() {
            return Ok(());
        }
        if let Some(namespace) = answered.filter(|namespace| !namespace.is_empty())
            && self.is_anything_left(&namespace).await?
        {
            return Ok(());
        }
        let api: Api<APIServiceNamespace> = Api::namespaced(self.client.clone(), &self.namespace);
        apply::delete(&api, &name, &request.uid().unwrap_or_default()).await?;
        info!(namespace = name, "the namespace is deleted: deleted its request on the provider");
        Ok(())
    }

    /// Looks for objects of exported or claimed kinds in a namespace of the provider. What cannot be looked at may be
    /// there.
    async fn is_anything_left(&self, namespace: &str) -> Result<bool, WriteError> {
        for export in self.contents.exports.all() {
            for named in &export.spec.resources {
                let Some(schema) = self.contents.schema(&names::bound_schema(&named.resource, &named.group))
                else {
                    return Ok(true);
                };
                if let Some(resource) = namespaced_kind(&schema)
                    && self.holds(namespace, &resource, &ListParams::default().limit(1)).await?
                {
                    return Ok(true);
                }
            }
            let claimed =
                export.spec.permission_claims.iter().filter_map(|claim| ClaimedResource::of(&claim.resource));
            for claimed in claimed {
                let copies = ListParams::default().labels(LABEL_OWNER).limit(1);
                if self.holds(namespace, &claimed.api_resource(), &copies).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn holds(
        &self,
        namespace: &str,
        resource: &ApiResource,
        params: &ListParams,
    ) -> Result<bool, WriteError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
        match api.list_metadata(params).await {
            Ok(list) => Ok(!list.items.is_empty()),
            // In another version than this one, they may be there.
            Err(error) if code(&error) == 404 => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns `true` if the provider has made a request itself: it wants the consumer to have the namespace.
pub(super) fn is_of_provider(request: &APIServiceNamespace) -> bool {
    request.labels().get(LABEL_OWNER).is_some_and(|owner| owner == BY_PROVIDER)
}

/// Returns `true` if a request has no namespace on the consumer, and shall not have one.
fn is_leftover(request: &APIServiceNamespace, is_there: bool) -> bool {
    !is_there && !is_of_provider(request) && request.metadata.deletion_timestamp.is_none()
}

/// A kind whose copies stand in namespaces that were made for the consumer.
fn namespaced_kind(schema: &SchemaOutline) -> Option<ApiResource> {
    let spec = &schema.spec;
    let version = spec.versions.iter().find(|version| version.served)?;
    (spec.scope == ResourceScope::Namespaced).then(|| ApiResource {
        group: spec.group.clone(),
        version: version.name.clone(),
        api_version: format!("{}/{}", spec.group, version.name),
        kind: spec.names.kind.clone(),
        plural: spec.names.plural.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_request_of_ours_without_a_namespace_is_a_leftover() {
        let request = |metadata| {
            let spec = json!({});
            serde_json::from_value(json!({
                "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceNamespace", "metadata": metadata, "spec": spec,
            }))
            .unwrap()
        };
        let plain = || json!({"name": "n"});
        let owned = |owner| json!({"name": "n", "labels": {LABEL_OWNER: owner}});
        let terminating = json!({"name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        for (metadata, is_there, expected) in [
            (plain(), true, false),
            (plain(), false, true),
            (owned("consumer"), false, true),
            (owned("provider"), false, false),
            (terminating, false, false),
        ] {
            assert_eq!(is_leftover(&request(metadata.clone()), is_there), expected, "{metadata}");
        }
    }
}
