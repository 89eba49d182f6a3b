//! What people hear of claimed objects that are left as they are, as Events.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use portolan_core::api::kubebind::LABEL_OWNER;
use portolan_runtime::controller::Next;

use super::{
    engine::Engine,
    plan::{Side, Step},
    trouble::Trouble,
};
use crate::sync::ObjectKey;

/// When to look again at an object that stands in the way.
const RECHECK: Duration = Duration::from_secs(30);

impl Engine {
    pub(super) async fn report_trouble(&self, key: &ObjectKey, action: &str, trouble: &Trouble) {
        let on = match trouble {
            Trouble::Denied(Side::Provider, _) => "provider",
            Trouble::Denied(Side::Consumer, _) | Trouble::Refused(_) => "cluster",
            Trouble::Raced | Trouble::Failed(_) => return,
        };
        let note = format!("Could not {action} this object ({on}): {}.", trouble.why());
        self.warn(key, "SyncFailed", &note).await;
    }

    /// No watch may show the end of what stands in the way: it is read again.
    pub(super) async fn report_once(&self, key: &ObjectKey, step: Step) -> Next {
        if self.told.lock().insert(key.clone(), step) != Some(step) {
            self.report(key, step).await;
        }
        self.index.lock().lost_sight(key);
        Next::After(RECHECK)
    }

    async fn report(&self, key: &ObjectKey, step: Step) {
        let plural = self.spec.claim.resource.plural();
        let (reason, note) = match step {
            Step::OwnerUnknown => (
                "OwnerUnknown",
                format!(
                    "The provider claims {plural} and has one of this name as well, and nothing says whose it is. Both \
                     are left as they are. Label this one {LABEL_OWNER}=consumer or the other one \
                     {LABEL_OWNER}=provider, and delete the one that shall be a copy."
                ),
            ),
            _ => (
                "ForeignObject",
                "The object of this name on the other side is not a copy that the konnector has made. Both are left as \
                 they are. Delete the one that shall be a copy."
                    .to_owned(),
            ),
        };
        self.warn(key, reason, &note).await;
    }

    async fn warn(&self, key: &ObjectKey, reason: &str, note: &str) {
        let on = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(self.spec.claim.resource.kind().to_owned()),
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            uid: self.uid(Side::Consumer, key),
            ..ObjectReference::default()
        };
        self.context.engine.metrics.problem(reason);
        self.context.engine.reporter.warn(&on, reason, "Sync", note).await;
    }
}
