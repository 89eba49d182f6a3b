//! Namespaces that the provider wants the consumer to have: requests that it has made itself, as it does for the
//! namespaces that an APIServiceExportRequest names. They come before anything is bound, and never go again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt as _};
use portolan_core::api::kubebind::{APIServiceNamespace, FIELD_MANAGER, LABEL_OWNER};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    telemetry::ErrorChain,
};
use serde_json::json;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    leftover::{BY_PROVIDER, ConsumerNamespaces, is_of_provider},
    session::Session,
};

/// Kubernetes keeps names that begin like this for itself.
const RESERVED: &str = "kube-";

impl Session {
    /// Makes seeded namespaces when a request comes, and looks for missing ones with every poll.
    pub(super) fn spawn_seeded(self: &Arc<Self>, namespaces: ConsumerNamespaces, poll: Duration) {
        let session = Arc::clone(self);
        let mut changes = self.namespaces.subscribe();
        self.tasks.spawn("seeded namespaces", async move {
            session.gate.opened().await;
            namespaces.synced().await;
            let mut told = BTreeMap::new();
            loop {
                session.seed(&namespaces, &mut told).await;
                if let Ok(Err(_)) = timeout(poll, changes.changed()).await {
                    return;
                }
            }
        });
    }

    /// `told` has the last report about namespaces that are not created.
    async fn seed(&self, namespaces: &ConsumerNamespaces, told: &mut BTreeMap<String, String>) {
        if !self.gate.is_open() {
            return;
        }
        let missing = missing(&self.namespaces.requests(), |name| namespaces.get(name).is_some());
        told.retain(|name, _| missing.contains(name));
        for name in missing {
            let Err(why) = self.make_namespace(&name).await else {
                info!(namespace = name, "created a namespace that the provider asked for");
                continue;
            };
            if told.get(&name) != Some(&why) {
                warn!(namespace = name, "cannot create a namespace that the provider asked for: {why}");
                told.insert(name, why);
            }
        }
    }

    async fn make_namespace(&self, name: &str) -> Result<(), String> {
        if name.starts_with(RESERVED) {
            return Err(format!("names that begin with {RESERVED} belong to Kubernetes"));
        }
        let api: Api<Namespace> = Api::all(self.consumer.client());
        let body = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {LABEL_OWNER: BY_PROVIDER}},
        });
        match apply::apply(&api, FIELD_MANAGER, &body, &Precondition::Absent).await {
            // It has come in the meantime.
            Ok(_) | Err(WriteError::Conflict(_)) => Ok(()),
            Err(error) => Err(ErrorChain(&error).to_string()),
        }
    }
}

/// The namespaces that the provider has asked for and the consumer does not have.
fn missing(requests: &[Arc<APIServiceNamespace>], is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let is_seeded = |request: &&Arc<APIServiceNamespace>| {
        is_of_provider(request) && request.metadata.deletion_timestamp.is_none()
    };
    let seeded = requests.iter().filter(is_seeded).map(|request| request.name_any());
    seeded.filter(|name| !is_there(name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_what_the_provider_has_asked_for_and_is_not_there_is_missing() {
        let request = |metadata: Value| {
            let request = json!({
                "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceNamespace", "metadata": metadata, "spec": {},
            });
            Arc::new(serde_json::from_value(request).unwrap())
        };
        let seeded = |name: &str| json!({"name": name, "labels": {LABEL_OWNER: "provider"}});
        let mut terminating = seeded("terminating");
        terminating["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let table = [
            (seeded("new"), true),
            (seeded("there"), false),
            (terminating, false),
            (json!({"name": "new"}), false),
            (json!({"name": "new", "labels": {LABEL_OWNER: "consumer"}}), false),
        ];
        for (metadata, expected) in table {
            let found = missing(&[request(metadata.clone())], |name| name == "there");
            assert_eq!(!found.is_empty(), expected, "{metadata}");
        }
    }
}
