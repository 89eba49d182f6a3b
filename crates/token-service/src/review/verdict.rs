//! Verdicts that were given a moment ago: bounded, found by a keyed hash, never older than their token.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, rand};
use bytes::Bytes;
use moka::{Expiry, future::Cache, notification::RemovalCause};
use portolan_core::auth::{ReviewAnswer, ReviewVersion, TokenRefusal};
use secrecy::ExposeSecret as _;

use super::question::{ReviewDecision, ReviewQuestion, ReviewTarget};
use crate::{audit, config::ClusterConfig};

/// Of all answers together. A verdict has about a kilobyte.
const MAX_BYTES: u64 = 24 * 1024 * 1024;
/// Memory of an entry besides its answer.
const OVERHEAD_BYTES: usize = 512;
/// A refusal is kept for a moment only: what is wrong now may be right soon.
const REFUSED_FOR: Duration = Duration::from_secs(3);

/// An answer that was given. There are many of them, so it has nothing that can be had from elsewhere.
#[derive(Debug)]
pub struct ReviewVerdict {
    pub body: Bytes,
    cluster: Option<Arc<ClusterConfig>>,
    /// Name of the user, as it was passed on.
    username: Option<Box<str>>,
    refusal: Option<Box<TokenRefusal>>,
    caller: Arc<str>,
    keep_for: Duration,
    repeats: AtomicU32,
}

impl ReviewVerdict {
    pub(super) fn new(decision: ReviewDecision, body: Vec<u8>, caller: Arc<str>) -> Self {
        let ReviewDecision { cluster, outcome, keep_for } = decision;
        let (username, refusal) = match outcome {
            Ok(accepted) => (Some(accepted.identity.username.into_boxed_str()), None),
            Err(refusal) => (None, Some(Box::new(refusal))),
        };
        let keep_for = match &refusal {
            None => keep_for,
            Some(refusal) if refusal.is_cacheable() => REFUSED_FOR.min(keep_for),
            Some(_) => Duration::ZERO,
        };
        // Without the room that it grew in.
        let body = body.into_boxed_slice().into();
        Self { body, cluster, username, refusal, caller, keep_for, repeats: AtomicU32::new(0) }
    }

    /// The verdict about what is no token.
    pub(super) fn junk(
        cluster: Option<Arc<ClusterConfig>>,
        refusal: &TokenRefusal,
        question: &ReviewQuestion<'_>,
    ) -> Self {
        let body = ReviewAnswer::Refused(refusal).to_json(question.request.version);
        let decision = ReviewDecision { cluster, outcome: Err(refusal.clone()), keep_for: Duration::ZERO };
        Self::new(decision, body, Arc::clone(question.caller))
    }

    /// The cluster, or nothing where there is none.
    pub fn cluster(&self) -> &str {
        self.cluster.as_ref().map_or("", |cluster| &cluster.name)
    }

    /// The mode in which the cluster's tokens are checked.
    pub fn mode(&self) -> &'static str {
        self.cluster.as_ref().map_or("", |cluster| cluster.mode.label())
    }

    /// The value of the `result` label.
    pub fn label(&self) -> &'static str {
        if self.refusal.is_none() { "authenticated" } else { "refused" }
    }

    /// The value of the `reason` label.
    pub fn reason(&self) -> &'static str {
        self.refusal().map_or("", TokenRefusal::label)
    }

    /// Name of the user, as it was passed on.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The refusal, for those who answer in another form.
    pub fn refusal(&self) -> Option<&TokenRefusal> {
        self.refusal.as_deref()
    }

    /// Counts that it was given again.
    pub(super) fn repeated(&self) {
        self.repeats.fetch_add(1, Ordering::Relaxed);
    }

    fn report_repeats(&self) {
        let repeats = self.repeats.load(Ordering::Relaxed);
        if repeats > 0 {
            audit::repeated(&self.caller, self.cluster(), self.username(), self.reason(), repeats);
        }
    }
}

/// The keyed hash of a question. Who sees one learns nothing about the token.
pub(super) type Key = [u8; 32];

/// Makes keys.
#[derive(Debug)]
pub(super) struct KeyMaker(hmac::Key);

