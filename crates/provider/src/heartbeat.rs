//! Judges the heartbeats that konnectors write to the `ClusterBinding`s of their contract namespaces.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::Api;
use portolan_core::{
    api::kubebind::{ClusterBinding, ClusterBindingStatus},
    condition::{self, Verdict},
};
use portolan_runtime::{
    apply, clock,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use crate::{CLUSTER_BINDING, context::ProviderContext};

const WORKERS: usize = 2;
const CONDITION_HEALTHY: &str = "Healthy";
/// Delay after which a verdict is looked at again at the latest.
const LOOK_AGAIN: Duration = Duration::from_hours(24);
/// Limit on a consumer's clock being ahead of ours.
const DRIFT: SignedDuration = SignedDuration::from_mins(1);

pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile =
        |context: Arc<ProviderContext>, contract: String| async move { reconcile(&context, &contract).await };
    Controller {
        name: "heartbeat",
        workers: WORKERS,
        queue: &context.queues.heartbeats,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, contract: &str) -> Result<Action, ReconcileError> {
    let Some(binding) = context.cluster_bindings.get_in(contract, CLUSTER_BINDING) else {
        return Ok(Action::AwaitChange);
    };
    let (now, mut status) = (clock::now(), binding.status.clone().unwrap_or_default());
    let (verdict, again) = judge(&status, now);
    condition::set(&mut status.conditions, CONDITION_HEALTHY, verdict, now);
    condition::summarize(&mut status.conditions, now);
    if binding.status.as_ref() != Some(&status) {
        let api: Api<ClusterBinding> = Api::namespaced(context.client.clone(), contract);
        let written = apply::replace_status(&api, &binding.metadata, true, &status).await;
        let written =
            written.map_err(|error| ReconcileError::new("judge the heartbeat of", contract, error))?;
        context.cluster_bindings.wrote(written);
    }
    Ok(again.map_or(Action::AwaitChange, Action::RequeueAfter))
}

/// Judges the last heartbeat, and says after which time the verdict changes without another one.
fn judge(status: &ClusterBindingStatus, now: Timestamp) -> (Verdict, Option<Duration>) {
    let Some(last) = status.last_heartbeat_time.as_ref().map(|last| last.0) else {
        let message = "The konnector of this consumer has not sent a heartbeat yet.";
        return (Verdict::pending("FirstHeartbeatPending", message), None);
    };
    let interval = status.heartbeat_interval.as_ref().and_then(|text| text.parse::<SignedDuration>().ok());
    let Some(interval) = interval.filter(SignedDuration::is_positive) else {
        let message = "The konnector does not report its heartbeat interval.";
        return (Verdict::pending("HeartbeatIntervalMissing", message), None);
    };
    let age = now.duration_since(last);
    // A consumer may write any interval and any time.
    let limit = interval.saturating_mul(2);
    let left =
        Duration::try_from(limit.saturating_sub(age).saturating_add(SignedDuration::from_secs(1))).ok();
    let left = left.map(|left| left.min(LOOK_AGAIN));
    if age > limit {
        let message = format!(
            "The konnector has sent no heartbeat since {last}, although one is due every {} s.",
            interval.as_secs()
        );
        return (Verdict::error("HeartbeatTimeout", message), None);
    }
    if -age > DRIFT {
        let message =
            format!("The last heartbeat is of {last}, in the future: compare the clocks of both clusters.");
        return (Verdict::warning("HeartbeatTimeDrift", message), left);
    }
    (Verdict::holds(), left)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn signs_of_life_are_judged_by_their_age() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let said = |last: Option<i64>, interval: Option<&str>, now: i64| {
            let last = last.map(|last| second(last).to_string());
            let status = json!({"lastHeartbeatTime": last, "heartbeatInterval": interval});
            let (verdict, again) = judge(&serde_json::from_value(status).unwrap(), second(now));
            (verdict.reason, again.map(|again| again.as_secs()))
        };
        let table = [
            (None, Some("5m0s"), 1000, "FirstHeartbeatPending", None),
            (Some(1000), None, 1000, "HeartbeatIntervalMissing", None),
            (Some(1000), Some("often"), 1000, "HeartbeatIntervalMissing", None),
            (Some(1000), Some("5m0s"), 1000, "", Some(601)),
            (Some(1000), Some("1h0m0s"), 1600, "", Some(6601)),
            (Some(1000), Some("5m0s"), 1600, "", Some(1)),
            (Some(1000), Some("2562047788015215h0m0s"), 1600, "", Some(86400)),
            (Some(1000), Some("5m0s"), 1601, "HeartbeatTimeout", None),
            (Some(1000), Some("5m0s"), 900, "HeartbeatTimeDrift", Some(701)),
        ];
        for (last, interval, now, reason, again) in table {
            let expected = (reason.to_owned(), again);
            assert_eq!(said(last, interval, now), expected, "{last:?} {interval:?} {now}");
        }
    }
}
