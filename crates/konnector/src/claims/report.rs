//! What people hear of claimed objects that are left as they are, as Events.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use portolan_core::{api::kubebind::LABEL_OWNER, digest::Digest};
use portolan_runtime::controller::Action;
use tokio::time::Instant;

use super::{engine::Engine, plan::Step, side::Side, trouble::Trouble};
use crate::sync::{ObjectKey, tries, writers};

/// When to look again at an object that stands in the way.
const RECHECK: Duration = Duration::from_secs(30);
/// How long people are told nothing new of a namespace.
const SILENCE: Duration = Duration::from_secs(1800);

impl Engine {
    pub(super) async fn report_trouble(
        &self,
        key: &ObjectKey,
        action: &str,
        (trouble, in_a_row): (&Trouble, u32),
    ) {
        let on = match trouble {
            Trouble::Denied(Side::Provider, _) => " (provider)",
            Trouble::Denied(Side::Consumer, _) | Trouble::Refused(_) => " (cluster)",
            Trouble::Unplaced(why) => return self.report_unplaced(key, why).await,
            Trouble::Raced | Trouble::Failed(_) => "",
        };
        let note = format!("Could not {action} this object{on}: {}.{}", trouble.why(), tries(in_a_row));
        self.warn(key, "SyncFailed", &note).await;
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
            "What the provider claims of namespace {} waits for its place on the provider, this one among it: {why}. It is \
             tried again, more and more seldom.",
            key.namespace
        );
        self.warn(key, "NamespaceUnavailable", &note).await;
    }

    /// What people are to hear where a copy is written once more because somebody else writes it, too. Without its
    /// content.
    pub(super) async fn contest(&self, step: Step, key: &ObjectKey, written: Digest) -> Option<String> {
        let again = self.pace.lock().contested(key, step.label(), written, Instant::now())?;
        let (side, what) = match step {
            Step::UpdateCopy(side) => {
                let live = self.api(side, key).get_opt(&key.name).await.ok()??;
                (side, format!("is also written by {}", writers(&live, &["f:data".to_owned()])))
            }
            Step::CreateCopy(side) => (side, "is deleted by somebody".to_owned()),
            Step::Stamp(side) => (side, "loses its owner label by somebody".to_owned()),
            _ => return None,
        };
        let on = match side {
            Side::Consumer => "this cluster",
            Side::Provider => "the provider",
        };
        Some(format!(
            "The object of this name on {on} {what}. The konnector has written it {again} times more, and does so more and \
             more seldom. Let only one of both write it."
        ))
    }

    /// No watch may show the end of what stands in the way: it is read again.
    pub(super) async fn report_once(&self, key: &ObjectKey, step: Step) -> Action {
        if self.told.lock().insert(key.clone(), step) != Some(step) {
            self.report(key, step).await;
        }
        self.index.lock().lost_sight(key);
        Action::RequeueAfter(RECHECK)
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

    pub(super) async fn warn(&self, key: &ObjectKey, reason: &str, note: &str) {
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
