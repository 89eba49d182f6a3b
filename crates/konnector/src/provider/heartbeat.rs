//! The konnector's heartbeat on a provider: the status of the `ClusterBinding` of the contract namespace.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use portolan_core::{
    api::kubebind::{ClusterBinding, ClusterBindingStatus, ClusterSecretKeyRef, SecretRef},
    condition, duration,
};
use portolan_runtime::{apply, clock, telemetry::ErrorChain};
use tokio::time::timeout;

use super::{
    contact::{ANSWER_LIMIT, HeartbeatOutcome},
    offered::OfferedKubeconfig,
    session::Session,
    sessions::ProviderIntervals,
};
use crate::version;

const CONDITION_SECRET_VALID: &str = "SecretValid";
const CONDITION_VALID_VERSION: &str = "ValidVersion";

impl Session {
    /// The outcome of the last heartbeat.
    pub fn last_heartbeat(&self) -> HeartbeatOutcome {
        self.reports.last()
    }

    fn set_heartbeat(&self, heartbeat: HeartbeatOutcome) {
        if self.reports.went(heartbeat) {
            self.tell();
        }
    }

    /// Reports when the ClusterBinding changes, and twice per interval; after a failure, with the next poll.
    pub(super) fn spawn_heartbeat(
        self: &Arc<Self>,
        secret: &ClusterSecretKeyRef,
        intervals: ProviderIntervals,
    ) {
        let (session, secret, interval) = (Arc::clone(self), secret.clone(), intervals.heartbeat);
        self.tasks.spawn("heartbeat", async move {
            loop {
                let failed = matches!(session.last_heartbeat(), HeartbeatOutcome::Failed(_));
                let pause = if failed { intervals.poll.min(interval / 2) } else { interval / 2 };
                // Without a time limit a silent provider would end the reports for good.
                let due = timeout(pause, session.reports.due.notified()).await;
                let report = timeout(ANSWER_LIMIT, session.heartbeat(&secret, interval)).await;
                if report.is_err() {
                    session.set_heartbeat(HeartbeatOutcome::Failed("no answer".to_owned()));
                }
                drop(due);
            }
        });
    }

    /// Reports when the last report is older than half the interval, or says other things than now.
    async fn heartbeat(self: &Arc<Self>, secret: &ClusterSecretKeyRef, interval: Duration) {
        if !self.contents.shows_cluster_binding() || !self.gate.is_open() {
            return;
        }
        let Some(binding) = self.contents.cluster_binding() else {
            return self.set_heartbeat(HeartbeatOutcome::NotKept);
        };
        let old = binding.status.clone().unwrap_or_default();
        let new = report(&old, secret, &self.reports.offered(), interval, clock::now());
        if old == new {
            return self.set_heartbeat(HeartbeatOutcome::Beating);
        }
        let api: Api<ClusterBinding> = Api::namespaced(self.client.clone(), &self.namespace);
        match apply::replace_status(&api, &binding.metadata, true, &new).await {
            Ok(written) => {
                self.contents.cluster_bindings.wrote(written);
                self.set_heartbeat(HeartbeatOutcome::Beating);
            }
            Err(apply::WriteError::Conflict(_)) => self.set_heartbeat(HeartbeatOutcome::Beating),
            Err(error) => self.set_heartbeat(HeartbeatOutcome::Failed(ErrorChain(&error).to_string())),
        }
    }
}

/// The status to report. Conditions of the provider's own are kept.
fn report(
    old: &ClusterBindingStatus,
    secret: &ClusterSecretKeyRef,
    offered: &OfferedKubeconfig,
    interval: Duration,
    now: Timestamp,
) -> ClusterBindingStatus {
    let half = SignedDuration::from_secs(i64::try_from(interval.as_secs() / 2).unwrap_or(i64::MAX));
    let mut new = old.clone();
    // One of the future was written by a clock that has been set right since.
    let is_due = |last: Timestamp| last > now || now.duration_since(last) >= half;
    if old.last_heartbeat_time.as_ref().is_none_or(|last| is_due(last.0)) {
        new.last_heartbeat_time = Some(Time(now));
    }
    new.heartbeat_interval = Some(duration::go(interval));
    let (version, valid) = version::reported();
    new.konnector_version = Some(version);
    new.consumer_secret_ref =
        Some(SecretRef { name: secret.name.clone(), namespace: secret.namespace.clone() });
    condition::set(&mut new.conditions, CONDITION_SECRET_VALID, offered.verdict(), now);
    condition::set(&mut new.conditions, CONDITION_VALID_VERSION, valid, now);
    condition::summarize(&mut new.conditions, now);
    new
}

#[cfg(test)]
mod tests {
    use portolan_core::condition::Verdict;

    use super::*;

    fn secret() -> ClusterSecretKeyRef {
        ClusterSecretKeyRef { name: "s".to_owned(), namespace: "default".to_owned(), key: "k".to_owned() }
    }

    #[test]
    fn a_report_is_due_after_half_the_interval_and_not_before() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let interval = Duration::from_secs(300);
        let first = report(
            &ClusterBindingStatus::default(),
            &secret(),
            &OfferedKubeconfig::NotAskedFor,
            interval,
            at(1000),
        );
        assert_eq!(first.last_heartbeat_time, Some(Time(at(1000))));
        assert_eq!(report(&first, &secret(), &OfferedKubeconfig::NotAskedFor, interval, at(1149)), first);
        assert_eq!(
            report(&first, &secret(), &OfferedKubeconfig::NotAskedFor, interval, at(1150))
                .last_heartbeat_time,
            Some(Time(at(1150)))
        );
        assert_eq!(
            report(&first, &secret(), &OfferedKubeconfig::NotAskedFor, interval, at(900)).last_heartbeat_time,
            Some(Time(at(900))),
            "the clock was set back"
        );
    }

    #[test]
    fn conditions_of_the_provider_are_kept() {
        let mut old = ClusterBindingStatus::default();
        condition::set(&mut old.conditions, "Healthy", Verdict::holds(), Timestamp::UNIX_EPOCH);
        let interval = Duration::from_secs(300);
        let new = report(&old, &secret(), &OfferedKubeconfig::NotAskedFor, interval, Timestamp::UNIX_EPOCH);
        assert!(
            condition::is_true(&new.conditions, "Healthy")
                && condition::is_true(&new.conditions, "ValidVersion")
        );
    }
}
