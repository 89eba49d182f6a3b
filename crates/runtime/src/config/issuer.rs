//! Members that configurations share for an issuer: its names, its URLs, and the check of its tokens.

use http::Uri;
use portolan_core::text::quoted;
use serde::Deserialize;

use crate::fetch::UrlOrigin;

/// The ways to check an issuer's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerificationMode {
    /// With the issuer's keys.
    #[default]
    Jwks,
    /// By the API server of the cluster that issued them.
    Review,
    /// With the keys first, then by the API server.
    Hybrid,
}

impl VerificationMode {
    /// As it is written.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Jwks => "jwks",
            Self::Review => "review",
            Self::Hybrid => "hybrid",
        }
    }
}

/// A URL that something is appended to.
pub fn check_url(member: &str, url: &str, plain_http: bool) -> Result<(), String> {
    check_keys_url(member, url, plain_http)?;
    if url.contains('?') { Err(format!("{member} {} has a query", quoted(url))) } else { Ok(()) }
}

/// The same for the URL of keys, to which nothing is added: it may have a query.
pub fn check_keys_url(member: &str, url: &str, plain_http: bool) -> Result<(), String> {
    let shown = quoted(url);
    let origin = url.parse::<Uri>().ok().filter(|url| UrlOrigin::of(url).is_ok());
    let Some(parsed) = origin.filter(|_| !url.contains('#')) else {
        return Err(format!("{member} {shown} is not an https URL"));
    };
    if parsed.scheme_str() == Some("http") && !plain_http {
        return Err(format!("{member} {shown} is not https; plain_http: true allows it"));
    }
    Ok(())
}

/// The issuers of `issuer` or of `issuers`, of which there must be one.
pub fn issuers(one: Option<String>, several: Option<Vec<String>>) -> Result<Vec<String>, String> {
    let issuers = match (one, several) {
        (Some(_), Some(_)) => return Err("give issuer or issuers, not both".to_owned()),
        (Some(one), None) => vec![one],
        (None, several) => several.unwrap_or_default(),
    };
    if issuers.is_empty() || issuers.iter().any(String::is_empty) {
        return Err("issuer is required".to_owned());
    }
    let twice = issuers.iter().enumerate().find(|(index, issuer)| issuers[..*index].contains(issuer));
    match twice {
        Some((_, issuer)) => Err(format!("issuers: {} is listed twice", quoted(issuer))),
        None => Ok(issuers),
    }
}
