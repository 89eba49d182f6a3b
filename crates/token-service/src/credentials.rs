//! The credential that we show to one cluster: the newest that anybody has offered.

pub mod renew;
pub mod secret;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use parking_lot::Mutex;
use portolan_core::auth::{OwnToken, compact::bare};
use portolan_runtime::{clock, fetch::FetchCredential};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tracing::warn;

/// Time for which a rejected token does not replace another one.
const NOT_AGAIN: Duration = Duration::from_secs(60);

/// The credential for the API server of a cluster.
#[derive(Debug)]
pub struct ClusterCredential {
    api_server: Option<Uri>,
    current: ArcSwapOption<Held>,
    /// The token that the keys were asked for with.
    shown_for_keys: ArcSwapOption<Held>,
    /// Set while a renewed token is not in the Secret yet.
    is_unsaved: AtomicBool,
    /// Tokens that the API server has rejected recently.
    rejected: Mutex<Vec<(SecretString, Instant)>>,
    /// The token of the file, where somebody was told that it is not used.
    passed_over: Mutex<Option<SecretString>>,
}

/// A token that is shown to the API server.
#[derive(Debug)]
pub struct Held {
    token: SecretString,
    pub about: OwnToken,
    pub credential: FetchCredential,
    /// Set once the API server has said that it does not know the token.
    is_rejected: AtomicBool,
}

impl ClusterCredential {
    pub fn new(api_server: Option<&str>) -> Self {
        let api_server = api_server.and_then(|url| url.parse().ok());
        Self {
            api_server,
            current: ArcSwapOption::empty(),
            shown_for_keys: ArcSwapOption::empty(),
            is_unsaved: AtomicBool::new(false),
            rejected: Mutex::default(),
            passed_over: Mutex::default(),
        }
    }

    /// Takes what another one of the same API server holds.
    pub fn inherit(&self, old: &Self) {
        self.rejected.lock().clone_from(&old.rejected.lock());
        if let Some(held) = &*old.current.load()
            && self.api_server == old.api_server
            && self.offer(held.token.expose_secret())
        {
            self.is_unsaved.store(old.is_unsaved(), Ordering::Relaxed);
        }
    }

    /// Takes a token that was made for us just now.
    pub fn renewed(&self, token: &str) {
        if self.offer(token) {
            self.is_unsaved.store(true, Ordering::Relaxed);
        }
    }

    pub fn is_unsaved(&self) -> bool {
        self.is_unsaved.load(Ordering::Relaxed)
    }

    pub fn saved(&self) {
        self.is_unsaved.store(false, Ordering::Relaxed);
    }

    /// Takes a token if it ends later than the one that is held, or if that one is rejected. Returns whether it
    /// was taken.
    pub fn offer(&self, token: &str) -> bool {
        let token = bare(token);
        let Some(api_server) = self.api_server.as_ref().filter(|_| !token.is_empty()) else { return false };
        let about = OwnToken::read(token);
        let secret = SecretString::from(token);
        let Ok(credential) = FetchCredential::new(api_server, secret.clone()) else { return false };
        let held = self.current.load();
        let better = held.as_ref().is_none_or(|held| self.is_better(token, &about, held));
        if better {
            let is_rejected = AtomicBool::new(false);
            self.current.store(Some(Arc::new(Held { token: secret, about, credential, is_rejected })));
        }
        better
    }

    /// Returns `true` if a token is to be shown instead of the one that is held.
    fn is_better(&self, token: &str, about: &OwnToken, held: &Held) -> bool {
        if held.token.expose_secret() == token || self.was_rejected(token) {
            return false;
        }
        if !held.is_rejected.load(Ordering::Relaxed) {
            return ends_later(about, &held.about);
        }
        // One that has ended is no better: API servers reject for a moment, too, what is sound.
        about.expires.is_none_or(|end| end > clock::now())
    }

    fn was_rejected(&self, token: &str) -> bool {
        let mut rejected = self.rejected.lock();
        rejected.retain(|(_, at)| at.elapsed() < NOT_AGAIN);
        rejected.iter().any(|(known, _)| known.expose_secret() == token)
    }

    /// Hears what the API server answered to a request that carried a token.
    pub fn answered(&self, cluster: &str, held: &Held, status: StatusCode) {
        let is_rejected = status == StatusCode::UNAUTHORIZED;
        let was_rejected = held.is_rejected.swap(is_rejected, Ordering::Relaxed);
        if is_rejected == was_rejected {
            return;
        }
        let mut rejected = self.rejected.lock();
        rejected.retain(|(known, _)| known.expose_secret() != held.token.expose_secret());
        if is_rejected {
            rejected.push((held.token.clone(), Instant::now()));
            warn!(
                cluster,
                "the API server rejects our credential; another one is used as soon as there is one"
            );
        }
    }

    /// Returns `true` if the API server rejects the token that is held.
    pub fn is_rejected(&self) -> bool {
        self.held().is_some_and(|held| held.is_rejected.load(Ordering::Relaxed))
    }

