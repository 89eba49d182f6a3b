//! What is to be fetched, who needs it, and the last answers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use portolan_runtime::{
    backoff::Backoff,
    fetch::{FetchError, FetchSettings, Fetcher},
    queue::WorkQueue,
};

use super::oidc::OidcOutcome;
use crate::{index::GroupIndex, names::ObjectName};

const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(5 * 60);
/// Largest discovery document of an issuer, whatever limit OpenAPI texts have.
const OIDC_BYTES: usize = 512_000;

/// The fetchers of both kinds of documents, each with its own limit on bytes.
#[derive(Debug)]
pub struct DocumentFetchers {
    pub(super) oidc: Fetcher,
    pub(super) openapi: Fetcher,
}

impl DocumentFetchers {
    /// The limit in the settings is for OpenAPI texts.
    pub fn new(settings: &FetchSettings) -> Result<Self, FetchError> {
        let of_issuers = FetchSettings { max_bytes: OIDC_BYTES, ..settings.clone() };
        Ok(Self { oidc: Fetcher::new(&of_issuers)?, openapi: Fetcher::new(settings)? })
    }
}

/// A text that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenApiText {
    pub sha256: String,
    pub bytes: usize,
    /// The text, if it is small.
    pub raw: Option<Arc<str>>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenApiOutcome {
    /// The text that was last read.
    pub text: Option<OpenApiText>,
    /// Reason and message.
    pub failure: Option<(&'static str, String)>,
}

/// Something to fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FetchTarget {
    /// The discovery document of an issuer.
    Oidc(String),
    /// The OpenAPI text of a product. Another product of that name has not got the former one's ConfigMap.
    OpenApi { product: ObjectName, uid: String, url: String },
}

/// The last answer.
#[derive(Clone, Debug, PartialEq)]
pub enum FetchOutcome {
    Oidc(OidcOutcome),
    OpenApi(OpenApiOutcome),
}

impl FetchOutcome {
    pub(super) fn is_good(&self) -> bool {
        match self {
            Self::Oidc(outcome) => outcome.failure.is_none(),
            Self::OpenApi(outcome) => outcome.failure.is_none(),
        }
    }
}

/// What the status of a product has of a former process.
#[derive(Clone, Debug, PartialEq)]
pub enum RememberedAnswer {
    /// An answer that stands until its age.
    Answer(FetchOutcome),
    /// What was last found, and is kept although something went wrong since: it is asked for at once.
    Last(FetchOutcome),
}

/// All targets and their answers.
#[derive(Debug)]
pub struct Fetches {
    pub(super) queue: Arc<WorkQueue<FetchTarget>>,
    pub(super) outcomes: Mutex<HashMap<FetchTarget, KnownOutcome>>,
    /// Who needs them.
    pub(super) users: GroupIndex<FetchTarget, ObjectName>,
    pub(super) fetchers: DocumentFetchers,
    /// Age at which an answer is asked for anew.
    refresh: Duration,
    /// Largest OpenAPI text that is kept in the status.
    pub inline_bytes: usize,
}

#[derive(Clone, Debug)]
pub(super) struct KnownOutcome {
    outcome: FetchOutcome,
    failures: u32,
    /// Whether this process has asked, or need not ask yet.
    is_answer: bool,
}

impl Fetches {
    pub fn new(fetchers: DocumentFetchers, refresh: Duration, inline_bytes: usize) -> Self {
        let (queue, outcomes, users) = (Arc::default(), Mutex::default(), GroupIndex::default());
        Self { queue, outcomes, users, fetchers, refresh, inline_bytes }
    }

    /// Says what a product needs.
    pub fn need(&self, product: &ObjectName, targets: Vec<(FetchTarget, Option<RememberedAnswer>)>) {
        let before = self.users.groups(product);
        let now: Vec<_> = targets.iter().map(|(target, _)| target.clone()).collect();
        self.users.set(product, now.clone());
        for target in before.iter().filter(|target| !now.contains(target)) {
            if self.users.of(target).is_empty() {
                self.outcomes.lock().remove(target);
            }
        }
        for (target, remembered) in targets.into_iter().filter(|(target, _)| !before.contains(target)) {
            if !self.outcomes.lock().contains_key(&target) {
                self.remember(target, remembered);
            }
        }
    }

