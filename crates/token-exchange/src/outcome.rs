//! What is asked of the exchange, and what comes of it.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use portolan_core::auth::Refusal;
use secrecy::SecretString;

use crate::mint::Minted;

/// A question.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) token: SecretString,
    pub(crate) namespace: String,
    pub(crate) account: String,
    pub(crate) from: IpAddr,
}

/// A new token, and how long it lives from now.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) minted: Minted,
    pub(crate) now: Timestamp,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Whoever asks learns that no binding matches, whatever it was. The label is for the audit.
    Hidden(&'static str),
    /// The issuer gave the source more time than this.
    TooLong(Duration),
    /// Too many exchanges.
    TooMany,
    /// Somebody who is needed does not answer. The label is for the audit.
    Unavailable(&'static str),
    /// What cannot be.
    Internal,
}

impl Denied {
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Hidden(label) | Self::Unavailable(label) => label,
            Self::TooLong(_) => "source_lifetime",
            Self::TooMany => "rate",
            Self::Internal => "internal",
        }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unavailable(_) => Self::Unavailable("issuer_unavailable"),
            refusal => Self::Hidden(refusal.label()),
        }
    }
}
