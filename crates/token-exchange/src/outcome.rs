//! Outcome of an exchange.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use portolan_core::auth::TokenRefusal;
use secrecy::SecretString;

use crate::mint::MintedToken;

/// A question.
#[derive(Debug)]
pub struct ExchangeWish {
    pub token: SecretString,
    pub namespace: String,
    pub account: String,
    pub from: IpAddr,
}

/// A new token, and how long it lives from now.
#[derive(Debug)]
pub struct GrantedToken {
    pub minted: MintedToken,
    pub now: Timestamp,
}

/// Reasons for a denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeDenial {
    /// Whoever asks learns that no binding matches, whatever it was. The label is for the audit.
    Hidden(&'static str),
    /// The issuer gave the source more time than this.
    TooLong(Duration),
    /// Too many exchanges.
    TooMany,
    /// Somebody who is needed does not answer. The label is for the audit.
    Unavailable(&'static str),
    /// An internal error, which should never occur.
    Internal,
}

impl ExchangeDenial {
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Hidden(label) | Self::Unavailable(label) => label,
            Self::TooLong(_) => "source_lifetime",
            Self::TooMany => "rate",
            Self::Internal => "internal",
        }
    }
}

impl From<TokenRefusal> for ExchangeDenial {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Unavailable(_) => Self::Unavailable("issuer_unavailable"),
            refusal => Self::Hidden(refusal.label()),
        }
    }
}