    /// Returns `true` if somebody should be told now that the token of the file is not used, because the one that is
    /// held ends later.
    pub fn passes_over(&self, token: &str) -> bool {
        let (token, Some(held)) = (bare(token), self.held()) else { return false };
        let is_other = !token.is_empty() && held.token.expose_secret() != token;
        if !is_other || ends_later(&OwnToken::read(token), &held.about) {
            return false;
        }
        let told = self.passed_over.lock().replace(SecretString::from(token));
        told.is_none_or(|told| told.expose_secret() != token)
    }

    /// The token that is shown now.
    pub fn held(&self) -> Option<Arc<Held>> {
        self.current.load_full()
    }

    /// The credential of a request for keys.
    pub fn for_keys(&self) -> Option<FetchCredential> {
        let held = self.held();
        let credential = held.as_ref().map(|held| held.credential.clone());
        self.shown_for_keys.store(held);
        credential
    }

    /// Hears what the API server answered to the last request for keys.
    pub fn keys_answered(&self, cluster: &str, status: StatusCode) {
        if let Some(shown) = self.shown_for_keys.load_full() {
            self.answered(cluster, &shown, status);
        }
    }

    /// When it ends, and whose it is.
    pub fn about(&self) -> Option<OwnToken> {
        self.current.load().as_ref().map(|held| held.about.clone())
    }

    /// The token itself, for the Secret.
    pub fn token(&self) -> Option<SecretString> {
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

/// Time until a credential is to be renewed; zero when it is due, and `None` when it has no end.
pub fn until_due(about: &OwnToken, renew_before: Duration, now: Timestamp) -> Option<Duration> {
    let left = about.expires?.as_second() - now.as_second();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)).saturating_sub(renew_before))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

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

    /// A token that ends so many seconds from now.
    fn token(name: &str, seconds: i64) -> String {
        let claims = serde_json::json!({"exp": clock::now().as_second() + seconds, "jti": name});
        format!("e30.{}.AA", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn answered(credential: &ClusterCredential, status: StatusCode) {
        credential.answered("a", &credential.held().unwrap(), status);
    }

    #[test]
    fn a_rejected_credential_gives_way_to_any_other_that_may_work() {
        let (renewed, file) = (token("renewed", 9000), token("file", 600));
        let credential = ClusterCredential::new(Some("https://a.test"));
        assert!(credential.offer(&renewed) && !credential.offer(&file));
        answered(&credential, StatusCode::FORBIDDEN);
        assert!(!credential.is_rejected() && !credential.offer(&file), "it is known");
        answered(&credential, StatusCode::UNAUTHORIZED);
        assert!(credential.is_rejected());
        assert!(!credential.offer(&renewed), "it is the same");
        assert!(!credential.offer(&token("old", -1)), "it has ended");
        assert!(credential.offer(&file) && !credential.is_rejected());
        assert!(!credential.offer(&renewed), "it was rejected a moment ago");
        assert!(credential.offer(&token("newer", 9000)));
    }

    #[test]
    fn a_credential_that_is_accepted_again_stays() {
        let credential = ClusterCredential::new(Some("https://a.test"));
        assert!(credential.offer(&token("renewed", 9000)));
        answered(&credential, StatusCode::UNAUTHORIZED);
        answered(&credential, StatusCode::CREATED);
        assert!(!credential.is_rejected() && !credential.offer(&token("file", 600)));
        assert!(!credential.was_rejected(credential.token().unwrap().expose_secret()));
    }

    #[test]
    fn an_answer_is_about_the_token_that_was_shown() {
        let credential = ClusterCredential::new(Some("https://a.test"));
        assert!(credential.offer(&token("a", 600)));
        let shown = credential.held().unwrap();
        assert!(credential.offer(&token("b", 700)));
        credential.answered("a", &shown, StatusCode::UNAUTHORIZED);
        assert!(!credential.is_rejected());
    }

    #[test]
    fn a_credential_that_gets_no_keys_is_a_rejected_one() {
        let credential = ClusterCredential::new(Some("https://a.test"));
        credential.keys_answered("a", StatusCode::UNAUTHORIZED);
        assert!(credential.offer(&token("renewed", 9000)) && credential.for_keys().is_some());
        credential.keys_answered("a", StatusCode::OK);
        assert!(!credential.is_rejected());
        credential.keys_answered("a", StatusCode::UNAUTHORIZED);
        assert!(credential.is_rejected() && credential.offer(&token("file", 600)));
        credential.keys_answered("a", StatusCode::UNAUTHORIZED);
        assert!(!credential.is_rejected(), "it was not shown yet");
    }

    #[test]
    fn a_file_that_is_not_used_is_mentioned_once() {
        let credential = ClusterCredential::new(Some("https://a.test"));
        let (renewed, file) = (token("renewed", 9000), token("file", 600));
        assert!(!credential.passes_over(&file));
        credential.offer(&renewed);
        let told = [&renewed, &file, &file, &token("file", 700), &token("later", 9999)];
        assert_eq!(told.map(|token| credential.passes_over(token)), [false, true, false, true, false]);
    }

    #[test]
    fn a_cluster_without_an_api_server_takes_no_credential() {
        assert!(!ClusterCredential::new(None).offer("x"));
        assert!(ClusterCredential::new(Some("https://a.test")).offer("x\n"));
    }
}
