//! The credential that we show to one cluster: the newest that anybody has offered.

pub(crate) mod renew;
pub(crate) mod secret;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

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
    /// Whether the token is one that we have renewed and that is not in the Secret yet.
    is_unsaved: AtomicBool,
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
        Self { api_server, current: ArcSwapOption::empty(), is_unsaved: AtomicBool::new(false) }
    }

    /// Takes what another one of the same API server holds.
    pub(crate) fn inherit(&self, old: &Self) {
        if let Some(held) = &*old.current.load()
            && self.api_server == old.api_server
            && self.offer(held.token.expose_secret())
        {
            self.is_unsaved.store(old.is_unsaved(), Ordering::Relaxed);
        }
    }

    /// Takes a token that was made for us just now.
    pub(crate) fn renewed(&self, token: &str) {
        if self.offer(token) {
            self.is_unsaved.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_unsaved(&self) -> bool {
        self.is_unsaved.load(Ordering::Relaxed)
    }

    pub(crate) fn saved(&self) {
        self.is_unsaved.store(false, Ordering::Relaxed);
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

/// How long until a credential is to be renewed; nothing when it is already, and none when it has no end.
pub(crate) fn until_due(about: &OwnToken, renew_before: Duration, now: Timestamp) -> Option<Duration> {
    let left = about.expires?.as_second() - now.as_second();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)).saturating_sub(renew_before))
}

#[cfg(test)]
mod tests {
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
        let left = |about: &OwnToken| until_due(about, before, now).map(|left| left.as_secs());
        assert_eq!((left(&ends(150)), left(&ends(1))), (Some(0), Some(0)));
        assert_eq!((left(&ends(151)), left(&OwnToken::default())), (Some(1), None));
    }

    #[test]
    fn a_renewed_credential_is_unsaved_until_it_is_in_the_secret() {
        let old = ClusterCredential::new(Some("https://a.test"));
        assert!(old.offer("file") && !old.is_unsaved());
        old.renewed("new");
        let new = ClusterCredential::new(Some("https://a.test"));
        new.inherit(&old);
        assert!(new.is_unsaved() && new.token().unwrap().expose_secret() == "new");
        new.saved();
        assert!(!new.is_unsaved());
        let elsewhere = ClusterCredential::new(Some("https://b.test"));
        elsewhere.inherit(&old);
        assert!(elsewhere.token().is_none(), "a credential is for its own host only");
    }

    #[test]
    fn a_cluster_without_an_api_server_takes_no_credential() {
        assert!(!ClusterCredential::new(None).offer("x"));
        assert!(ClusterCredential::new(Some("https://a.test")).offer("x\n"));
    }
}
