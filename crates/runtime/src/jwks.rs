//! The keys of one issuer, kept fresh in the background.
//!
//! One task per issuer asks for them: a while before they are too old, and when a token names a key that is
//! not there, but then at most once per cooldown. Requests wait for that task, never for each other's
//! connections; when the issuer does not answer, the last good keys stay until they are too old.

mod asked;
mod source;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use portolan_core::auth::IssuerKeys;
use rand::RngExt as _;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

pub use self::source::{KeySource, SourceError};
use crate::{backoff::Backoff, tasks::Tasks, telemetry::ErrorChain};

/// Intervals and limits that keep keys fresh.
#[derive(Clone, Copy, Debug)]
pub struct KeyFreshness {
    /// Time after an attempt in which an unknown key id does not cause another one.
    pub cooldown: Duration,
    /// Age at which keys are fetched again, unless the issuer sets a lower one.
    pub refresh_every: Duration,
    /// Age at which keys are dropped when the issuer does not answer.
    pub max_age: Duration,
    /// Time that a request waits for an attempt.
    pub patience: Duration,
}

impl Default for KeyFreshness {
    fn default() -> Self {
        Self {
            cooldown: Duration::from_secs(30),
            refresh_every: Duration::from_secs(240),
            max_age: Duration::from_secs(3600),
            patience: Duration::from_secs(3),
        }
    }
}

/// The keys of an issuer.
#[derive(Debug)]
pub struct Jwks {
    freshness: KeyFreshness,
    loaded: ArcSwapOption<Loaded>,
    state: Mutex<State>,
    wanted: Notify,
    attempts: watch::Sender<u64>,
}

#[derive(Debug)]
struct Loaded {
    keys: Arc<IssuerKeys>,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    /// The end of the last attempt.
    last_attempt: Option<Instant>,
    /// `true` if an attempt is under way or has been asked for.
    under_way: bool,
    last_error: Option<String>,
    succeeded: u64,
    failed: u64,
    rejected: u64,
}

/// Facts about the keys, for people and metrics.
#[derive(Clone, Debug, Default)]
pub struct JwksStatus {
    /// Number of keys that are not too old.
    pub keys: usize,
    /// Age of the keys.
    pub age: Option<Duration>,
    /// The error of the last attempt, if it failed.
    pub error: Option<String>,
    /// The keys that cannot be used, each with the reason; empty when all can.
    pub skipped: String,
    /// Number of attempts that brought keys.
    pub succeeded: u64,
    /// Number of attempts that failed.
    pub failed: u64,
    /// Number of those that failed since the credential is not accepted.
    pub rejected: u64,
}

impl Jwks {
    /// Starts to keep the keys of an issuer fresh.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::sync::Arc;
    ///
    /// use portolan_runtime::{
    ///     fetch::Fetcher,
    ///     jwks::{Jwks, KeyFreshness, KeySource},
    ///     tasks::Tasks,
    /// };
    ///
    /// fn start(tasks: &Tasks, fetcher: Fetcher) -> Arc<Jwks> {
    ///     let source = KeySource {
    ///         issuers: vec!["https://issuer.example".to_owned()],
    ///         api_server: None,
    ///         jwks_uri: None,
    ///         credential: Arc::new(|| None),
    ///         fetcher,
    ///     };
    ///     Jwks::start(tasks, source, KeyFreshness::default())
    /// }
    /// ```
    pub fn start(tasks: &Tasks, source: KeySource, freshness: KeyFreshness) -> Arc<Self> {
        let jwks = Arc::new(Self::empty(freshness));
        jwks.state.lock().under_way = true;
        let kept = Arc::clone(&jwks);
        tasks.spawn_critical("issuer keys", async move { kept.keep_fresh(source).await });
        jwks
    }

    fn empty(freshness: KeyFreshness) -> Self {
        Self {
            freshness,
            loaded: ArcSwapOption::empty(),
            state: Mutex::default(),
            wanted: Notify::new(),
            attempts: watch::Sender::new(0),
        }
    }

    /// Takes the keys of another one of the same issuer, as old as they are, until there are newer ones.
    pub fn inherit(&self, old: &Self) {
        let older = old.loaded.load_full();
        self.loaded.rcu(|own| own.clone().or_else(|| older.clone()));
    }

