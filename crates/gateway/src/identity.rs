//! The caller: its token is proven by a review that the cluster makes of it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, StatusCode};
use moka::future::Cache;
use portolan_runtime::{
    keyed_hash::KeyedHash,
    limits::{CallerRates, RateSubject},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    error::{ErrorCode, GraphError},
    scan::text_at,
    upstream::{ApiRequest, RefusedAnswer, Upstream},
};

/// Lifetime of a proof. It protects the schema only: the API server decides each read and write.
const PROVEN: Duration = Duration::from_secs(30);
/// Time for which a caller is an acquaintance: its proof may be too old, but it was accepted.
const ACQUAINTED: Duration = Duration::from_secs(600);
/// Lifetime of a refusal.
const REFUSED: Duration = Duration::from_secs(10);
/// Time for which a proof is the one of all requests that came meanwhile.
const SHARED: Duration = Duration::from_secs(1);
/// Maximum number of remembered tokens.
const MAX_TOKENS: u64 = 10_000;
/// Maximum size of a review.
const MAX_REVIEW: usize = 256 * 1024;

/// Reviews that prove a caller, the best first.
const QUESTIONS: [(&str, &str, &str); 3] = [
    ("/apis/authentication.k8s.io/v1/selfsubjectreviews", "authentication.k8s.io/v1", "SelfSubjectReview"),
    (
        "/apis/authentication.k8s.io/v1beta1/selfsubjectreviews",
        "authentication.k8s.io/v1beta1",
        "SelfSubjectReview",
    ),
    (
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
    ),
];

/// A caller whose token the cluster accepts.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its `Authorization`.
    pub authorization: HeaderValue,
    /// Its key: the name, or if that is not known, a hash of its token.
    pub id: String,
    /// Its name, if the cluster tells it.
    pub name: Option<Arc<str>>,
    /// The keyed hash of its token.
    key: u128,
    places: Arc<Semaphore>,
}

impl Caller {
    /// A slot for one more request, unless too many are in progress.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, GraphError> {
        let message = "too many requests of this caller are under way";
        let crowded = |_| GraphError::new(ErrorCode::TooManyRequests, message);
        Arc::clone(&self.places).try_acquire_owned().map_err(crowded)
    }
}

#[derive(Clone, Debug)]
enum CallerVerdict {
    Known(Caller),
    Refused,
}

#[derive(Clone, Debug)]
struct ProvenCaller {
    caller: Caller,
    at: Instant,
}

/// The callers of one cluster. No token is stored: keyed hashes tell them apart.
#[derive(Debug)]
pub struct ClusterCallers {
    proven: Cache<u128, ProvenCaller>,
    refused: Cache<u128, ()>,
    /// Proofs under way: one for all requests that bring the token meanwhile.
    proving: Cache<u128, Caller>,
    hashes: KeyedHash,
    /// Index of the review that the cluster supports.
    question: AtomicU8,
    in_flight: usize,
    places: moka::sync::Cache<String, Arc<Semaphore>>,
}

/// The rate of unknown tokens per address.
pub type StrangerRates = CallerRates;

impl ClusterCallers {
    /// No callers yet; each may have `in_flight` requests in progress.
    pub fn new(in_flight: usize) -> Self {
        Self {
            proven: Cache::builder().max_capacity(MAX_TOKENS).time_to_live(ACQUAINTED).build(),
            refused: Cache::builder().max_capacity(MAX_TOKENS).time_to_live(REFUSED).build(),
            proving: Cache::builder().max_capacity(MAX_TOKENS).time_to_live(SHARED).build(),
            hashes: KeyedHash::default(),
            question: AtomicU8::new(0),
            in_flight,
            places: moka::sync::Cache::builder()
                .max_capacity(MAX_TOKENS)
                .time_to_idle(ACQUAINTED * 2)
                .build(),
        }
    }

    fn key(&self, token: &str) -> u128 {
        self.hashes.of(token)
    }

    /// Identifies a caller by its token.
    pub async fn identify(
        &self,
        upstream: &Upstream,
        token: &SecretString,
        (strangers, address): (&StrangerRates, IpAddr),
    ) -> Result<Caller, GraphError> {
        if let Some(known) = self.remembered(token).await {
            return known;
        }
        let key = self.key(token.expose_secret());
        let proof = Box::pin(async {
            // An acquaintance is no stranger, though its proof is too old.
            if !self.proven.contains_key(&key) && !strangers.allows(RateSubject::At(address)) {
                let message = "too many tokens that nobody knows come from this address";
                return Err(GraphError::new(ErrorCode::TooManyRequests, message));
            }
            self.prove(upstream, token).await
        });
        self.proving.try_get_with(key, proof).await.map_err(|error| GraphError::clone(&error))
    }

    /// Fails if the cluster does not accept a caller any more. It is asked again where its last word is too old.
    pub async fn still_accept(&self, upstream: &Upstream, caller: &Caller) -> Result<(), GraphError> {
        let proven = self.proven.get(&caller.key).await;
        if proven.is_some_and(|proven| proven.at.elapsed() < PROVEN) {
            return Ok(());
        }
        self.prove_again(upstream, caller).await
    }

