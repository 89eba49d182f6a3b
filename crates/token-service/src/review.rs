//! One question: found in the cache, or decided, counted and audited.

mod audiences;
pub mod decide;
mod question;
pub mod remote;
mod verdict;

use std::sync::Arc;

use bytes::Bytes;
use portolan_core::auth::{ReviewAnswer, TokenRefusal, UnverifiedToken, compact::MAX_TOKEN_BYTES};
use portolan_runtime::{clock, config::issuer::VerificationMode, junk::JunkCounter};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use self::verdict::{KeyMaker, Verdicts};
pub use self::{
    audiences::Wanted,
    question::{ReviewDecision, ReviewQuestion, ReviewTarget},
    verdict::ReviewVerdict,
};
use crate::{audit, config::ClusterConfig, identity_mapping, metrics::ServiceMetrics};

/// Answers questions.
#[derive(Debug)]
pub struct Reviewer {
    keys: KeyMaker,
    verdicts: Verdicts,
    junk: JunkCounter,
    metrics: Arc<ServiceMetrics>,
}

impl Reviewer {
    pub fn new(metrics: Arc<ServiceMetrics>) -> Self {
        Self { keys: KeyMaker::random(), verdicts: Verdicts::new(), junk: JunkCounter::default(), metrics }
    }

    /// The whole TokenReview.
    pub async fn answer(&self, question: &ReviewQuestion<'_>) -> Bytes {
        self.verdict(question).await.body.clone()
    }

    /// The verdict, which may be one of a moment ago.
    pub async fn verdict(&self, question: &ReviewQuestion<'_>) -> Arc<ReviewVerdict> {
        let start = Instant::now();
        let token = question.request.token.expose_secret();
        // What is no token at all costs nothing to refuse, and is not worth a place in a cache.
        if !looks_like_a_token(token) {
            return self.junk(
                question,
                &UnverifiedToken::parse(token).err().unwrap_or(TokenRefusal::Malformed),
                start,
            );
        }
        let key = self.keys.key(question);
        if let Some(known) = self.verdicts.get(&key).await {
            known.repeated();
            self.metrics.cached(&known, start.elapsed());
            return known;
        }
        let parsed = match UnverifiedToken::parse(token) {
            Ok(parsed) => parsed,
            Err(refusal) => return self.junk(question, &refusal, start),
        };
        let deciding = self.decided(question, &parsed);
        let decided = if asks_the_cluster(question) {
            self.verdicts.or_decide(key, deciding).await
        } else {
            // Quicker than to wait for somebody who does the same.
            self.verdicts.keep(key, deciding.await).await
        };
        self.metrics.decided(&decided, start.elapsed());
        decided
    }

    async fn decided(&self, question: &ReviewQuestion<'_>, token: &UnverifiedToken<'_>) -> ReviewVerdict {
        let start = Instant::now();
        let wanted = match question.request.audiences.as_slice() {
            _ if question.any_audience => Wanted::Any,
            [] => Wanted::Default,
            audiences => Wanted::These(audiences),
        };
        let mut decision =
            decide::decide(question.snapshot, question.target, token, wanted, clock::now()).await;
        let name = decision.cluster.as_ref().map_or("", |cluster| &cluster.name);
        if let Ok(accepted) = &mut decision.outcome {
            let identity = std::mem::take(&mut accepted.identity);
            accepted.identity = identity_mapping::passed_on(identity, name, question.route);
        }
        audit::decided(&decision, question.caller, start.elapsed());
        let version = question.request.version;
        let body = match &decision.outcome {
            Ok(accepted) => {
                ReviewAnswer::Authenticated(&accepted.identity, &accepted.audiences).to_json(version)
            }
            Err(refusal) => ReviewAnswer::Refused(refusal).to_json(version),
        };
        ReviewVerdict::new(decision, body, Arc::clone(question.caller))
    }

    fn junk(
        &self,
        question: &ReviewQuestion<'_>,
        refusal: &TokenRefusal,
        start: Instant,
    ) -> Arc<ReviewVerdict> {
        let cluster = match question.target {
            ReviewTarget::Auto => None,
            ReviewTarget::Cluster(name) => {
                let Some(cluster) = question.snapshot.clusters.get(name) else {
                    let missing = TokenRefusal::ClusterNotFound(name.to_owned());
                    return self.refused(question, None, &missing, start);
                };
                Some(Arc::clone(&cluster.config))
            }
        };
        self.refused(question, cluster, refusal, start)
    }

    fn refused(
        &self,
        question: &ReviewQuestion<'_>,
        cluster: Option<Arc<ClusterConfig>>,
        refusal: &TokenRefusal,
        start: Instant,
    ) -> Arc<ReviewVerdict> {
        let name = cluster.as_ref().map_or("", |cluster| &cluster.name);
        self.junk.seen(question.caller, name, refusal.label());
        let verdict = ReviewVerdict::junk(cluster, refusal, question);
        self.metrics.decided(&verdict, start.elapsed());
        Arc::new(verdict)
    }

    /// Says what was only counted until now. Nothing is asked after this.
    pub async fn report(&self) {
        self.verdicts.report().await;
        self.junk.report_all();
    }

    /// Keeps the cache and the audit tidy: what has ended is taken out and counted.
    pub async fn tidy(&self) {
        self.verdicts.tidy().await;
        self.junk.report();
        self.metrics.cache_size(self.verdicts.len());
    }
}

/// Returns `true` if a text is worth a look into the cache: of the length of a token, and in three parts.
fn looks_like_a_token(text: &str) -> bool {
    text.len() <= MAX_TOKEN_BYTES && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Returns `true` if the decision takes a request to the cluster, whose answer those who ask the same share.
fn asks_the_cluster(question: &ReviewQuestion<'_>) -> bool {
    let ReviewTarget::Cluster(name) = question.target else { return true };
    question.snapshot.clusters.get(name).is_some_and(|cluster| cluster.config.mode != VerificationMode::Jwks)
}
