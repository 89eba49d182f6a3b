//! The rights of callers to read: reviews by the API server with their own tokens, each cached for a short time.

use std::time::Duration;

use http::HeaderValue;
use moka::future::Cache;
use portolan_runtime::keyed_hash::KeyedHash;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    document::ApiResource,
    scan::at,
    upstream::{ApiRequest, Upstream},
};

/// Time for which a review is believed, from its question on. With the time that a read may wait, at most ten seconds.
const BELIEVED: Duration = Duration::from_secs(9);
/// Maximum number of remembered reviews.
const MAX_REVIEWS: u64 = 100_000;
/// Maximum size of an answer.
const MAX_ANSWER: usize = 256 * 1024;

/// A right on a kind, in one namespace or in all.
#[derive(Clone, Copy, Debug)]
pub struct KindRight<'a> {
    /// `get` or `list`.
    pub verb: &'static str,
    /// The kind.
    pub resource: &'a ApiResource,
    /// The namespace.
    pub namespace: Option<&'a str>,
}

impl KindRight<'_> {
    fn attributes(&self) -> serde_json::Value {
        let name = &self.resource.name;
        json!({"verb": self.verb, "group": name.group, "version": name.version, "resource": self.resource.plural,
            "namespace": self.namespace})
    }
}

#[derive(Clone, Copy, Debug)]
struct ReviewVerdict {
    is_allowed: bool,
    asked: Instant,
}

/// The reviews of one cluster. No token is stored: keyed hashes tell them apart.
#[derive(Debug)]
pub struct AccessReviews {
    known: Cache<u128, ReviewVerdict>,
    hashes: KeyedHash,
}

impl Default for AccessReviews {
    fn default() -> Self {
        Self {
            known: Cache::builder().max_capacity(MAX_REVIEWS).time_to_live(BELIEVED).build(),
            hashes: KeyedHash::default(),
        }
    }
}

impl AccessReviews {
    /// Returns `true` if a caller has a right, by a whole yes: in the cluster, or in the namespace. What can only be said
    /// of single objects counts as no; so does everything else that is not a yes.
    pub async fn allow(&self, upstream: &Upstream, caller: &HeaderValue, right: KindRight<'_>) -> bool {
        let whole = KindRight { namespace: None, ..right };
        if self.said(upstream, caller, whole).await {
            return true;
        }
        right.resource.is_namespaced && right.namespace.is_some() && self.said(upstream, caller, right).await
    }

    async fn said(&self, upstream: &Upstream, caller: &HeaderValue, right: KindRight<'_>) -> bool {
        let key = self.key(caller, right);
        if let Some(verdict) = self.known.get(&key).await {
            if verdict.asked.elapsed() < BELIEVED {
                return verdict.is_allowed;
            }
            self.known.invalidate(&key).await;
        }
        let verdict = self.known.try_get_with(key, ask(upstream, caller, right)).await;
        verdict.is_ok_and(|verdict| verdict.is_allowed && verdict.asked.elapsed() < BELIEVED)
    }

    fn key(&self, caller: &HeaderValue, right: KindRight<'_>) -> u128 {
        let name = &right.resource.name;
        self.hashes.of((
            caller.as_bytes(),
            right.verb,
            &name.group,
            &name.version,
            &right.resource.plural,
            right.namespace,
        ))
    }
}

/// Asks. An outage is no verdict, and is not remembered.
async fn ask(upstream: &Upstream, caller: &HeaderValue, right: KindRight<'_>) -> Result<ReviewVerdict, ()> {
    let asked = Instant::now();
    let answer =
        upstream.ask(caller, ApiRequest::access(&right.attributes()), MAX_ANSWER).await.map_err(|_| ())?;
    let is_allowed = answer.is_ok_and(|review| is_yes(&review));
    Ok(ReviewVerdict { is_allowed, asked })
}

fn is_yes(review: &[u8]) -> bool {
    let said = |key: &str| at(review, &["status", key]);
    // What breaks off might still have said no.
    matches!(said("allowed"), Ok(Some(b"true"))) && !matches!(said("denied"), Ok(Some(b"true")) | Err(_))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::resource, *};

    #[test]
    fn only_a_yes_is_a_yes() {
        let table = [
            (r#"{"status":{"allowed":true}}"#, true),
            (r#"{"status":{"allowed":true,"denied":false}}"#, true),
            (r#"{"status":{"allowed":true,"denied":true}}"#, false),
            (r#"{"status":{"allowed":false}}"#, false),
            (r#"{"status":{"allowed":"true"}}"#, false),
            (r#"{"spec":{"allowed":true}}"#, false),
            ("", false),
            (r#"{"status":{"allowed":true"#, false),
            (r#"{"status":{"allowed":true,"denied":"#, false),
        ];
        for (review, expected) in table {
            assert_eq!(is_yes(review.as_bytes()), expected, "{review}");
        }
    }

    #[test]
    fn each_question_has_a_key_of_its_own() {
        let reviews = AccessReviews::default();
        let (pods, jobs) = (resource("", "pods"), resource("batch", "jobs"));
        let right = |verb, resource, namespace| KindRight { verb, resource, namespace };
        let (one, two) = (HeaderValue::from_static("Bearer a"), HeaderValue::from_static("Bearer b"));
        let keys: std::collections::BTreeSet<u128> = [
            reviews.key(&one, right("get", &pods, None)),
            reviews.key(&two, right("get", &pods, None)),
            reviews.key(&one, right("list", &pods, None)),
            reviews.key(&one, right("get", &jobs, None)),
            reviews.key(&one, right("get", &pods, Some(""))),
            reviews.key(&one, right("get", &pods, Some("a"))),
        ]
        .into();
        assert_eq!(keys.len(), 6);
        assert!(keys.contains(&reviews.key(&one, right("get", &pods, Some("a")))));
    }
}