    /// Reviews the token of a caller anew, whatever is remembered of it.
    pub async fn prove_again(&self, upstream: &Upstream, caller: &Caller) -> Result<(), GraphError> {
        self.judged(upstream, &caller.authorization, caller.key).await.map(drop)
    }

    /// Returns what the cluster has said about a token lately.
    pub async fn remembered(&self, token: &SecretString) -> Option<Result<Caller, GraphError>> {
        let key = self.key(token.expose_secret());
        if let Some(proven) = self.proven.get(&key).await
            && proven.at.elapsed() < PROVEN
        {
            return Some(Ok(proven.caller));
        }
        self.refused.contains_key(&key).then(|| Err(refusal()))
    }

    /// Returns the caller that had this token when it was last accepted. It has to be proven before anything is answered.
    pub async fn acquaintance(&self, token: &SecretString) -> Option<Caller> {
        self.proven.get(&self.key(token.expose_secret())).await.map(|proven| proven.caller)
    }

    /// Reviews a token anew, whatever is remembered of it.
    pub async fn prove(&self, upstream: &Upstream, token: &SecretString) -> Result<Caller, GraphError> {
        let header = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
        let mut authorization = header.map_err(|_| refusal())?;
        authorization.set_sensitive(true);
        self.judged(upstream, &authorization, self.key(token.expose_secret())).await
    }

    async fn judged(
        &self,
        upstream: &Upstream,
        authorization: &HeaderValue,
        key: u128,
    ) -> Result<Caller, GraphError> {
        match self.ask(upstream, authorization, key).await? {
            CallerVerdict::Known(caller) => {
                let proven = ProvenCaller { caller: caller.clone(), at: Instant::now() };
                self.proven.insert(key, proven).await;
                Ok(caller)
            }
            CallerVerdict::Refused => {
                self.proven.invalidate(&key).await;
                self.refused.insert(key, ()).await;
                Err(refusal())
            }
        }
    }

    async fn ask(
        &self,
        upstream: &Upstream,
        authorization: &HeaderValue,
        key: u128,
    ) -> Result<CallerVerdict, GraphError> {
        let caller = |name: Option<String>| {
            let who = name.clone().unwrap_or_else(|| format!("{key:x}"));
            let places = self.places.get_with(who.clone(), || Arc::new(Semaphore::new(self.in_flight)));
            CallerVerdict::Known(Caller {
                authorization: authorization.clone(),
                id: who,
                name: name.map(Arc::from),
                key,
                places,
            })
        };
        let first = usize::from(self.question.load(Ordering::Relaxed));
        for (index, (path, version, kind)) in QUESTIONS.iter().enumerate().skip(first) {
            let body = json!({"apiVersion": version, "kind": kind, "spec": {"nonResourceAttributes": {"path": "/version", "verb": "get"}}});
            let body = if *kind == "SelfSubjectReview" {
                json!({"apiVersion": version, "kind": kind})
            } else {
                body
            };
            match upstream.ask(authorization, ApiRequest::review(path, &body), MAX_REVIEW).await? {
                Ok(review) => {
                    let name = text_at(&review, &["status", "userInfo", "username"]);
                    let is_nobody = name.as_deref() == Some("system:anonymous");
                    return Ok(if is_nobody { CallerVerdict::Refused } else { caller(name) });
                }
                Err(refused) => match meaning(&refused) {
                    RefusalMeaning::Refused => return Ok(CallerVerdict::Refused),
                    // The token is accepted; only the right to this review is missing.
                    RefusalMeaning::Accepted => return Ok(caller(None)),
                    RefusalMeaning::Unknown if index + 1 < QUESTIONS.len() => {
                        self.question.store(u8::try_from(index + 1).unwrap_or_default(), Ordering::Relaxed);
                    }
                    RefusalMeaning::Unknown | RefusalMeaning::Outage => return Err(outage()),
                },
            }
        }
        Err(outage())
    }
}

enum RefusalMeaning {
    Refused,
    Accepted,
    Unknown,
    Outage,
}

fn meaning(refused: &RefusedAnswer) -> RefusalMeaning {
    let says_anonymous = || String::from_utf8_lossy(&refused.body).contains("system:anonymous");
    match refused.status {
        StatusCode::UNAUTHORIZED => RefusalMeaning::Refused,
        StatusCode::FORBIDDEN if says_anonymous() => RefusalMeaning::Refused,
        StatusCode::FORBIDDEN => RefusalMeaning::Accepted,
        StatusCode::NOT_FOUND => RefusalMeaning::Unknown,
        _ => RefusalMeaning::Outage,
    }
}

/// The same message for a bad token and an unknown cluster, so that nobody can find out which clusters exist.
pub fn refusal() -> GraphError {
    GraphError::new(ErrorCode::Unauthenticated, "the token is not accepted, or there is no such cluster")
}

fn outage() -> GraphError {
    GraphError::new(ErrorCode::Unavailable, "the cluster could not be asked about the token, try again")
}
