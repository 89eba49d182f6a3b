//! The cluster's own word: a TokenReview at its API server, believed only as far as the token agrees.

use http::{StatusCode, Uri};
use portolan_core::auth::{
    Identity, Refusal, UnverifiedToken, audience::intersection, identity::Extra, refusal::Unavailable,
};
use portolan_runtime::{
    fetch::{Credential, Fetcher},
    telemetry::Chain,
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::cluster::Cluster;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// What a cluster may say about its own users. Everything else is not passed on.
const EXTRA: [&str; 5] = [
    "authentication.kubernetes.io/credential-id",
    "authentication.kubernetes.io/node-name",
    "authentication.kubernetes.io/node-uid",
    "authentication.kubernetes.io/pod-name",
    "authentication.kubernetes.io/pod-uid",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    api_version: &'static str,
    kind: &'static str,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Spec<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audiences: &'a [String],
}

#[derive(Deserialize)]
struct Review {
    status: Status,
}

/// Who is asked, and with what.
pub(crate) struct Remote<'a> {
    /// As the log calls it.
    pub(crate) name: &'a str,
    /// Its API server.
    pub(crate) url: &'a str,
    pub(crate) credential: Option<Credential>,
    pub(crate) fetcher: &'a Fetcher,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("{0}")]
    Other(String),
}

impl Unanswered {
    fn other(why: &str) -> Self {
        Self::Other(why.to_owned())
    }

    /// Whether it does not know the credential.
    pub(crate) fn is_rejection(&self) -> bool {
        matches!(self, Self::Status(StatusCode::UNAUTHORIZED))
    }
}

/// What a cluster answers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: Extra,
}

/// Asks the cluster. Whatever goes wrong on the way is "unavailable"; the log says what it was.
pub(crate) async fn review(
    remote: Remote<'_>,
    token: &UnverifiedToken<'_>,
    audiences: &[String],
) -> Result<Status, Refusal> {
    let name = remote.name;
    ask(remote, token.text(), audiences).await.map_err(|why| unavailable(name, &why))
}

/// The same of a configured cluster, whose credential hears whether it was accepted.
pub(crate) async fn review_at(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    audiences: &[String],
) -> Result<Status, Refusal> {
    let answer = ask_cluster(cluster, token.text(), audiences).await;
    answer.map_err(|why| unavailable(&cluster.config.name, &why))
}

fn unavailable(cluster: &str, why: &Unanswered) -> Refusal {
    warn!(cluster, "the cluster did not review a token: {why}");
    Refusal::Unavailable(Unavailable::Cluster)
}

/// Asks a configured cluster, or says why there is no answer.
pub(crate) async fn ask_cluster(
    cluster: &Cluster,
    token: &str,
    audiences: &[String],
) -> Result<Status, Unanswered> {
    let held = cluster.credential.held();
    let remote = Remote {
        name: &cluster.config.name,
        url: cluster.config.api_server.as_deref().unwrap_or_default(),
        credential: held.as_ref().map(|held| held.credential.clone()),
        fetcher: &cluster.fetcher,
    };
    let answer = ask(remote, token, audiences).await;
    let status = match &answer {
        Ok(_) => Some(StatusCode::OK),
        Err(Unanswered::Status(status)) => Some(*status),
        Err(Unanswered::Other(_)) => None,
    };
    if let (Some(held), Some(status)) = (&held, status) {
        cluster.credential.answered(&cluster.config.name, held, status);
    }
    answer
}

/// Asks the cluster, or says why there is no answer.
async fn ask(
    Remote { url, credential, fetcher, .. }: Remote<'_>,
    token: &str,
    audiences: &[String],
) -> Result<Status, Unanswered> {
    let not_a_url = |_| Unanswered::other("api_server is not a URL");
    let url: Uri = format!("{url}{PATH}").parse().map_err(not_a_url)?;
    let question = Question {
        api_version: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: Spec { token, audiences },
    };
    let body = serde_json::to_vec(&question).map_err(|_| Unanswered::other("the question is no JSON"))?;
    let fetched = fetcher.post_json(&url, body, credential.as_ref()).await;
    let fetched = fetched.map_err(|error| Unanswered::Other(Chain(&error).to_string()))?;
    match fetched.status {
        StatusCode::OK | StatusCode::CREATED => {}
        status => return Err(Unanswered::Status(status)),
    }
    let review: Result<Review, _> = serde_json::from_slice(&fetched.body);
    review.map(|review| review.status).map_err(|_| Unanswered::other("its answer is no TokenReview"))
}

