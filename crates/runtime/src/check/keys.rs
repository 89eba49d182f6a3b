//! The check that an issuer gives keys.

use std::time::Duration;

use super::finding::Check;
use crate::jwks::Jwks;

/// Limit for an issuer to answer.
const TIMEOUT: Duration = Duration::from_secs(6);

/// Checks that the keys of an issuer can be had.
pub async fn keys(name: String, jwks: &Jwks, docs: &str) -> Check {
    let cure = "check issuer, api_server, ca_cert and allow_addresses; \
                the account needs the ClusterRole system:service-account-issuer-discovery";
    // The first attempt may have come before there was a credential.
    let is_loaded = jwks.until(|status| status.succeeded > 0, TIMEOUT).await;
    let status = jwks.status();
    Check::new(name, if is_loaded { Ok(status.found()) } else { Err(status.why_not()) }, cure, docs)
}