    fn remember(&self, target: FetchTarget, remembered: Option<RememberedAnswer>) {
        let (outcome, is_answer) = match remembered {
            Some(RememberedAnswer::Answer(outcome)) => (outcome, true),
            Some(RememberedAnswer::Last(outcome)) => (outcome, false),
            None => return self.queue.add(target),
        };
        self.outcomes.lock().insert(target.clone(), KnownOutcome { outcome, failures: 0, is_answer });
        if is_answer {
            self.queue.add_after(target, Backoff::new(self.refresh, self.refresh).next_delay());
        } else {
            self.queue.add(target);
        }
    }

    /// The answer, if there was one.
    pub fn outcome(&self, target: &FetchTarget) -> Option<FetchOutcome> {
        let outcomes = self.outcomes.lock();
        outcomes.get(target).filter(|known| known.is_answer).map(|known| known.outcome.clone())
    }

    /// What was last found, by whatever process.
    pub(super) fn last(&self, target: &FetchTarget) -> Option<FetchOutcome> {
        self.outcomes.lock().get(target).map(|known| known.outcome.clone())
    }

    /// Keeps an answer. Returns `true` if it is another than before, and the time until the next one.
    pub(super) fn keep(&self, target: &FetchTarget, outcome: FetchOutcome) -> (bool, Duration) {
        let mut outcomes = self.outcomes.lock();
        let before = outcomes.get(target);
        let is_news = before.is_none_or(|before| !before.is_answer || before.outcome != outcome);
        let failures = if outcome.is_good() { 0 } else { before.map_or(1, |before| before.failures + 1) };
        outcomes.insert(target.clone(), KnownOutcome { outcome, failures, is_answer: true });
        let longest = RETRY_MAX.min(self.refresh);
        let delay = match failures {
            0 => self.refresh,
            failures => Backoff::ceiling(RETRY_MIN.min(longest), longest, failures - 1),
        };
        (is_news, Backoff::new(delay, delay).next_delay())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetches() -> Fetches {
        Fetches::new(DocumentFetchers::new(&FetchSettings::default()).unwrap(), Duration::from_secs(3600), 1)
    }

    fn outcome(failure: Option<&str>) -> FetchOutcome {
        FetchOutcome::Oidc(OidcOutcome {
            token_endpoint: None,
            failure: failure.map(str::to_owned),
            note: None,
        })
    }

    #[test]
    fn failures_are_tried_again_soon_and_answers_after_their_age() {
        let fetches = fetches();
        let target = FetchTarget::Oidc("https://a".to_owned());
        let kept = |outcome| {
            let (is_news, delay) = fetches.keep(&target, outcome);
            (is_news, delay.as_secs_f64())
        };
        let (is_news, delay) = kept(outcome(Some("down")));
        assert!(is_news && (2.5..=5.0).contains(&delay), "{delay}");
        let (is_news, delay) = kept(outcome(Some("down")));
        assert!(!is_news && (5.0..=10.0).contains(&delay), "{delay}");
        let (is_news, delay) = kept(outcome(None));
        assert!(is_news && (1800.0..=3600.0).contains(&delay), "{delay}");
    }

    #[test]
    fn what_nobody_needs_is_forgotten() {
        let fetches = fetches();
        let (target, product) = (FetchTarget::Oidc("https://a".to_owned()), ObjectName::new("a", "p"));
        fetches.need(&product, vec![(target.clone(), Some(RememberedAnswer::Answer(outcome(None))))]);
        assert_eq!((fetches.queue.depth(), fetches.outcome(&target)), (0, Some(outcome(None))));
        fetches.need(&product, vec![]);
        assert_eq!(fetches.outcome(&target), None);
        fetches.need(&product, vec![(target, None)]);
        assert_eq!(fetches.queue.depth(), 1);
    }

    #[test]
    fn what_is_kept_of_a_former_process_is_asked_for_at_once_and_is_no_answer() {
        let fetches = fetches();
        let (target, product) = (FetchTarget::Oidc("https://a".to_owned()), ObjectName::new("a", "p"));
        let kept = outcome(None);
        fetches.need(&product, vec![(target.clone(), Some(RememberedAnswer::Last(kept.clone())))]);
        assert_eq!(fetches.queue.depth(), 1);
        assert_eq!((fetches.outcome(&target), fetches.last(&target)), (None, Some(kept.clone())));
        let (is_news, _) = fetches.keep(&target, kept.clone());
        assert!(is_news, "the same as before, but now it is an answer");
        assert_eq!(fetches.outcome(&target), Some(kept));
    }
}