    /// The keys, unless they are too old. Never waits.
    pub fn keys(&self) -> Option<Arc<IssuerKeys>> {
        let loaded = self.loaded.load();
        let fresh = loaded.as_ref().filter(|loaded| loaded.at.elapsed() <= self.freshness.max_age);
        fresh.map(|loaded| Arc::clone(&loaded.keys))
    }

    /// The keys after an attempt to get newer ones. None when none may be made now, or when it takes too long.
    pub async fn newer(&self) -> Option<Arc<IssuerKeys>> {
        let mut attempts = self.attempts.subscribe();
        if !self.ask() {
            return None;
        }
        timeout(self.freshness.patience, attempts.changed()).await.ok()?.ok()?;
        self.keys()
    }

    /// Returns `true` if there may be keys that nobody could get: there are none, the last attempt failed, or one
    /// takes too long.
    pub fn is_in_doubt(&self) -> bool {
        let state = self.state.lock();
        state.under_way || state.last_error.is_some() || self.keys().is_none()
    }

    /// Asks for newer keys without waiting for them, unless that was done a moment ago.
    pub fn hint(&self) {
        self.ask();
    }

    /// Asks for an attempt where that is allowed. Returns `true` if one is under way.
    fn ask(&self) -> bool {
        let mut state = self.state.lock();
        let recent = state.last_attempt.is_some_and(|at| at.elapsed() < self.freshness.cooldown);
        if !state.under_way && recent {
            return false;
        }
        if !state.under_way {
            state.under_way = true;
            self.wanted.notify_one();
        }
        true
    }

    /// Reports the state of the keys.
    pub fn status(&self) -> JwksStatus {
        let (loaded, state) = (self.loaded.load(), self.state.lock());
        JwksStatus {
            keys: self.keys().map_or(0, |keys| keys.len()),
            age: loaded.as_ref().map(|loaded| loaded.at.elapsed()),
            error: state.last_error.clone(),
            skipped: loaded.as_ref().map(|loaded| loaded.keys.skipped.to_string()).unwrap_or_default(),
            succeeded: state.succeeded,
            failed: state.failed,
            rejected: state.rejected,
        }
    }

    async fn keep_fresh(&self, source: KeySource) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            let attempt = source.fetch().await;
            let pause = match attempt {
                Ok((keys, max_age)) => {
                    backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
                    self.succeeded(&source, keys);
                    self.next_refresh(max_age)
                }
                Err(error) => {
                    self.failed(&source, &error);
                    backoff.next_delay()
                }
            };
            self.attempts.send_modify(|attempts| *attempts += 1);
            tokio::select! {
                () = sleep(pause) => self.state.lock().under_way = true,
                () = self.wanted.notified() => {}
            }
        }
    }

    /// A tenth earlier or later each time, so that many issuers are not asked at once. An issuer cannot make us
    /// ask more often than the cooldown says.
    fn next_refresh(&self, max_age: Option<Duration>) -> Duration {
        let wished = max_age.unwrap_or(self.freshness.refresh_every).max(self.freshness.cooldown);
        wished.min(self.freshness.refresh_every).mul_f64(rand::rng().random_range(0.8..=1.0))
    }

    fn succeeded(&self, source: &KeySource, keys: IssuerKeys) {
        let (count, skipped) = (keys.len(), keys.skipped.clone());
        let before = self.loaded.swap(Some(Arc::new(Loaded { keys: Arc::new(keys), at: Instant::now() })));
        let mut state = self.state.lock();
        if before.is_none() || state.last_error.is_some() {
            info!(issuer = source.name(), keys = count, skipped = skipped.0.len(), "keys are loaded");
        }
        let is_new = before.is_none_or(|before| before.keys.skipped != skipped);
        if is_new && !skipped.0.is_empty() {
            warn!(issuer = source.name(), "some keys of the issuer are skipped: {skipped}");
        }
        state.succeeded += 1;
        state.last_error = None;
        state.ended();
    }

    fn failed(&self, source: &KeySource, error: &SourceError) {
        let text = ErrorChain(error).to_string();
        let mut state = self.state.lock();
        if state.last_error.as_ref() != Some(&text) {
            warn!(issuer = source.name(), "failed to load keys; the last good ones stay in use: {text}");
        }
        state.failed += 1;
        state.rejected += u64::from(matches!(error, SourceError::Rejected(..)));
        state.last_error = Some(text);
        state.ended();
    }
}

impl State {
    fn ended(&mut self) {
        self.last_attempt = Some(Instant::now());
        self.under_way = false;
    }
}

#[cfg(test)]
mod tests;