impl KeyMaker {
    pub(super) fn random() -> Self {
        let mut secret = [0; 32];
        rand::fill(&mut secret).expect("the operating system has random numbers");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &secret))
    }

    /// Everything that decides the answer, each part with its length.
    pub(super) fn key(&self, question: &ReviewQuestion<'_>) -> Key {
        let mut context = hmac::Context::with_key(&self.0);
        let mut feed = |part: &[u8]| {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        };
        feed(question.request.token.expose_secret().as_bytes());
        // What kind it is comes first: a question may name a cluster with no letters.
        let (kind, name) = match question.target {
            ReviewTarget::Cluster(name) => (0, name),
            ReviewTarget::Auto => (1, ""),
        };
        feed(&[kind]);
        feed(name.as_bytes());
        // Each caller has its own line in the audit.
        feed(question.caller.as_bytes());
        let route = question.route.map_or(0, |route| std::ptr::from_ref(route).addr());
        let version = u8::from(question.request.version == ReviewVersion::V1beta1);
        let any = u8::from(question.any_audience);
        feed(
            &[&question.snapshot.generation.to_le_bytes()[..], &route.to_le_bytes()[..], &[version, any]]
                .concat(),
        );
        for audience in &question.request.audiences {
            feed(audience.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        key
    }
}

/// The cache.
#[derive(Debug)]
pub(super) struct Verdicts(Cache<Key, Arc<ReviewVerdict>>);

impl Verdicts {
    pub(super) fn new() -> Self {
        let weigh = |_: &Key, verdict: &Arc<ReviewVerdict>| {
            u32::try_from(verdict.body.len() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .max_capacity(MAX_BYTES)
            .weigher(weigh)
            .expire_after(UntilItsEnd)
            .eviction_listener(|_, verdict: Arc<ReviewVerdict>, _: RemovalCause| verdict.report_repeats());
        Self(cache.build())
    }

    pub(super) async fn get(&self, key: &Key) -> Option<Arc<ReviewVerdict>> {
        self.0.get(key).await
    }

    /// The verdict that is being found, or that the future finds. What is not to be kept is handed to those
    /// who wait for it now, and to nobody later.
    pub(super) async fn or_decide(
        &self,
        key: Key,
        decide: impl Future<Output = ReviewVerdict>,
    ) -> Arc<ReviewVerdict> {
        let decided = self.0.try_get_with(key, async {
            let verdict = Arc::new(decide.await);
            if verdict.keep_for.is_zero() { Err(verdict) } else { Ok(verdict) }
        });
        decided.await.unwrap_or_else(|not_kept| Arc::clone(&not_kept))
    }

    /// Keeps a verdict, unless it is not to be kept.
    pub(super) async fn keep(&self, key: Key, verdict: ReviewVerdict) -> Arc<ReviewVerdict> {
        let verdict = Arc::new(verdict);
        if !verdict.keep_for.is_zero() {
            self.0.insert(key, Arc::clone(&verdict)).await;
        }
        verdict
    }

    pub(super) async fn tidy(&self) {
        self.0.run_pending_tasks().await;
    }

    /// Reports what was only counted, at the end.
    pub(super) async fn report(&self) {
        // What has ended is not in the iteration any more.
        self.tidy().await;
        self.0.iter().for_each(|(_, verdict)| verdict.report_repeats());
    }

    pub(super) fn len(&self) -> u64 {
        self.0.entry_count()
    }
}

struct UntilItsEnd;

impl Expiry<Key, Arc<ReviewVerdict>> for UntilItsEnd {
    fn expire_after_create(&self, _: &Key, verdict: &Arc<ReviewVerdict>, _: Instant) -> Option<Duration> {
        Some(verdict.keep_for)
    }

    /// Two who asked at the same moment have both decided; the second verdict has its own end.
    fn expire_after_update(
        &self,
        _: &Key,
        verdict: &Arc<ReviewVerdict>,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(verdict.keep_for)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use portolan_core::auth::ReviewRequest;

    use super::*;
    use crate::{config::ServiceConfig, state::ConfigSnapshot};

    #[test]
    fn the_automatic_choice_has_the_key_of_no_cluster() {
        let snapshot = Arc::new(ConfigSnapshot {
            generation: 0,
            config: ServiceConfig::parse("clusters: {a: {issuer: https://a.test}}").unwrap(),
            clusters: BTreeMap::new(),
            by_issuer: HashMap::new(),
            caller_rates: None,
        });
        let request = ReviewRequest { version: ReviewVersion::V1, token: "t".into(), audiences: Vec::new() };
        let maker = KeyMaker::random();
        let key = |target| {
            maker.key(&ReviewQuestion {
                snapshot: &snapshot,
                target,
                route: None,
                caller: &Arc::from("x"),
                any_audience: false,
                request: &request,
            })
        };
        assert_eq!(key(ReviewTarget::Auto), key(ReviewTarget::Auto));
        assert_ne!(key(ReviewTarget::Auto), key(ReviewTarget::Cluster("")));
        assert_ne!(key(ReviewTarget::Cluster("a")), key(ReviewTarget::Cluster("b")));
    }
}
