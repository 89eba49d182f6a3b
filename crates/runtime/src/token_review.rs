//! The cluster's own verdict: a TokenReview at its API server, believed only as far as the token agrees.

use std::{borrow::Cow, collections::BTreeMap};

use http::{StatusCode, Uri};
use portolan_core::{
    auth::{
        TokenRefusal, UnverifiedToken, UserIdentity,
        audience::intersection,
        identity::UserExtra,
        refusal::Unavailable,
        words::{RefusalMeaning, meaning},
    },
    object::{Object, optional, or_default},
    text::quoted,
};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    fetch::{FetchCredential, FetchError, Fetcher},
    telemetry::ErrorChain,
};

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// Keys of extra that a cluster may set for its own users. Everything else is not passed on.
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

/// A review as it is answered; a null member counts as absent.
#[derive(Deserialize)]
struct Review {
    kind: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    status: Option<ReviewStatus>,
}

/// The cluster that is asked, and the means to ask it.
pub struct RemoteReviewer<'a> {
    /// As the log calls it.
    pub name: &'a str,
    /// Its API server.
    pub url: &'a str,
    /// The credential that is shown to it.
    pub credential: Option<FetchCredential>,
    /// The fetcher that asks it.
    pub fetcher: &'a Fetcher,
}

/// Reasons why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReviewUnanswered {
    /// It answered with another status code than that of a review.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// The way there, or back, has failed.
    #[error("{}", ErrorChain(.0))]
    Fetch(FetchError),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

impl ReviewUnanswered {
    fn other(why: &str) -> Self {
        Self::Other(why.to_owned())
    }

    /// Returns `true` if the cluster does not know the credential.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Status(StatusCode::UNAUTHORIZED))
    }

    /// Returns `true` if the cluster could not answer. One that answers something else, such as that we may not ask,
    /// has no outage.
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

/// Reasons why a cluster does not vouch for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewRefusal {
    /// It does not accept it, or nobody can tell what it means.
    Refused(TokenRefusal),
    /// It could not find out.
    Outage,
}

impl From<ReviewRefusal> for TokenRefusal {
    fn from(no: ReviewRefusal) -> Self {
        match no {
            ReviewRefusal::Refused(refusal) => refusal,
            ReviewRefusal::Outage => Self::Unavailable(Unavailable::Cluster),
        }
    }
}

/// The cluster's answer.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ReviewStatus {
    #[serde(deserialize_with = "or_default")]
    authenticated: bool,
    #[serde(deserialize_with = "optional")]
    user: Option<User>,
    #[serde(deserialize_with = "or_default")]
    audiences: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    error: String,
}

impl ReviewStatus {
    /// Whom the token is of, where one may take the reviewer's word for it and the token is for one of `audiences`.
    pub fn username_for(self, audiences: &[String]) -> Option<String> {
        let is_meant = !intersection(audiences, &self.audiences).is_empty();
        let name = self.user.map(|user| user.username).filter(|name| !name.is_empty());
        name.filter(|_| self.authenticated && is_meant)
    }
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
    /// Keeps the part of extra that may be passed on.
    fn extra(extra: BTreeMap<Cow<'static, str>, Option<Vec<String>>>) -> UserExtra {
        let known = extra.into_iter().filter(|(key, _)| EXTRA.contains(&&**key));
        known.filter_map(|(key, values)| Some((key, values?))).collect()
    }
}

/// Asks the cluster. The log says what goes wrong on the way.
pub async fn review(
    remote: RemoteReviewer<'_>,
    token: &UnverifiedToken<'_>,
    audiences: &[String],
) -> Result<ReviewStatus, ReviewRefusal> {
    let name = remote.name;
    ask(remote, token.text(), audiences).await.map_err(|why| unanswered(name, &why))
}

/// Maps a missing answer to a refusal, and logs it.
pub fn unanswered(cluster: &str, why: &ReviewUnanswered) -> ReviewRefusal {
    warn!(cluster, "the cluster did not review a token: {why}");
    if why.is_outage() {
        ReviewRefusal::Outage
    } else {
        ReviewRefusal::Refused(TokenRefusal::Unavailable(Unavailable::Cluster))
    }
}

/// Asks the cluster, or says why there is no answer.
pub async fn ask(
    RemoteReviewer { url, credential, fetcher, .. }: RemoteReviewer<'_>,
    token: &str,
    audiences: &[String],
) -> Result<ReviewStatus, ReviewUnanswered> {
    let not_a_url = |_| ReviewUnanswered::other("api_server is not a URL");
    let url: Uri = format!("{url}{PATH}").parse().map_err(not_a_url)?;
    let question = Question {
        api_version: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: Spec { token, audiences },
    };
    let body =
        serde_json::to_vec(&question).map_err(|_| ReviewUnanswered::other("the question is not JSON"))?;
    let fetched =
        fetcher.post_json(&url, body, credential.as_ref()).await.map_err(ReviewUnanswered::Fetch)?;
    match fetched.status {
        StatusCode::OK | StatusCode::CREATED => read(&fetched.body),
        status => Err(ReviewUnanswered::Status(status)),
    }
}

fn read(body: &[u8]) -> Result<ReviewStatus, ReviewUnanswered> {
    let review: Result<Object<Review>, _> = serde_json::from_slice(body);
    let no_review = || ReviewUnanswered::other("its answer is not a TokenReview");
    let Object(review) = review.map_err(|_| no_review())?;
    match review.kind.as_deref() {
        None | Some("" | "TokenReview") => Ok(review.status.unwrap_or_default()),
        Some(kind) => {
            Err(ReviewUnanswered::Other(format!("its answer is not a TokenReview but a {}", quoted(kind))))
        }
    }
}

/// Keeps the part of the answer that is passed on: the user that the token names, and nothing that only the answer
/// claims. `token` has the audiences that the token names itself, `wanted` those that were asked for; none is what
/// the API server takes for its own.
pub fn agreed(
    status: ReviewStatus,
    named: &UserIdentity,
    token: &[String],
    wanted: &[String],
) -> Result<(UserIdentity, Vec<String>), ReviewRefusal> {
    let not_for_them =
        || ReviewRefusal::Refused(TokenRefusal::Audience { token: token.to_vec(), wanted: wanted.to_vec() });
    if !status.authenticated {
        return Err(refused(&status.error, not_for_them));
    }
    let User { username, uid, groups, extra } = status.user.unwrap_or_default();
    if username != named.username || uid != named.uid {
        return Err(ReviewRefusal::Refused(TokenRefusal::Contradiction));
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
    Ok((UserIdentity { username, uid, groups, extra: User::extra(extra) }, audiences))
}

/// The remote's words are read, not repeated: they could be anything.
fn refused(error: &str, not_for_them: impl Fn() -> ReviewRefusal) -> ReviewRefusal {
    ReviewRefusal::Refused(match meaning(error) {
        RefusalMeaning::Expired => TokenRefusal::Expired,
        RefusalMeaning::NotYet => TokenRefusal::NotYet,
        RefusalMeaning::OtherAudience => return not_for_them(),
        RefusalMeaning::Final => TokenRefusal::Revoked,
        RefusalMeaning::Outage => return ReviewRefusal::Outage,
        RefusalMeaning::Unsure => TokenRefusal::Unavailable(Unavailable::Cluster),
    })
}

#[cfg(test)]
mod tests;
