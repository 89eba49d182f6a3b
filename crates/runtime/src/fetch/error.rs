//! Reasons why a URL could not be read. No variant holds an answer's text or a credential.

use std::error::Error;

use super::address::ForbiddenAddress;
use crate::authorities::InvalidBundle;

/// A request that did not come back with an answer within its bounds.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an absolute URL of http or https without user information.
    #[error("{0:?} is not an absolute http or https URL")]
    Url(String),
    /// `http://` where it was not asked for.
    #[error("plain http is not allowed for it")]
    PlainHttp,
    /// A token with characters that a header cannot hold.
    #[error("the credential is not a token")]
    Credential,
    /// PEM without a usable certificate.
    #[error("the authorities cannot be used")]
    Authorities(#[source] InvalidBundle),
    /// The policy allows none of the addresses.
    #[error("failed to connect")]
    Forbidden(#[source] ForbiddenAddress),
    /// No connection, or one that broke.
    #[error("failed to connect")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// The request was not answered.
    #[error("failed to get an answer")]
    Request(#[source] hyper_util::client::legacy::Error),
    /// The answer broke off.
    #[error("failed to read the answer")]
    Body(#[source] hyper::Error),
    /// The whole exchange took too long.
    #[error("no complete answer in time")]
    TotalTimeout,
    /// An answer that is too long.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// A compressed answer, which was not asked for.
    #[error("the answer is compressed")]
    Compressed,
    /// A redirect to another host.
    #[error("the answer is a redirect to another host")]
    ForeignRedirect,
    /// A chain of redirects.
    #[error("too many redirects")]
    TooManyRedirects,
}

impl FetchError {
    /// Returns `true` if the policy for addresses stopped the request.
    pub const fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden(_))
    }
}

/// Finds the verdict of the policy among the causes.
pub(super) fn of_client(error: hyper_util::client::legacy::Error) -> FetchError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(forbidden) = inner.downcast_ref::<ForbiddenAddress>() {
            return FetchError::Forbidden(*forbidden);
        }
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(forbidden) = wrapped.and_then(|wrapped| wrapped.downcast_ref::<ForbiddenAddress>()) {
            return FetchError::Forbidden(*forbidden);
        }
        cause = inner.source();
    }
    if error.is_connect() { FetchError::Connect(Box::new(error)) } else { FetchError::Request(error) }
}
