//! Health of the watches of a claim's engine.

use std::collections::{BTreeMap, BTreeSet};

use kube::runtime::watcher;
use portolan_runtime::apply::code;

use super::trouble;

/// Number of failures in a row after which a watch is reported: new rights take a moment.
const TOLERATED: u32 = 4;

/// Progress of a claim's engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// The first lists are under way.
    Starting,
    /// Both sides are watched.
    Working,
    /// We may not work with the resource on the consumer.
    Forbidden,
    /// A watch fails.
    Failing(String),
}

/// A watch of an engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClaimWatch {
    /// Of claimed objects on the consumer, by number.
    Consumer(usize),
    /// Of bound objects on the consumer, by number.
    Referrers(usize),
    /// Of claimed objects for a consumer namespace on the provider, by number.
    Provider(String, usize),
}

impl ClaimWatch {
    /// The one consumer namespace that the watch is about.
    pub(super) fn namespace(&self) -> Option<&str> {
        match self {
            Self::Provider(namespace, _) => Some(namespace),
            Self::Consumer(_) | Self::Referrers(_) => None,
        }
    }
}

/// The watches of an engine.
#[derive(Debug, Default)]
pub(super) struct ClaimHealth {
    /// Number of watches on the consumer that have to list before anything is known of it.
    expected: usize,
    listed: BTreeSet<ClaimWatch>,
    failures: BTreeMap<ClaimWatch, WatchFailure>,
    /// The API server of the consumer has refused a write.
    is_denied: bool,
}

#[derive(Debug)]
struct WatchFailure {
    in_a_row: u32,
    is_forbidden: bool,
    why: String,
}

impl ClaimHealth {
    pub(super) fn new(expected: usize) -> Self {
        Self { expected, ..Self::default() }
    }

    pub(super) fn listed(&mut self, watch: ClaimWatch) {
        self.failures.remove(&watch);
        self.listed.insert(watch);
    }

    pub(super) fn failed(&mut self, watch: ClaimWatch, error: &watcher::Error) {
        let in_a_row = self.failures.get(&watch).map_or(0, |failure| failure.in_a_row) + 1;
        let is_forbidden = matches!(error, watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e)
            if code(e) == 403);
        let why = trouble::of_watch(error);
        self.failures.insert(watch, WatchFailure { in_a_row, is_forbidden, why });
    }

    /// Forgets the watches of a namespace on the provider.
    pub(super) fn forget(&mut self, namespace: &str) {
        self.listed.retain(|watch| watch.namespace() != Some(namespace));
        self.failures.retain(|watch, _| watch.namespace() != Some(namespace));
    }

    pub(super) fn wrote(&mut self, allowed: bool) {
        self.is_denied = !allowed;
    }

    /// Returns `true` if everything on the consumer has been listed.
    pub(super) fn knows_consumer(&self) -> bool {
        self.listed.iter().filter(|watch| !matches!(watch, ClaimWatch::Provider(..))).count() >= self.expected
    }

    /// Returns `true` if this many watches have listed a namespace on the provider.
    pub(super) fn knows_namespace(&self, namespace: &str, expected: usize) -> bool {
        let of = |watch: &&ClaimWatch| matches!(watch, ClaimWatch::Provider(one, _) if one == namespace);
        self.listed.iter().filter(of).count() >= expected
    }

    pub(super) fn state(&self) -> ClaimState {
        let lasting = self.failures.iter().find(|(_, failure)| failure.in_a_row >= TOLERATED);
        match lasting {
            Some((ClaimWatch::Consumer(_), failure)) if failure.is_forbidden => ClaimState::Forbidden,
            Some((ClaimWatch::Provider(namespace, _), WatchFailure { why, .. })) => ClaimState::Failing(
                format!("The provider's objects for namespace {namespace} cannot be watched: {why}"),
            ),
            Some((ClaimWatch::Consumer(_) | ClaimWatch::Referrers(_), WatchFailure { why, .. })) => {
                ClaimState::Failing(format!("The consumer's objects cannot be watched: {why}"))
            }
            None if self.is_denied => ClaimState::Forbidden,
            None if self.knows_consumer() => ClaimState::Working,
            None => ClaimState::Starting,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn error(code: u16) -> watcher::Error {
        let status = Status { code, message: "no".to_owned(), ..Status::default() };
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn everything_on_the_consumer_has_to_be_listed_and_lasting_failures_are_named() {
        let mut health = ClaimHealth::new(2);
        health.listed(ClaimWatch::Consumer(0));
        health.listed(ClaimWatch::Provider("n".to_owned(), 0));
        assert_eq!(health.state(), ClaimState::Starting);
        health.listed(ClaimWatch::Referrers(0));
        assert_eq!(health.state(), ClaimState::Working);
        for _ in 0..4 {
            health.failed(ClaimWatch::Provider("n".to_owned(), 0), &error(403));
        }
        assert!(matches!(health.state(), ClaimState::Failing(why) if why.contains("namespace n")));
        for _ in 0..4 {
            health.failed(ClaimWatch::Consumer(0), &error(403));
        }
        assert_eq!(health.state(), ClaimState::Forbidden);
        health.listed(ClaimWatch::Consumer(0));
        health.listed(ClaimWatch::Provider("n".to_owned(), 0));
        health.wrote(false);
        assert_eq!(health.state(), ClaimState::Forbidden);
        health.wrote(true);
        assert_eq!(health.state(), ClaimState::Working);
    }
}
