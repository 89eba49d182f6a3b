//! Rates: so many questions per second, with bursts of one second.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use moka::sync::Cache;
use tokio::time::Instant;

/// More callers than this are not told apart for longer than it takes to see the next one.
const MAX_CALLERS: u64 = 10_000;

/// One rate. It keeps the time at which everything that was let through would have come evenly.
///
/// # Examples
///
/// ```
/// use portolan_runtime::limits::RateLimit;
///
/// let rate = RateLimit::per_second(1);
/// assert!(rate.allows());
/// assert!(!rate.allows());
/// ```
#[derive(Debug)]
pub struct RateLimit {
    questions: u32,
    start: Instant,
    nanoseconds_each: u64,
    even: AtomicU64,
}

impl RateLimit {
    /// A rate of so many questions per second.
    pub fn per_second(questions: u32) -> Self {
        let nanoseconds_each = 1_000_000_000 / u64::from(questions.max(1));
        Self { questions, start: Instant::now(), nanoseconds_each, even: AtomicU64::new(0) }
    }

    /// Returns `true` if a rate equals the one that a configuration asks for.
    pub fn is(rate: Option<&Self>, per_second: Option<u32>) -> bool {
        rate.map(|rate| rate.questions) == per_second
    }

    /// Returns `true` if the rate allows another request now.
    pub fn allows(&self) -> bool {
        self.allows_at(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn allows_at(&self, now: u64) -> bool {
        let next = |even: u64| {
            let even = even.max(now) + self.nanoseconds_each;
            (even <= now + 1_000_000_000).then_some(even)
        };
        self.even.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

/// The subject of a rate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RateSubject {
    /// A caller that showed who it is.
    Named(String),
    /// Anybody at an address.
    At(IpAddr),
}

/// Rates of callers.
#[derive(Debug)]
pub struct CallerRates {
    per_second: u32,
    rates: Cache<RateSubject, Arc<RateLimit>>,
}

impl CallerRates {
    /// The same rate for each caller.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, rates: Cache::new(MAX_CALLERS) }
    }

    /// Returns `true` if the rates allow this caller a request now.
    pub fn allows(&self, who: RateSubject) -> bool {
        self.rates.get_with(who, || Arc::new(RateLimit::per_second(self.per_second))).allows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_as_many_as_it_should() {
        let rate = RateLimit::per_second(10);
        let allowed = (0..100).filter(|_| rate.allows_at(0)).count();
        assert_eq!(allowed, 10);
        assert!(!rate.allows_at(99_000_000));
        assert!(rate.allows_at(100_000_000));
        let later = (0..100).filter(|_| rate.allows_at(60_000_000_000)).count();
        assert_eq!(later, 10);
    }

    #[tokio::test]
    async fn callers_do_not_share_a_rate() {
        let rates = CallerRates::new(1);
        let who = |name: &str| RateSubject::Named(name.to_owned());
        assert!(rates.allows(who("a")) && !rates.allows(who("a")) && rates.allows(who("b")));
    }
}
