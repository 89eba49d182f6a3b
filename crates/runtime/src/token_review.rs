//! The cluster's own word: a TokenReview at its API server, believed only as far as the token agrees.

use std::{borrow::Cow, collections::BTreeMap};

use http::{StatusCode, Uri};
use portolan_core::{
    auth::{
        Identity, Refusal, UnverifiedToken,
        audience::intersection,
        identity::Extra,
        refusal::Unavailable,
        words::{Meaning, meaning},
    },
    object::{Object, optional, or_default},
    text::quoted,
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    fetch::{Credential, FetchError, Fetcher},
    telemetry::Chain,
};

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

/// What is null in an answer is not there.
#[derive(Deserialize)]
struct Review {
    kind: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    status: Option<Status>,
}

/// Who is asked, and with what.
pub struct Remote<'a> {
    /// As the log calls it.
    pub name: &'a str,
    /// Its API server.
    pub url: &'a str,
    /// What is shown to it.
    pub credential: Option<Credential>,
    /// How it is asked.
    pub fetcher: &'a Fetcher,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// It answered with another status code than that of a review.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// The way there, or back, has failed.
    #[error("{}", Chain(.0))]
    Fetch(FetchError),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

impl Unanswered {
    fn other(why: &str) -> Self {
        Self::Other(why.to_owned())
    }

    /// Whether it does not know the credential.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Status(StatusCode::UNAUTHORIZED))
    }

    /// Whether it could not answer. One that answers something else, such as that we may not ask, has no outage.
    fn is_outage(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            }
            Self::Fetch(error) => matches!(
                error,
                FetchError::Connect(_)
                    | FetchError::Request(_)
                    | FetchError::Body(_)
                    | FetchError::TotalTimeout
            ),
            Self::Other(_) => false,
        }
    }
}

/// Why a cluster does not vouch for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    /// It does not accept it, or nobody can tell what it means.
    Refused(Refusal),
    /// It could not find out.
    Outage,
}

impl From<No> for Refusal {
    fn from(no: No) -> Self {
        match no {
            No::Refused(refusal) => refusal,
            No::Outage => Self::Unavailable(Unavailable::Cluster),
        }
    }
}

/// What a cluster answers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Status {
    #[serde(deserialize_with = "or_default")]
    authenticated: bool,
    #[serde(deserialize_with = "optional")]
    user: Option<User>,
    #[serde(deserialize_with = "or_default")]
    audiences: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    #[serde(deserialize_with = "or_default")]
    username: String,
    #[serde(deserialize_with = "or_default")]
    uid: String,
    #[serde(deserialize_with = "or_default")]
    groups: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    extra: BTreeMap<Cow<'static, str>, Option<Vec<String>>>,
}

impl User {
    /// What of its extra may be passed on.
    fn extra(extra: BTreeMap<Cow<'static, str>, Option<Vec<String>>>) -> Extra {
        let known = extra.into_iter().filter(|(key, _)| EXTRA.contains(&&**key));
        known.filter_map(|(key, values)| Some((key, values?))).collect()
    }
}

/// Asks the cluster. The log says what goes wrong on the way.
pub async fn review(
    remote: Remote<'_>,
    token: &UnverifiedToken<'_>,
    audiences: &[String],
) -> Result<Status, No> {
    let name = remote.name;
    ask(remote, token.text(), audiences).await.map_err(|why| unanswered(name, &why))
}

/// What it means that a cluster did not answer. The log says it, too.
pub fn unanswered(cluster: &str, why: &Unanswered) -> No {
    warn!(cluster, "the cluster did not review a token: {why}");
    if why.is_outage() { No::Outage } else { No::Refused(Refusal::Unavailable(Unavailable::Cluster)) }
}

/// Asks the cluster, or says why there is no answer.
pub async fn ask(
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
    let fetched = fetcher.post_json(&url, body, credential.as_ref()).await.map_err(Unanswered::Fetch)?;
    match fetched.status {
        StatusCode::OK | StatusCode::CREATED => read(&fetched.body),
        status => Err(Unanswered::Status(status)),
    }
}

fn read(body: &[u8]) -> Result<Status, Unanswered> {
    let review: Result<Object<Review>, _> = serde_json::from_slice(body);
    let no_review = || Unanswered::other("its answer is no TokenReview");
    let Object(review) = review.map_err(|_| no_review())?;
    match review.kind.as_deref() {
        None | Some("" | "TokenReview") => Ok(review.status.unwrap_or_default()),
        Some(kind) => Err(Unanswered::Other(format!("its answer is no TokenReview but a {}", quoted(kind)))),
    }
}

/// What is passed on of the answer: the user that the token names, and nothing that only the answer claims.
/// `token` has the audiences that the token names itself, `wanted` those that were asked for; none is what the API
/// server takes for its own.
pub fn agreed(
    status: Status,
    named: &Identity,
    token: &[String],
    wanted: &[String],
) -> Result<(Identity, Vec<String>), No> {
    let not_for_them = || No::Refused(Refusal::Audience { token: token.to_vec(), wanted: wanted.to_vec() });
    if !status.authenticated {
        return Err(refused(&status.error, not_for_them));
    }
    let User { username, uid, groups, extra } = status.user.unwrap_or_default();
    if username != named.username || uid != named.uid {
        return Err(No::Refused(Refusal::Contradiction));
    }
    let may_have = |group: &String| named.groups.contains(group) || group == "system:authenticated";
    let groups = groups.into_iter().filter(may_have).collect();
    let audiences = match (wanted, token) {
        // A token of the old kind names none.
        ([], []) => status.audiences,
        ([], token) => intersection(token, &status.audiences),
        (wanted, _) => intersection(wanted, &status.audiences),
    };
    if audiences.is_empty() {
        return Err(not_for_them());
    }
    Ok((Identity { username, uid, groups, extra: User::extra(extra) }, audiences))
}

/// The remote's words are read, not repeated: they could be anything.
fn refused(error: &str, not_for_them: impl Fn() -> No) -> No {
    No::Refused(match meaning(error) {
        Meaning::Expired => Refusal::Expired,
        Meaning::NotYet => Refusal::NotYet,
        Meaning::OtherAudience => return not_for_them(),
        Meaning::Final => Refusal::Revoked,
        Meaning::Outage => return No::Outage,
        Meaning::Unsure => Refusal::Unavailable(Unavailable::Cluster),
    })
}

#[cfg(test)]
mod tests;
