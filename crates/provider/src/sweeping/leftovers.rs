//! When to look again at namespaces that nobody asks for and that stay. Pure, but for the clock.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use portolan_runtime::backoff::Backoff;

/// Each look costs a Role and lists every kind, and what is left is mostly there for long.
const FIRST: Duration = Duration::from_mins(10);
const LONGEST: Duration = Duration::from_hours(24);
/// Looks in a row that may fail before one counts as a look.
const FAILURES: u32 = 5;

/// The namespaces that stay.
#[derive(Debug, Default)]
pub struct Leftovers(Mutex<HashMap<String, Leftover>>);

#[derive(Debug, Default)]
struct Leftover {
    looks: u32,
    failures: u32,
    due: Option<Instant>,
}

impl Leftovers {
    /// Time until the next look, if it is not due.
    pub fn left(&self, namespace: &str) -> Option<Duration> {
        let due = self.0.lock().get(namespace)?.due?;
        Some(due.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// The namespace stays. Returns the time until the next look, which grows with every look.
    pub fn keep(&self, namespace: &str) -> Duration {
        let mut all = self.0.lock();
        let known = all.entry(namespace.to_owned()).or_default();
        let wait = Backoff::ceiling(FIRST, LONGEST, known.looks);
        *known =
            Leftover { looks: known.looks.saturating_add(1), failures: 0, due: Some(Instant::now() + wait) };
        wait
    }

    /// Nobody could look. Returns the time until the next look where that lasts; before, it is to be tried again soon.
    pub fn fail(&self, namespace: &str) -> Option<Duration> {
        let failures = {
            let mut all = self.0.lock();
            let known = all.entry(namespace.to_owned()).or_default();
            known.failures = known.failures.saturating_add(1);
            known.failures
        };
        (failures >= FAILURES).then(|| self.keep(namespace))
    }

    /// The namespace is gone, or asked for again.
    pub fn forget(&self, namespace: &str) {
        self.0.lock().remove(namespace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_two_looks_grows_to_a_day() {
        let all = Leftovers::default();
        assert_eq!(all.left("a"), None);
        let minutes: Vec<_> = (0..9).map(|_| all.keep("a").as_secs() / 60).collect();
        assert_eq!(minutes, [10, 20, 40, 80, 160, 320, 640, 1280, 1440]);
        assert!(all.left("a").is_some_and(|left| left > FIRST) && all.left("b").is_none());
        all.forget("a");
        assert_eq!(all.keep("a"), FIRST);
    }

    #[test]
    fn a_look_that_fails_time_and_again_counts_as_one() {
        let all = Leftovers::default();
        for wait in [None, None, None, None, Some(FIRST), None] {
            assert_eq!(all.fail("a"), wait);
        }
        assert!(all.left("a").is_some());
    }
}
