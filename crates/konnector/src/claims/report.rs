//! Events about claimed objects that are left as they are.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use portolan_core::{api::kubebind::LABEL_OWNER, digest::Digest};
use portolan_runtime::controller::Action;
use tokio::time::Instant;

use super::{engine::ClaimEngine, plan::ClaimStep, side::ClaimSide, trouble::ClaimTrouble};
use crate::sync::{ObjectKey, tries, writers};

/// Delay of the resync for an object that stands in the way.
const RESYNC: Duration = Duration::from_secs(30);
/// Time for which an Event about a namespace is not repeated.
const SILENCE: Duration = Duration::from_secs(1800);

impl ClaimEngine {
    pub(super) async fn report_trouble(
        &self,
        key: &ObjectKey,
        action: &str,
        (trouble, in_a_row): (&ClaimTrouble, u32),
    ) {
        let on = match trouble {
            ClaimTrouble::Denied(ClaimSide::Provider, _) => " (provider)",
            ClaimTrouble::Denied(ClaimSide::Consumer, _) | ClaimTrouble::Refused(_) => " (cluster)",
            ClaimTrouble::Unplaced(why) => return self.report_unplaced(key, why).await,
            ClaimTrouble::Conflict | ClaimTrouble::Failed(_) => "",
        };
        let note = format!("Could not {action} this object{on}: {}.{}", trouble.why(), tries(in_a_row));
        self.warn(key, "SyncFailed", &note).await;
    }

    /// The provider has not answered for a namespace: people hear of it when it should have.
    pub(super) async fn report_waiting(&self, key: &ObjectKey) -> Action {
        if let Some(left) = self.spec.session.namespaces.due_in(&key.namespace) {
            return Action::RequeueAfter(left);
        }
        let why = format!("the provider has not answered APIServiceNamespace {}", key.namespace);
        self.report_unplaced(key, &why).await;
        Action::RequeueAfter(SILENCE)
    }

    /// Once for all objects of a namespace.
    async fn report_unplaced(&self, key: &ObjectKey, why: &str) {
        let now = Instant::now();
        {
            let mut unplaced = self.unplaced.lock();
            if unplaced.get(&key.namespace).is_some_and(|before| now - *before < SILENCE) {
                return;
            }
            unplaced.insert(key.namespace.clone(), now);
        }
        let note = format!(
            "Claimed objects of namespace {} wait for their place on the provider, this one among them: {why}. The \
             konnector retries with a growing delay.",
            key.namespace
        );
        self.warn(key, "NamespaceUnavailable", &note).await;
    }

    /// The message for people where a copy is written once more because somebody else writes it, too. Without its
    /// content.
    pub(super) async fn contest(&self, step: ClaimStep, key: &ObjectKey, written: Digest) -> Option<String> {
        let again = self.pace.lock().contested(key, step.label(), written, Instant::now())?;
        let (side, what) = match step {
            ClaimStep::UpdateCopy(side) => {
                let live = self.api(side, key).get_opt(&key.name).await.ok()??;
                (side, format!("is also written by {}", writers(&live, &["f:data".to_owned()])))
            }
            ClaimStep::CreateCopy(side) => (side, "is deleted by another client".to_owned()),
            ClaimStep::Stamp(side) => (side, "has its owner label removed by another client".to_owned()),
            _ => return None,
        };
        let on = match side {
            ClaimSide::Consumer => "this cluster",
            ClaimSide::Provider => "the provider",
        };
        Some(format!(
            "The object of this name on {on} {what}. The konnector has written it {again} times more, with a growing \
             delay. Let only one of them write it."
        ))
    }

    /// No watch may show the deletion of what stands in the way: it is read again.
    pub(super) async fn report_once(&self, key: &ObjectKey, step: ClaimStep) -> Action {
        if self.told.lock().insert(key.clone(), step) != Some(step) {
            self.report(key, step).await;
        }
        self.index.lock().lost_sight(key);
        Action::RequeueAfter(RESYNC)
    }

    async fn report(&self, key: &ObjectKey, step: ClaimStep) {
        let plural = self.spec.claim.resource.plural();
        let (reason, note) = match step {
            ClaimStep::OwnerUnknown => (
                "OwnerUnknown",
                format!(
                    "The provider claims {plural} and has one of this name as well, and nothing marks either of them \
                     as the copy. Both are left as they are. Label this one {LABEL_OWNER}=consumer or the other one \
                     {LABEL_OWNER}=provider, and delete the one that should be a copy."
                ),
            ),
            _ => (
                "ForeignObject",
                "The object of this name on the other side is not a copy that the konnector has made. Both are left \
                 as they are. Delete the one that should be a copy."
                    .to_owned(),
            ),
        };
        self.warn(key, reason, &note).await;
    }

    pub(super) async fn warn(&self, key: &ObjectKey, reason: &str, note: &str) {
        let on = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(self.spec.claim.resource.kind().to_owned()),
            name: Some(key.name.clone()),
            namespace: Some(key.namespace.clone()),
            uid: self.uid(ClaimSide::Consumer, key),
            ..ObjectReference::default()
        };
        self.context.engine.metrics.problem(reason);
        self.context.engine.reporter.warn(&on, reason, "Sync", note).await;
    }
}
