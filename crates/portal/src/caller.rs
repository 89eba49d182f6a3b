//! The caller: the API server says who a credential belongs to.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use moka::future::Cache;
use portolan_runtime::{
    keyed_hash::KeyedHash,
    limits::{CallerRates, RateSubject},
};
use serde_json::{Value, json};

use crate::{credential::Credential, problem::Problem, session::open::OpenSession, upstream::ApiServer};

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// Lifetime of what the API server has said.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// Lifetime of a refusal.
const REFUSED_FOR: Duration = Duration::from_secs(10);
const MAX_CALLERS: u64 = 10_000;

/// Somebody whom the API server knows.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user: Arc<UserInfo>,
    pub credential: Credential,
    /// Tells credentials apart in caches; says nothing about them.
    pub key: u128,
    /// The session, if there is one.
    pub session: Option<Arc<OpenSession>>,
}

/// A user as the API server names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub groups: Vec<String>,
}

/// Callers whom the API server has named lately. No credential is kept: keyed hashes tell them apart.
pub struct KnownCallers {
    known: Cache<u128, Arc<UserInfo>>,
    refused: Cache<u128, ()>,
    hashes: KeyedHash,
    strangers: CallerRates,
}

impl KnownCallers {
    /// No callers yet. An address may show so many unknown credentials per second.
    pub fn new(max_unknown: u32) -> Self {
        Self {
            known: Cache::builder().max_capacity(MAX_CALLERS).time_to_live(KNOWN_FOR).build(),
            refused: Cache::builder().max_capacity(MAX_CALLERS).time_to_live(REFUSED_FOR).build(),
            hashes: KeyedHash::default(),
            strangers: CallerRates::new(max_unknown),
        }
    }

    fn key(&self, credential: &Credential) -> u128 {
        self.hashes.of(credential.fingerprint())
    }

    /// Names the owner of a credential that came from an address.
    pub async fn identify(
        &self,
        upstream: &ApiServer,
        credential: Credential,
        session: Option<Arc<OpenSession>>,
        from: IpAddr,
    ) -> Result<Caller, Problem> {
        let key = self.key(&credential);
        if let Some(user) = self.known.get(&key).await {
            return Ok(Caller { user, credential, key, session });
        }
        if self.refused.contains_key(&key) {
            return Err(Problem::unauthenticated());
        }
        // The seal of a session is proof that this is no guess: many of them may come from one address.
        if session.is_none() && !self.strangers.allows(RateSubject::At(from)) {
            return Err(Problem::too_many("too many unknown tokens come from this address"));
        }
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let user = match upstream.ask(REVIEWS, &body, &credential).await {
            Ok(review) => user(&review),
            Err(problem) if problem.status == StatusCode::UNAUTHORIZED => None,
            Err(problem) => return Err(problem),
        };
        let Some(user) = user.map(Arc::new) else {
            self.refused.insert(key, ()).await;
            return Err(Problem::unauthenticated());
        };
        self.known.insert(key, Arc::clone(&user)).await;
        Ok(Caller { user, credential, key, session })
    }
}

/// The user of a review, unless that is nobody.
fn user(review: &Value) -> Option<UserInfo> {
    let info = &review["status"]["userInfo"];
    let name = info["username"].as_str().filter(|name| !name.is_empty() && *name != "system:anonymous")?;
    let groups = info["groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
    Some(UserInfo { name: name.to_owned(), groups: groups.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_no_user() {
        let review = |name: &str| json!({"status": {"userInfo": {"username": name, "groups": ["a", 1]}}});
        assert_eq!(user(&review("ann")), Some(UserInfo { name: "ann".into(), groups: vec!["a".into()] }));
        for review in [review("system:anonymous"), review(""), json!({})] {
            assert_eq!(user(&review), None);
        }
    }
}
