//! TokenReview, v1 and v1beta1: the question as JSON, and the answer.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{TokenRefusal, UserIdentity, compact::bare};
use crate::object::{self, Object};

/// The version of a question, which that of the answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReviewVersion {
    /// `authentication.k8s.io/v1`.
    #[default]
    V1,
    /// `authentication.k8s.io/v1beta1`, the default of kube-apiserver's webhook.
    V1beta1,
}

impl ReviewVersion {
    /// As `apiVersion` has it.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "authentication.k8s.io/v1",
            Self::V1beta1 => "authentication.k8s.io/v1beta1",
        }
    }

    /// The version of an `apiVersion`.
    pub fn parse(api_version: &str) -> Option<Self> {
        [Self::V1, Self::V1beta1].into_iter().find(|version| version.api_version() == api_version)
    }
}

/// A question.
#[derive(Debug)]
pub struct ReviewRequest {
    /// Its version.
    pub version: ReviewVersion,
    /// The token to check.
    pub token: SecretString,
    /// Audiences of the caller; empty means those of the cluster.
    pub audiences: Vec<String>,
}

/// A question that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Not a TokenReview.
    #[error("invalid request body")]
    Body,
    /// No token in it.
    #[error("token is required")]
    NoToken,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    api_version: Option<String>,
    kind: Option<String>,
    #[serde(rename = "metadata")]
    _metadata: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "object::optional")]
    spec: Option<Spec>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Spec {
    token: Option<String>,
    audiences: Option<Vec<String>>,
}

impl ReviewRequest {
    /// Reads JSON. `apiVersion` and `kind` may be missing, as Vault leaves them out; then `assumed` counts,
    /// which is the version of the path. A member that is there twice is refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use portolan_core::auth::{ReviewAnswer, ReviewRequest, ReviewVersion, TokenRefusal};
    ///
    /// let body = br#"{"kind": "TokenReview", "spec": {"token": "t"}}"#;
    /// let request = ReviewRequest::parse_json(body, ReviewVersion::V1)?;
    /// assert!(request.audiences.is_empty(), "those of the cluster");
    ///
    /// let answer = ReviewAnswer::Refused(&TokenRefusal::Expired).to_json(request.version);
    /// assert!(String::from_utf8_lossy(&answer).contains(r#""authenticated":false"#));
    /// # Ok::<(), portolan_core::auth::review::InvalidRequest>(())
    /// ```
    ///
    /// # Errors
    /// See [`InvalidRequest`].
    pub fn parse_json(body: &[u8], assumed: ReviewVersion) -> Result<Self, InvalidRequest> {
        let Object::<Body>(body) = serde_json::from_slice(body).map_err(|_| InvalidRequest::Body)?;
        let (token, audiences) = body.spec.map(|spec| (spec.token, spec.audiences)).unwrap_or_default();
        let (token, audiences) = (token.map(SecretString::from), audiences.unwrap_or_default());
        Self::new(body.api_version.as_deref(), body.kind.as_deref(), assumed, token, audiences)
    }

    /// A question from its parts.
    ///
    /// # Errors
    /// See [`InvalidRequest`].
    pub fn new(
        api_version: Option<&str>,
        kind: Option<&str>,
        assumed: ReviewVersion,
        token: Option<SecretString>,
        audiences: Vec<String>,
    ) -> Result<Self, InvalidRequest> {
        let version = match api_version.filter(|text| !text.is_empty()) {
            Some(text) => ReviewVersion::parse(text).ok_or(InvalidRequest::Body)?,
            None => assumed,
        };
        if kind.is_some_and(|kind| !kind.is_empty() && kind != "TokenReview") {
            return Err(InvalidRequest::Body);
        }
        let token = token.filter(|token| !token.expose_secret().is_empty());
        let token = token.ok_or(InvalidRequest::NoToken)?;
        let bare = bare(token.expose_secret());
        let token = if bare.len() < token.expose_secret().len() { bare.into() } else { token };
        Ok(Self { version, token, audiences })
    }
}

/// The answer to a review: never the token, always an explicit `authenticated`.
#[derive(Clone, Copy, Debug)]
pub enum ReviewAnswer<'a> {
    /// The token is this user's, for these audiences.
    Authenticated(&'a UserIdentity, &'a [String]),
    /// It is not, or that could not be found out.
    Refused(&'a TokenRefusal),
    /// The question itself is wrong.
    Invalid(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    spec: NoToken,
    status: Status<'a>,
}

#[derive(Serialize)]
struct Empty {}

/// Some clients do not read an answer without the field: for them it is required. The token is not repeated.
#[derive(Serialize)]
struct NoToken {
    token: &'static str,
}

#[derive(Serialize)]
struct Status<'a> {
    authenticated: bool,
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audiences: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Default, Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a super::identity::UserExtra>,
}

impl ReviewAnswer<'_> {
    /// The whole TokenReview as JSON.
    pub fn to_json(self, version: ReviewVersion) -> Vec<u8> {
        let status = match self {
            Self::Authenticated(identity, audiences) => Status {
                authenticated: true,
                user: User {
                    username: Some(&identity.username),
                    uid: Some(&identity.uid),
                    groups: Some(&identity.groups),
                    extra: Some(&identity.extra),
                },
                audiences: Some(audiences),
                error: None,
            },
            Self::Refused(refusal) => Self::error(refusal.to_string()),
            Self::Invalid(text) => Self::error(text.to_owned()),
        };
        let (kind, api_version) = ("TokenReview", version.api_version());
        let review = Review { kind, api_version, metadata: Empty {}, spec: NoToken { token: "" }, status };
        serde_json::to_vec(&review).expect("texts and lists of texts are always JSON")
    }

    fn error<'a>(error: String) -> Status<'a> {
        Status { authenticated: false, user: User::default(), audiences: None, error: Some(error) }
    }
}