/// What is passed on of the answer: the user that the token names, and nothing that only the answer claims.
/// `token` has the audiences that the token names itself.
pub(crate) fn agreed(
    status: Status,
    named: &Identity,
    token: &[String],
    wanted: &[String],
) -> Result<(Identity, Vec<String>), Refusal> {
    let not_for_them = || Refusal::Audience { token: token.to_vec(), wanted: wanted.to_vec() };
    if !status.authenticated {
        return Err(refusal(&status, not_for_them));
    }
    let User { username, uid, groups, mut extra } = status.user;
    if username != named.username || uid != named.uid {
        return Err(Refusal::Contradiction);
    }
    let may_have = |group: &String| named.groups.contains(group) || group == "system:authenticated";
    let groups = groups.into_iter().filter(may_have).collect();
    extra.retain(|key, _| EXTRA.contains(&&**key));
    let audiences =
        if wanted.is_empty() { status.audiences } else { intersection(wanted, &status.audiences) };
    if audiences.is_empty() {
        return Err(not_for_them());
    }
    Ok((Identity { username, uid, groups, extra }, audiences))
}

/// The remote's words are read, not repeated: they could be anything.
fn refusal(status: &Status, not_for_them: impl Fn() -> Refusal) -> Refusal {
    let says = |text: &str| status.error.contains(text);
    if says("has expired") {
        Refusal::Expired
    } else if says("not valid yet") || says("issued in the future") {
        Refusal::NotYet
    } else if says("is invalid for the target audiences") {
        not_for_them()
    } else if is_final(&status.error) {
        Refusal::Revoked
    } else {
        // Such as a store that did not answer in time.
        Refusal::Unavailable(Unavailable::Cluster)
    }
}

/// Whether kube-apiserver says that it knows, and does not accept, the token.
fn is_final(error: &str) -> bool {
    const GONE: [&str; 8] = [
        "invalidated",
        "deleted",
        "not found",
        "does not match",
        "is not bound",
        "signature",
        "no keys found",
        "cryptographic primitive",
    ];
    let only = error.trim_matches(['[', ']']).trim();
    matches!(only, "" | "invalid bearer token") || GONE.iter().any(|words| error.contains(words))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named() -> Identity {
        Identity {
            username: "system:serviceaccount:d:a".to_owned(),
            uid: "1".to_owned(),
            groups: vec!["system:serviceaccounts".to_owned(), "system:serviceaccounts:d".to_owned()],
            extra: Extra::new(),
        }
    }

    fn label(status: serde_json::Value) -> &'static str {
        let status = serde_json::from_value(status).unwrap();
        agreed(status, &named(), &[], &["a".to_owned()]).map_or_else(|refusal| refusal.label(), |_| "ok")
    }

    #[test]
    fn a_hostile_cluster_cannot_name_another_user() {
        let user = |name: &str, uid: &str| json!({"authenticated": true, "audiences": ["a"], "user": {"username": name, "uid": uid}});
        assert_eq!(label(user("system:serviceaccount:d:a", "1")), "ok");
        assert_eq!(label(user("system:serviceaccount:d:a", "2")), "contradiction");
        assert_eq!(label(user("system:admin", "1")), "contradiction");
    }

    #[test]
    fn what_only_the_answer_claims_is_not_passed_on() {
        let status = json!({"authenticated": true, "audiences": ["a", "b"], "user": {
            "username": "system:serviceaccount:d:a", "uid": "1",
            "groups": ["system:serviceaccounts", "system:masters", "admins", "system:authenticated"],
            "extra": {"scopes": ["all"], EXTRA[0]: ["JTI=1"]},
        }});
        let status = serde_json::from_value(status).unwrap();
        let (identity, audiences) = agreed(status, &named(), &[], &["a".to_owned()]).unwrap();
        assert_eq!(identity.groups, ["system:serviceaccounts", "system:authenticated"]);
        assert_eq!(identity.extra.into_keys().collect::<Vec<_>>(), [EXTRA[0]]);
        assert_eq!(audiences, ["a"]);
    }

    #[test]
    fn refusals_are_told_apart_by_the_words_of_kube_apiserver() {
        let refused = |error: &str| label(json!({"error": error}));
        assert_eq!(refused("[invalid bearer token, service account token has expired]"), "expired");
        assert_eq!(refused("[invalid bearer token, service account token is not valid yet]"), "not_yet");
        assert_eq!(refused("token audiences [x] is invalid for the target audiences [a]"), "audience");
        assert_eq!(refused("[invalid bearer token, service account token has been invalidated]"), "revoked");
        assert_eq!(refused("[invalid bearer token, pods \"app\" not found]"), "revoked");
        assert_eq!(refused("invalid bearer token"), "revoked");
        assert_eq!(refused("[invalid bearer token, etcdserver: request timed out]"), "unavailable");
        assert_eq!(refused(""), "revoked");
        assert_eq!(
            label(json!({"authenticated": true, "audiences": ["b"], "user": {
            "username": "system:serviceaccount:d:a", "uid": "1"}})),
            "audience"
        );
    }
}
