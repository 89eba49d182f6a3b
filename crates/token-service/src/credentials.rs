//! The credential that we show to one cluster: the newest that anybody has offered.

pub(crate) mod renew;
pub(crate) mod secret;

use arc_swap::ArcSwapOption;
use http::Uri;
use jiff::Timestamp;
use portolan_core::auth::OwnToken;
use portolan_runtime::fetch::Credential;
use secrecy::{ExposeSecret as _, SecretString};

/// The credential for the API server of a cluster.
#[derive(Debug)]
pub(crate) struct ClusterCredential {
    api_server: Option<Uri>,
    current: ArcSwapOption<Held>,
}

#[derive(Debug)]
struct Held {
    token: SecretString,
    about: OwnToken,
    credential: Credential,
}

impl ClusterCredential {
    pub(crate) fn new(api_server: Option<&str>) -> Self {
        let api_server = api_server.and_then(|url| url.parse().ok());
        Self { api_server, current: ArcSwapOption::empty() }
    }

    /// Takes a token if it ends later than the one that is held. Returns whether it was taken.
    pub(crate) fn offer(&self, token: &str) -> bool {
        let token = token.trim();
        let Some(api_server) = self.api_server.as_ref().filter(|_| !token.is_empty()) else { return false };
        let about = OwnToken::read(token);
        let secret = SecretString::from(token);
        let Ok(credential) = Credential::new(api_server, secret.clone()) else { return false };
        let held = self.current.load();
        let newer = held.as_ref().is_none_or(|held| ends_later(&about, &held.about));
        if newer {
            self.current.store(Some(std::sync::Arc::new(Held { token: secret, about, credential })));
        }
        newer
    }

    /// What requests to the API server carry.
    pub(crate) fn credential(&self) -> Option<Credential> {
        self.current.load().as_ref().map(|held| held.credential.clone())
    }

    /// When it ends, and whose it is.
    pub(crate) fn about(&self) -> Option<OwnToken> {
        self.current.load().as_ref().map(|held| held.about.clone())
    }

    /// The token itself, for the Secret.
    pub(crate) fn token(&self) -> Option<SecretString> {
        self.current.load().as_ref().map(|held| SecretString::from(held.token.expose_secret()))
    }
}

/// A token that does not say when it ends is replaced by any that does: it may be a bootstrap file that is
/// broken.
fn ends_later(offered: &OwnToken, held: &OwnToken) -> bool {
    match (offered.expires, held.expires) {
        (Some(offered), Some(held)) => offered > held,
        (None, Some(_)) => false,
        (_, None) => true,
    }
}

/// Whether a credential is to be renewed now.
pub(crate) fn is_due(about: &OwnToken, renew_before: std::time::Duration, now: Timestamp) -> bool {
    about.expires.is_some_and(|expires| {
        let left = expires.as_second() - now.as_second();
        left <= i64::try_from(renew_before.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ends(second: i64) -> OwnToken {
        OwnToken { expires: Timestamp::from_second(second).ok(), account: None }
    }

    #[test]
    fn the_newest_by_expiry_wins_wherever_it_comes_from() {
        let never = OwnToken::default();
        let table = [(ends(2), ends(1), true), (ends(1), ends(2), false), (ends(1), ends(1), false)];
        for (offered, held, taken) in table {
            assert_eq!(ends_later(&offered, &held), taken);
        }
        assert!(ends_later(&ends(1), &never) && !ends_later(&never, &ends(1)) && ends_later(&never, &never));
    }

    #[test]
    fn a_credential_is_renewed_before_its_end() {
        let (now, before) = (Timestamp::from_second(100).unwrap(), Duration::from_secs(50));
        assert!(is_due(&ends(150), before, now) && is_due(&ends(1), before, now));
        assert!(!is_due(&ends(151), before, now) && !is_due(&OwnToken::default(), before, now));
    }

    #[test]
    fn a_cluster_without_an_api_server_takes_no_credential() {
        assert!(!ClusterCredential::new(None).offer("x"));
        assert!(ClusterCredential::new(Some("https://a.test")).offer("x\n"));
    }
}
