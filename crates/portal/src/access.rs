//! The rights of a caller, as the API server answers; cached for a few seconds.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use moka::future::Cache;
use portolan_core::api::devportal::GROUP;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::{caller::Caller, problem::Problem, upstream::ApiServer};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// Lifetime of an answer.
const KNOWN_FOR: Duration = Duration::from_secs(10);
const MAX_ANSWERS: u64 = 100_000;
/// Questions under way for one request.
const AT_ONCE: usize = 8;
/// The same for all requests.
const MAX_QUESTIONS: usize = 32;
/// Namespaces that one question is asked about; more are taken as refused.
const MAX_NAMESPACES: usize = 200;

/// Something that a caller may be allowed to do, in a namespace or, if that is empty, everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessRight {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    namespace: String,
    name: String,
}

impl AccessRight {
    /// A verb on a resource of the portal's own group.
    pub fn of(verb: &'static str, resource: &'static str) -> Self {
        Self::foreign(verb, GROUP, resource)
    }

    /// A verb on a resource of any group.
    pub fn foreign(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Self { verb, group, resource, subresource, namespace: String::new(), name: String::new() }
    }

    pub fn within(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    fn question(&self) -> Value {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": self.verb, "group": self.group, "resource": self.resource,
                "subresource": self.subresource, "namespace": self.namespace, "name": self.name,
            }},
        })
    }
}

/// Answers of a short while ago.
pub struct AccessReviews {
    known: Cache<(u128, AccessRight), bool>,
    /// Places for questions of this process: together they fit on one connection.
    turns: Semaphore,
}

impl AccessReviews {
    pub fn new() -> Self {
        let known = Cache::builder().max_capacity(MAX_ANSWERS).time_to_live(KNOWN_FOR).build();
        Self { known, turns: Semaphore::new(MAX_QUESTIONS) }
    }

    /// Returns `true` if the caller has the right.
    pub async fn may(
        &self,
        upstream: &ApiServer,
        caller: &Caller,
        right: AccessRight,
    ) -> Result<bool, Problem> {
        let key = (caller.key, right);
        if let Some(known) = self.known.get(&key).await {
            return Ok(known);
        }
        let _turn = self.turns.acquire().await;
        let review = upstream.ask(REVIEWS, &key.1.question(), &caller.credential).await?;
        let allowed = review["status"]["allowed"] == true;
        self.known.insert(key, allowed).await;
        Ok(allowed)
    }

    /// Where the caller has the right: everywhere, or in some of these namespaces.
    pub async fn places(
        &self,
        upstream: &ApiServer,
        caller: &Caller,
        right: &AccessRight,
        mut namespaces: Vec<String>,
    ) -> Result<AllowedNamespaces, Problem> {
        if self.may(upstream, caller, right.clone()).await? {
            return Ok(AllowedNamespaces::Everywhere);
        }
        namespaces.sort_unstable();
        namespaces.dedup();
        if namespaces.len() > MAX_NAMESPACES {
            let (found, user) = (namespaces.len(), &caller.user.name);
            warn!(
                user,
                found, "{MAX_NAMESPACES} namespaces are asked about: let its role hold in the whole cluster"
            );
            namespaces.truncate(MAX_NAMESPACES);
        }
        let asked = stream::iter(namespaces).map(async |namespace: String| {
            let allowed = self.may(upstream, caller, right.clone().within(&namespace)).await?;
            Ok::<_, Problem>(allowed.then_some(namespace))
        });
        let answers: Vec<_> = asked.buffered(AT_ONCE).collect().await;
        let allowed: Result<Vec<_>, _> = answers.into_iter().collect();
        Ok(AllowedNamespaces::Some(allowed?.into_iter().flatten().collect()))
    }
}

/// Namespaces in which a caller has a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedNamespaces {
    Everywhere,
    /// In these, in order.
    Some(Vec<String>),
}

impl AllowedNamespaces {
    pub fn has(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Some(names) => names.binary_search_by(|name| name.as_str().cmp(namespace)).is_ok(),
        }
    }

    pub fn is_nowhere(&self) -> bool {
        matches!(self, Self::Some(names) if names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_everything() {
        let right = AccessRight::of("update", "apikeys/status").within("a").named("k");
        let spec = &right.question()["spec"]["resourceAttributes"];
        let expected = json!({
            "verb": "update", "group": "devportal.kuadrant.io", "resource": "apikeys", "subresource": "status",
            "namespace": "a", "name": "k",
        });
        assert_eq!(spec, &expected);
    }

    #[test]
    fn a_place_is_one_of_those_that_were_allowed() {
        let some = AllowedNamespaces::Some(vec!["a".to_owned(), "c".to_owned()]);
        assert!(some.has("a") && some.has("c") && !some.has("b") && !some.is_nowhere());
        assert!(AllowedNamespaces::Everywhere.has("x") && AllowedNamespaces::Some(Vec::new()).is_nowhere());
    }
}
