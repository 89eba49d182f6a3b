//! What people hear of objects that could not be synced, as Events and as what the binding says.

use portolan_runtime::{apply::WriteError, telemetry::Chain};

use super::{engine::Engine, index::ObjectKey, plan::Step};

impl Engine {
    pub(super) async fn report_conflict(&self, key: &ObjectKey) {
        let (name, namespace) = (self.copy_name(key), self.provider_namespace(key));
        let place = if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") };
        let note = format!(
            "An object of name {name} exists{place} on the provider and is not the copy of this one. It is left as it is."
        );
        self.report(key, "ForeignObject", &note).await;
    }

    pub(super) async fn report_failure(&self, key: &ObjectKey, action: &str, error: &WriteError) {
        if is_refusal(error) {
            let note = format!("Could not {action} this object: {}", Chain(error.cause()));
            self.report(key, "SyncFailed", &note).await;
        }
    }

    /// Notes whether the consumer's API server lets us write.
    pub(super) fn heard(&self, step: &Step, key: &ObjectKey, error: Option<&WriteError>) {
        let Some(right) = step.consumer_right() else { return };
        match error {
            None => self.note_right(right, key, true),
            Some(error) if lacks_right(error) => self.note_right(right, key, false),
            Some(_) => {}
        }
    }

    async fn report(&self, key: &ObjectKey, reason: &str, note: &str) {
        let uid = self.index.lock().sides(key).origin.map(|origin| origin.uid.clone());
        let reference = k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(self.spec.resource.api_version.clone()),
            kind: Some(self.spec.resource.kind.clone()),
            name: Some(key.name.clone()),
            namespace: (!key.namespace.is_empty()).then(|| key.namespace.clone()),
            uid,
            ..Default::default()
        };
        self.context.metrics.problem(reason);
        self.context.reporter.warn(&reference, reason, "Sync", note).await;
    }
}

/// Whether an API server does not take an object, or not from us.
pub(super) fn is_refusal(error: &WriteError) -> bool {
    matches!(error, WriteError::Forbidden(_) | WriteError::Invalid(_))
}

/// Whether rights are missing. Admission, quotas and namespaces that go answer with the same code.
fn lacks_right(error: &WriteError) -> bool {
    let WriteError::Forbidden(kube::Error::Api(status)) = error else { return false };
    status.message.contains("cannot patch resource")
}
