//! Reasons why a token is refused: a closed set, each with a label for metrics and a text for the answer.

use std::fmt;

/// The reason for an answer that is not "authenticated".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// Not a compact JWS, or one whose header or claims break a rule.
    Malformed,
    /// Longer than any token of a cluster.
    TooLarge,
    /// An algorithm that is never accepted, or that the key is not for.
    Algorithm,
    /// A token of a type that is for something else, such as a logout.
    Type,
    /// No key of the issuer has the token's key id.
    UnknownKey,
    /// The signature is not that of the key.
    Signature,
    /// The issuer is not that of the cluster.
    Issuer,
    /// The time of the token is over.
    Expired,
    /// The time of the token has not come.
    NotYet,
    /// The token is for somebody else.
    Audience {
        /// Whom it is for.
        token: Vec<String>,
        /// Audiences that the caller asked for.
        wanted: Vec<String>,
    },
    /// The claims do not name a `ServiceAccount`, or contradict each other.
    Identity,
    /// A token without an end, of the kind that was kept in Secrets.
    Legacy,
    /// The cluster itself does not accept the token, although its signature may be right.
    Revoked,
    /// The cluster answered with another user than the token names.
    Contradiction,
    /// Automatic choice of the cluster: none or more than one has this issuer and key.
    NoCluster,
    /// No such cluster is configured.
    ClusterNotFound(String),
    /// The question could not be answered now. Never cached.
    Unavailable(Unavailable),
}

/// Parts that could not be reached. The text of the answer names no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// There are no keys, or only such that are too old.
    Issuer,
    /// The cluster did not answer the review.
    Cluster,
}

impl TokenRefusal {
    /// The value of the `reason` label. A closed set.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Algorithm => "alg",
            Self::Type => "typ",
            Self::UnknownKey => "kid",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Audience { .. } => "audience",
            Self::Identity => "identity",
            Self::Legacy => "legacy",
            Self::Revoked => "revoked",
            Self::Contradiction => "contradiction",
            Self::NoCluster => "no_cluster",
            Self::ClusterNotFound(_) => "cluster_not_found",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// The remedy in a person's hands. What helps against an outage is for the service to say.
    pub const fn cure(&self) -> Option<&'static str> {
        Some(match self {
            Self::Malformed | Self::TooLarge | Self::Legacy => {
                "use a token of TokenRequest or of a projected volume"
            }
            Self::Algorithm | Self::Signature | Self::UnknownKey => {
                "the token is not signed by a key that the cluster publishes; ask the cluster that issued it"
            }
            Self::Issuer | Self::NoCluster => "ask for the cluster that issued it, by host name or path",
            Self::Type => "it was made for something else, such as a logout: get an access token",
            Self::Expired => "get a new token",
            Self::NotYet => "compare the clocks of the cluster and of this machine",
            Self::Audience { .. } => {
                "request the token for this audience, or name the audience in the question"
            }
            Self::Identity => "only tokens of service accounts are accepted",
            Self::Revoked => "its pod or service account was deleted; get a new token",
            Self::Contradiction => "the cluster's API server does not do what Kubernetes does",
            Self::ClusterNotFound(_) => "add the cluster to the configuration",
            Self::Unavailable(_) => return None,
        })
    }

    /// Returns `true` if another attempt may have another answer although nothing about the token has changed.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Returns `true` if the answer may be cached for a few seconds. A key may become known at any moment.
    pub const fn is_cacheable(&self) -> bool {
        !matches!(self, Self::Unavailable(_) | Self::UnknownKey | Self::ClusterNotFound(_) | Self::NoCluster)
    }
}

impl fmt::Display for TokenRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "token is malformed",
            Self::TooLarge => "token is too large",
            Self::Algorithm => "unsupported signature algorithm",
            Self::Type => "token is of a type that is not for bearers",
            Self::UnknownKey | Self::Signature => "token signature verification failed",
            Self::Issuer => "token issuer is not trusted",
            Self::Expired => "token has expired",
            Self::NotYet => "token is not valid yet",
            Self::Audience { token, wanted } if wanted.is_empty() => {
                return write!(f, "token audiences {} are not those of the cluster", audience_list(token));
            }
            Self::Audience { token, wanted } => {
                return write!(
                    f,
                    "token audiences {} do not match {}",
                    audience_list(token),
                    audience_list(wanted)
                );
            }
            Self::Identity => "token does not name a service account",
            Self::Legacy => "tokens without an expiry are only accepted where the cluster reviews them",
            Self::Revoked => "token has been invalidated",
            Self::Contradiction => {
                "token could not be checked: the cluster named another user than the token"
            }
            Self::NoCluster => "token not valid for any configured cluster",
            Self::ClusterNotFound(name) => return write!(f, "cluster not found: {name}"),
            Self::Unavailable(Unavailable::Issuer) => "token could not be checked: issuer unavailable",
            Self::Unavailable(Unavailable::Cluster) => "token could not be checked: cluster unavailable",
        })
    }
}

/// At most eight audiences of at most 128 characters: what a token carries must not swell an answer.
fn audience_list(audiences: &[String]) -> String {
    let short =
        |audience: &String| audience.chars().take(128).flat_map(char::escape_debug).collect::<String>();
    format!("[{}]", audiences.iter().take(8).map(short).collect::<Vec<_>>().join(" "))
}
