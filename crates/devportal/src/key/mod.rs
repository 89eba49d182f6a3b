//! Reconciles APIKeys: decides about requests of automatic products, and keeps a Secret for each approved key.

mod apply;
mod approved;
mod expiring;
mod leftover;
mod limits;
mod observe;
mod orphan;
mod pending;
mod plan;
mod rotation;
mod secret;
mod state;
mod status;
mod steps;

use std::sync::Arc;

use jiff::Timestamp;
use portolan_core::{
    api::devportal::{APIKey, KeyPhase},
    standard_condition::find,
};
use portolan_runtime::{
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

pub use self::secret::{SecretOwnership, ownership};
use crate::{context::Context, names::ObjectName};

const WORKERS: usize = 16;

pub fn run(tasks: &Tasks, context: &Arc<Context>) {
    let reconcile = |context: Arc<Context>, name: ObjectName| async move { reconcile(&context, &name).await };
    let queue = &context.queues.keys;
    Controller { name: "key", workers: WORKERS, queue, metrics: &context.controllers }
        .run(tasks, context, reconcile);
}

async fn reconcile(context: &Context, name: &ObjectName) -> Result<Action, ReconcileError> {
    let Some(key) = context.keys.get(&name.namespace, &name.name) else {
        return leftover::collect(context, name).await;
    };
    // Of several requests of one user, no two may take the last place.
    let _turn = if is_granted(&key) { None } else { Some(context.turns.take(&key).await) };
    let Some(mut observed) = observe::observe(context, name) else { return Ok(Action::AwaitChange) };
    if observed.key.metadata.deletion_timestamp.is_some() {
        return apply::farewell(context, &observed).await;
    }
    if plan::awaits_product(&observed) {
        return Ok(Action::AwaitChange);
    }
    observed.is_orphan = orphan::is_orphan(context, &observed).await?;
    let plan = plan::plan(&observed);
    apply::apply(context, name, &observed, plan).await
}

/// Returns `true` if a key was approved, and that was acted upon.
pub fn is_granted(key: &APIKey) -> bool {
    key.phase() == KeyPhase::Approved
        && key.status.as_ref().is_some_and(|status| status.approved_snapshot.is_some())
}

/// Returns `true` if the time of a key, or of its old value, is over and it still works.
pub fn is_overdue(key: &APIKey, now: Timestamp) -> bool {
    let Some(status) = &key.status else { return false };
    // Nothing ends of one that is being deleted, or was never given.
    let is_open =
        key.metadata.deletion_timestamp.is_none() && (key.phase() == KeyPhase::Pending || is_granted(key));
    let ends =
        [status.expires_at.as_ref(), status.previous_secret_ref.as_ref().map(|known| &known.expires_at)];
    is_open && ends.into_iter().flatten().any(|end| end.0 <= now)
}

/// Returns `true` if a request waits for other keys of the same user.
pub fn waits_for_others(key: &APIKey) -> bool {
    let conditions = key.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, status::READY).is_some_and(|ready| ready.reason == limits::TOO_MANY)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_key_is_overdue_once_one_of_its_values_is() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let end = |second| json!(at(second).to_string());
        let previous = |second| json!({"name": "n", "key": "k", "expiresAt": end(second)});
        for (status, expected) in [
            (Value::Null, false),
            (json!({"phase": "Approved"}), false),
            (json!({"phase": "Approved", "approvedSnapshot": "s", "expiresAt": end(11)}), false),
            (json!({"phase": "Approved", "approvedSnapshot": "s", "expiresAt": end(10)}), true),
            (json!({"phase": "Approved", "expiresAt": end(10)}), false),
            (json!({"phase": "Pending", "expiresAt": end(9)}), true),
            (json!({"expiresAt": end(9)}), true),
            (json!({"phase": "Expired", "expiresAt": end(9)}), false),
            (json!({"phase": "Rejected", "expiresAt": end(9)}), false),
            (json!({"phase": "Approved", "approvedSnapshot": "s", "previousSecretRef": previous(11)}), false),
            (
                json!({"phase": "Approved", "approvedSnapshot": "s", "expiresAt": end(11), "previousSecretRef": previous(10)}),
                true,
            ),
        ] {
            let mut key = APIKey::new("k1", portolan_core::api::devportal::APIKeySpec::default());
            key.status = serde_json::from_value(status.clone()).unwrap();
            assert_eq!(is_overdue(&key, at(10)), expected, "{status}");
            key.metadata.deletion_timestamp =
                Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)));
            assert!(!is_overdue(&key, at(10)), "its end is the end of its Secrets");
        }
    }
}
