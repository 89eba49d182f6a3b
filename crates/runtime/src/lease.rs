//! Leader election by a Lease. Who loses it ends its process: a second writer does more harm than a restart.

use std::time::Duration;

use clap::{Args, builder::NonEmptyStringValueParser};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::{apply::code, clock, readiness::ReadyHandle, restored, tasks::Tasks, telemetry::ErrorChain};

/// Duration of a lease without renewal.
const DURATION: Duration = Duration::from_secs(15);
/// Time for which the holder tries to renew before it gives up. Shorter than the lease, so that it stops first.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Interval at which the lease is renewed, or tried for.
const RETRY: Duration = Duration::from_secs(2);
/// Limit for the first attempt of a renewal: a second one takes another connection.
const FIRST_ATTEMPT: Duration = Duration::from_secs(4);
const SILENT: &str = "the API server does not answer";
/// Interval at which a standby looks: it adds to the time that nobody works.
const STANDBY_RETRY: Duration = Duration::from_secs(1);

/// The lease to hold.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of this candidate. A process that comes back under the same name goes on without waiting.
    pub identity: String,
}

/// Flags for the lease.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Lease")]
pub struct LeaseArgs {
    /// Name of the Lease that decides which replica works.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub lease_name: Option<String>,
    /// Namespace of the Lease; the pod's own by default, else `kube-system`.
    #[arg(long, value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new(), global = true)]
    pub lease_namespace: Option<String>,
}

impl LeaseArgs {
    /// The lease that the flags, the pod and the service's default name give.
    pub fn settings(&self, pod: &crate::args::PodArgs, default_name: &str) -> LeaseSettings {
        let namespace = self.lease_namespace.clone().or_else(|| pod.pod_namespace.clone());
        LeaseSettings {
            name: self.lease_name.clone().unwrap_or_else(|| default_name.to_owned()),
            namespace: namespace.unwrap_or_else(|| "kube-system".to_owned()),
            identity: pod.instance(),
        }
    }
}

/// The role of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStanding {
    /// It leads, and the API server has just said so.
    Leads,
    /// Another one leads. A replica that stands by is as ready as it can be, and must not hold up a rollout.
    StandsBy,
    /// The API server does not answer, or not as it should.
    Unheard(String),
}

/// Waits until the lease is ours, then keeps it in the background. When it is lost, the tasks are cancelled.
/// When the tasks are cancelled, it is given back, so that a standby takes over at once.
///
/// `on_standby` is called when another replica leads.
pub async fn hold(tasks: &Tasks, client: Client, settings: LeaseSettings, on_standby: impl Fn()) {
    let mut candidate = Candidate { api: Api::namespaced(client, &settings.namespace), settings, seen: None };
    let on = |standing| {
        if standing == LeaseStanding::StandsBy {
            on_standby();
        }
    };
    let lease = candidate.acquire(&on).await;
    keep(tasks, candidate, lease, |_| ());
}

/// The same, and `on` hears of every answer of the API server, and of each that does not come: whoever keeps a
/// lease asks often enough to know whether the API server is there.
pub async fn hold_and_tell(
    tasks: &Tasks,
    client: Client,
    settings: LeaseSettings,
    on: impl Fn(LeaseStanding) + Send + Sync + 'static,
) {
    let mut candidate = Candidate { api: Api::namespaced(client, &settings.namespace), settings, seen: None };
    let lease = candidate.acquire(&on).await;
    on(LeaseStanding::Leads);
    keep(tasks, candidate, lease, on);
}

/// The same for a service of which one replica works: resolves when this one does. `leading` says how the API server
/// answers, and `caches` is ready on standby, since a replica that waits must not hold up a rollout.
pub async fn lead(
    tasks: &Tasks,
    client: &Client,
    settings: LeaseSettings,
    (leading, caches): (&ReadyHandle, &ReadyHandle),
) {
    let (told, standby) = (leading.clone(), caches.clone());
    let on = move |standing| match standing {
        LeaseStanding::Leads => told.ready(),
        LeaseStanding::StandsBy => {
            told.ready();
            standby.ready();
        }
        LeaseStanding::Unheard(why) => told.not_ready(&format!("the API server cannot be used: {why}")),
    };
    hold_and_tell(tasks, client.clone(), settings, on).await;
    caches.not_ready("listing everything for the first time");
}

fn keep(
    tasks: &Tasks,
    candidate: Candidate,
    mut lease: Lease,
    on: impl Fn(LeaseStanding) + Send + Sync + 'static,
) {
    info!(lease = candidate.settings.name, identity = candidate.settings.identity, "leading");
    let tasks_of_lease = tasks.clone();
    tasks.spawn_graceful(async move {
        loop {
            tokio::select! {
                () = sleep(RETRY) => {}
                () = tasks_of_lease.cancelled() => break candidate.release(lease).await,
            }
            let Some(renewed) = candidate.renew(lease, &on).await else {
                warn!(lease = candidate.settings.name, "lost the lease: exiting");
                break tasks_of_lease.cancel();
            };
            lease = renewed;
        }
    });
}

struct Candidate {
    api: Api<Lease>,
    settings: LeaseSettings,
    /// The holder's last renewal as it was seen, and when we saw it: clocks of other machines do not count.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Candidate {
    async fn acquire(&mut self, on: &impl Fn(LeaseStanding)) -> Lease {
        loop {
            match timeout(RENEW_DEADLINE, self.try_acquire()).await {
                Ok(Ok(Some(lease))) => return lease,
                Ok(Ok(None)) => on(LeaseStanding::StandsBy),
                Ok(Err(error)) => {
                    let why = ErrorChain(&error).to_string();
                    warn!(lease = self.settings.name, "failed to acquire: {why}");
                    on(LeaseStanding::Unheard(why));
                }
                Err(_) => {
                    warn!(lease = self.settings.name, "{SILENT}");
                    on(LeaseStanding::Unheard(SILENT.to_owned()));
                }
            }
            sleep(STANDBY_RETRY).await;
        }
    }

