//! Judges the signs of life that konnectors give in the `ClusterBinding`s of their contract namespaces.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::Api;
use portolan_core::{
    api::kubebind::{ClusterBinding, ClusterBindingStatus},
    condition::{self, Verdict},
};
use portolan_runtime::{
    apply, clock,
    controller::{Action, Controller},
    tasks::Tasks,
};

use crate::{CLUSTER_BINDING, context::Context, error::ReconcileError, queues::Key};

const WORKERS: usize = 2;
const CONDITION_HEALTHY: &str = "Healthy";
/// How far a consumer's clock may be ahead of ours.
const DRIFT: SignedDuration = SignedDuration::from_mins(1);

pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let reconcile =
        |context: Arc<Context>, contract: String| async move { reconcile(&context, &contract).await };
    Controller {
        name: "heartbeat",
        workers: WORKERS,
        queue: &context.queues.heartbeats,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &Context, contract: &str) -> Result<Action, ReconcileError> {
    let Some(binding) = context.cluster_bindings.get(&Key::new(contract, CLUSTER_BINDING)) else {
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

/// What the last sign of life says now, and when that will be different without another.
fn judge(status: &ClusterBindingStatus, now: Timestamp) -> (Verdict, Option<Duration>) {
    let Some(last) = status.last_heartbeat_time.as_ref().map(|last| last.0) else {
        let message = "The konnector of this consumer has not given a sign of life yet.";
        return (Verdict::pending("FirstHeartbeatPending", message), None);
    };
    let interval = status.heartbeat_interval.as_ref().and_then(|text| text.parse::<SignedDuration>().ok());
    let Some(interval) = interval.filter(SignedDuration::is_positive) else {
        let message = "The konnector does not say how often it gives a sign of life.";
        return (Verdict::pending("HeartbeatIntervalMissing", message), None);
    };
    let age = now.duration_since(last);
    let left = Duration::try_from(interval * 2 - age + SignedDuration::from_secs(1)).ok();
    if age > interval * 2 {
        let message = format!(
            "The konnector has given no sign of life since {last}, although it meant to every {} s.",
            interval.as_secs()
        );
        return (Verdict::error("HeartbeatTimeout", message), None);
    }
    if -age > DRIFT {
        let message =
            format!("The last sign of life is of {last}, which is yet to come: compare the clocks.");
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
            (Some(1000), Some("5m0s"), 1601, "HeartbeatTimeout", None),
            (Some(1000), Some("5m0s"), 900, "HeartbeatTimeDrift", Some(701)),
        ];
        for (last, interval, now, reason, again) in table {
            let expected = (reason.to_owned(), again);
            assert_eq!(said(last, interval, now), expected, "{last:?} {interval:?} {now}");
        }
    }
}
