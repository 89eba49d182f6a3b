//! Health of an engine's watches.

use std::{collections::BTreeMap, sync::Arc};

use kube::runtime::watcher;
use parking_lot::Mutex;
use portolan_runtime::{apply::code, telemetry::ErrorChain};

use super::{key::ObjectKey, plan::ConsumerRight};

/// Number of failures in a row after which a watch is reported: a new CRD and new rights take a moment.
const TOLERATED: u32 = 4;

/// Progress of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// The first lists are under way.
    Starting,
    /// Both sides are watched.
    Watching,
    /// We may not watch the resource on the consumer, or not write to its objects.
    ForbiddenOnConsumer,
    /// A watch fails.
    Failing(String),
}

/// A watch of an engine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WatchedSide {
    Consumer,
    /// The provider's objects for a consumer namespace; all of them where it is empty.
    Provider(String),
}

/// The health of an engine, and whoever is told when its state changes.
pub(super) struct EngineHealth {
    known: Mutex<SyncHealth>,
    on_state: Arc<dyn Fn() + Send + Sync>,
}

impl EngineHealth {
    /// `awaits_provider` where one watch shows all of the provider's objects.
    pub(super) fn new(awaits_provider: bool, on_state: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { known: Mutex::new(SyncHealth::new(awaits_provider)), on_state }
    }

    pub(super) fn state(&self) -> EngineState {
        self.known.lock().state()
    }

    /// Returns `true` if the consumer's objects have been listed.
    pub(super) fn consumer_listed(&self) -> bool {
        self.known.lock().consumer_listed
    }

    /// Returns `true` if all of the provider's objects have been listed, where one watch shows them.
    pub(super) fn provider_listed(&self) -> bool {
        !self.known.lock().awaits_provider
    }

    /// Notes that a watch has listed its objects, or has failed.
    pub(super) fn note(&self, side: WatchedSide, outcome: Result<(), &watcher::Error>) {
        self.change(|health| health.note(side, outcome));
    }

    /// Notes whether the consumer's API server has let us write to an object.
    pub(super) fn note_right(&self, right: ConsumerRight, key: &ObjectKey, allowed: bool) {
        self.change(|health| health.wrote(right, key, allowed));
    }

    /// Notes that nothing has to be written to an object.
    pub(super) fn note_rest(&self, key: &ObjectKey) {
        self.change(|health| health.rests(key));
    }

    fn change(&self, change: impl FnOnce(&mut SyncHealth)) {
        let (before, after) = {
            let mut health = self.known.lock();
            let before = health.state();
            change(&mut health);
            (before, health.state())
        };
        if before != after {
            (self.on_state)();
        }
    }
}

/// The watches of an engine.
#[derive(Debug, Default)]
struct SyncHealth {
    consumer_listed: bool,
    /// One watch for all of the provider's objects has yet to list them.
    awaits_provider: bool,
    failures: BTreeMap<WatchedSide, EngineFailure>,
    /// Rights that the consumer's API server denied us last, each with an object.
    denied: BTreeMap<ConsumerRight, ObjectKey>,
}

#[derive(Debug)]
struct EngineFailure {
    in_a_row: u32,
    status: u16,
    message: String,
}

impl SyncHealth {
    fn new(awaits_provider: bool) -> Self {
        Self { awaits_provider, ..Self::default() }
    }

    /// Takes in that a watch has listed its objects, or has failed.
    fn note(&mut self, side: WatchedSide, outcome: Result<(), &watcher::Error>) {
        match outcome {
            Ok(()) => {
                self.consumer_listed |= side == WatchedSide::Consumer;
                self.awaits_provider &= side != WatchedSide::Provider(String::new());
                self.failures.remove(&side);
            }
            Err(error) => {
                let in_a_row = self.failures.get(&side).map_or(0, |failure| failure.in_a_row) + 1;
                let failure = EngineFailure {
                    in_a_row,
                    status: status_of(error),
                    message: ErrorChain(error).to_string(),
                };
                self.failures.insert(side, failure);
            }
        }
    }

    /// Takes in whether the consumer's API server has let us write to an object.
    fn wrote(&mut self, right: ConsumerRight, key: &ObjectKey, allowed: bool) {
        if allowed {
            self.denied.remove(&right);
        } else {
            self.denied.insert(right, key.clone());
        }
    }

    /// Takes in that nothing has to be written to an object.
    fn rests(&mut self, key: &ObjectKey) {
        self.denied.retain(|_, denied| denied != key);
    }