    async fn try_acquire(&mut self) -> Result<Option<Lease>, kube::Error> {
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else {
            return Self::written(self.api.create(&PostParams::default(), &self.fresh()).await);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if !self.is_free(&spec) {
            return Ok(None);
        }
        let transitions = spec.lease_transitions.unwrap_or_default();
        let same = spec.holder_identity.as_deref() == Some(&self.settings.identity);
        lease.spec = Some(self.spec(if same { transitions } else { transitions + 1 }));
        Self::written(self.api.replace(&self.settings.name, &PostParams::default(), &lease).await)
    }

    /// A conflict means that another candidate wrote first.
    fn written(result: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
        match result {
            Ok(lease) => Ok(Some(lease)),
            Err(error) if code(&error) == 409 => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_free(&mut self, spec: &LeaseSpec) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.settings.identity {
            return true;
        }
        match &self.seen {
            Some((seen, at)) if seen == spec => at.elapsed() > DURATION,
            _ => {
                // Not at each of its renewals.
                if is_another(self.seen.as_ref().map(|(seen, _)| seen), holder) {
                    info!(lease = self.settings.name, holder, "standing by");
                }
                self.seen = Some((spec.clone(), Instant::now()));
                false
            }
        }
    }

    async fn renew(&self, lease: Lease, on: &impl Fn(LeaseStanding)) -> Option<Lease> {
        let deadline = Instant::now() + RENEW_DEADLINE;
        let mut current = lease;
        let mut patience = FIRST_ATTEMPT;
        while Instant::now() < deadline {
            match timeout(patience.min(deadline - Instant::now()), self.try_renew(&current)).await {
                Ok(Ok(renewed)) => {
                    on(LeaseStanding::Leads);
                    return Some(renewed);
                }
                Ok(Err(error)) if code(&error) == 409 => {
                    let found = timeout(deadline - Instant::now(), self.reread()).await.ok()??;
                    if is_older(&found, &current) {
                        restored::report("the lease is older than we have written it");
                    }
                    current = found;
                }
                Ok(Err(error)) => {
                    let why = ErrorChain(&error).to_string();
                    warn!(lease = self.settings.name, "failed to renew: {why}");
                    on(LeaseStanding::Unheard(why));
                    sleep(RETRY.min(deadline.saturating_duration_since(Instant::now()))).await;
                }
                Err(_) => {
                    patience = RENEW_DEADLINE;
                    on(LeaseStanding::Unheard(SILENT.to_owned()));
                }
            }
        }
        None
    }

    async fn try_renew(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        let transitions = lease.spec.as_ref().and_then(|s| s.lease_transitions).unwrap_or_default();
        let mut renewed = lease.clone();
        let acquired = lease.spec.as_ref().and_then(|s| s.acquire_time.clone());
        renewed.spec = Some(LeaseSpec { acquire_time: acquired, ..self.spec(transitions) });
        self.api.replace(&self.settings.name, &PostParams::default(), &renewed).await
    }

    /// The lease, as long as it is still ours.
    async fn reread(&self) -> Option<Lease> {
        let lease = self.api.get(&self.settings.name).await.ok()?;
        let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
        (holder == self.settings.identity).then_some(lease)
    }

    async fn release(&self, mut lease: Lease) {
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let params = PostParams::default();
        let release = self.api.replace(&self.settings.name, &params, &lease);
        // If this fails, a standby waits for the lease to run out.
        let _ = timeout(RETRY, release).await;
    }

    fn fresh(&self) -> Lease {
        let metadata = ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() };
        Lease { metadata, spec: Some(self.spec(0)) }
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(clock::precise_now());
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

/// Returns `true` if a lease that only we write is older than our last write.
fn is_older(found: &Lease, written: &Lease) -> bool {
    let renewed = |lease: &Lease| Some(lease.spec.as_ref()?.renew_time.as_ref()?.0);
    renewed(found).zip(renewed(written)).is_some_and(|(found, written)| found < written)
}

/// Returns `true` if the holder is not the one that was seen before.
fn is_another(seen: Option<&LeaseSpec>, holder: &str) -> bool {
    seen.and_then(|seen| seen.holder_identity.as_deref()) != Some(holder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_before_comes_from_a_backup() {
        let lease = |renewed: Option<&str>| Lease {
            spec: Some(LeaseSpec {
                renew_time: renewed.map(|time| MicroTime(time.parse().unwrap())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        let (early, late) = (Some("2026-01-01T00:00:00.000001Z"), Some("2026-01-01T00:00:00.000002Z"));
        let table = [(early, late, true), (late, late, false), (late, early, false), (None, late, false)];
        for (found, written, expected) in table {
            assert_eq!(is_older(&lease(found), &lease(written)), expected, "{found:?} {written:?}");
        }
    }

    #[test]
    fn a_holder_is_another_until_it_was_seen() {
        let seen = |holder: Option<&str>| LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            ..LeaseSpec::default()
        };
        assert!(is_another(None, "a") && is_another(Some(&seen(None)), "a"));
        assert!(is_another(Some(&seen(Some("b"))), "a"));
        assert!(!is_another(Some(&seen(Some("a"))), "a"));
    }
}