    fn state(&self) -> EngineState {
        let lasting = self.failures.iter().find(|(_, failure)| failure.in_a_row >= TOLERATED);
        match lasting {
            Some((WatchedSide::Consumer, failure)) if failure.status == 403 => {
                EngineState::ForbiddenOnConsumer
            }
            Some((WatchedSide::Consumer, failure)) => {
                EngineState::Failing(format!("The consumer's objects cannot be watched: {}", failure.message))
            }
            Some((WatchedSide::Provider(namespace), failure)) => {
                let which =
                    if namespace.is_empty() { String::new() } else { format!(" for namespace {namespace}") };
                let why = &failure.message;
                EngineState::Failing(format!("The provider's objects{which} cannot be watched: {why}"))
            }
            None if !self.denied.is_empty() => EngineState::ForbiddenOnConsumer,
            None if self.consumer_listed && !self.awaits_provider => EngineState::Watching,
            None => EngineState::Starting,
        }
    }
}

fn status_of(error: &watcher::Error) -> u16 {
    match error {
        watcher::Error::InitialListFailed(e)
        | watcher::Error::WatchStartFailed(e)
        | watcher::Error::WatchFailed(e) => code(e),
        watcher::Error::WatchError(status) => status.code,
        watcher::Error::NoResourceVersion => 0,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn error(code: u16) -> watcher::Error {
        watcher::Error::WatchError(Box::new(Status { code, message: "no".to_owned(), ..Status::default() }))
    }

    fn after(outcomes: &[(WatchedSide, Result<(), u16>)]) -> EngineState {
        let mut health = SyncHealth::default();
        for (side, outcome) in outcomes {
            match outcome {
                Ok(()) => health.note(side.clone(), Ok(())),
                Err(code) => health.note(side.clone(), Err(&error(*code))),
            }
        }
        health.state()
    }

    #[test]
    fn a_few_failures_of_a_young_kind_are_not_worth_a_word() {
        let consumer = WatchedSide::Consumer;
        assert_eq!(after(&[]), EngineState::Starting);
        assert_eq!(
            after(&[(consumer.clone(), Err(404)), (consumer.clone(), Err(429))]),
            EngineState::Starting
        );
        assert_eq!(after(&[(consumer.clone(), Err(404)), (consumer, Ok(()))]), EngineState::Watching);
    }

    #[test]
    fn a_watch_of_all_the_providers_objects_is_waited_for() {
        let mut health = SyncHealth::new(true);
        health.note(WatchedSide::Consumer, Ok(()));
        health.note(WatchedSide::Provider("west".to_owned()), Ok(()));
        assert_eq!(health.state(), EngineState::Starting);
        health.note(WatchedSide::Provider(String::new()), Ok(()));
        assert_eq!(health.state(), EngineState::Watching);
    }

    #[test]
    fn a_write_that_is_denied_is_said_until_one_of_its_kind_is_not() {
        let mut health = SyncHealth::default();
        health.note(WatchedSide::Consumer, Ok(()));
        let key = |name: &str| ObjectKey { namespace: "west".to_owned(), name: name.to_owned() };
        let (billy, clara) = (key("billy"), key("clara"));
        health.wrote(ConsumerRight::WriteStatus, &billy, false);
        health.wrote(ConsumerRight::Mark, &billy, true);
        health.rests(&clara);
        assert_eq!(health.state(), EngineState::ForbiddenOnConsumer);
        health.wrote(ConsumerRight::WriteStatus, &clara, true);
        assert_eq!(health.state(), EngineState::Watching);
        health.wrote(ConsumerRight::Mark, &billy, false);
        health.rests(&billy);
        assert_eq!(health.state(), EngineState::Watching, "it has gone meanwhile");
    }

    #[test]
    fn lasting_failures_are_named_by_side_and_end_with_a_list() {
        let forbidden = vec![(WatchedSide::Consumer, Err(403)); 4];
        assert_eq!(after(&forbidden), EngineState::ForbiddenOnConsumer);
        let provider = WatchedSide::Provider("west".to_owned());
        let mut outcomes = vec![(WatchedSide::Consumer, Ok(()))];
        outcomes.extend(vec![(provider.clone(), Err(403)); 4]);
        assert!(matches!(after(&outcomes), EngineState::Failing(why) if why.contains("west")));
        outcomes.push((provider, Ok(())));
        assert_eq!(after(&outcomes), EngineState::Watching);
    }
}
