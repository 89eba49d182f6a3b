//! Outages of a cluster, for each token on its own: that others are reviewed says nothing about one whose review
//! fails.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// More tokens than are shown during an outage. What does not fit is not accepted by keys alone.
const MAX_TOKENS: usize = 100_000;
/// More than any that a token is accepted for after its end.
const LEEWAY: Duration = Duration::from_secs(120);

/// The clocks of the tokens of one cluster. They are found by a keyed hash; no token is kept.
#[derive(Debug, Default)]
pub struct Outages(Mutex<Clocks>);

#[derive(Clone, Debug, Default)]
struct Clocks {
    hasher: RandomState,
    by_hash: HashMap<u64, Clock>,
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    /// When the token has ended, and with it the need to remember.
    end: Instant,
}

impl Outages {
    /// The cluster has answered the question about a token.
    pub fn answered(&self, token: &str) {
        let mut clocks = self.0.lock();
        // Nearly always there is no outage.
        if !clocks.by_hash.is_empty() {
            let key = clocks.hasher.hash_one(token);
            clocks.by_hash.remove(&key);
        }
    }

    /// The cluster did not answer, at `now`, the question about a token that ends after `left`. For how long its keys
    /// may decide alone, where `most` is the time that they may since the first such question; none when that is over.
    pub fn unanswered(&self, token: &str, left: Duration, most: Duration, now: Instant) -> Option<Duration> {
        let mut clocks = self.0.lock();
        let key = clocks.hasher.hash_one(token);
        let clocks = &mut clocks.by_hash;
        if !clocks.contains_key(&key) && clocks.len() >= MAX_TOKENS {
            clocks.retain(|_, clock| clock.end > now);
            if clocks.len() >= MAX_TOKENS {
                return None;
            }
        }
        let end = now + left + LEEWAY;
        let clock = clocks.entry(key).or_insert(Clock { start: now, end });
        most.checked_sub(now.duration_since(clock.start)).filter(|left| !left.is_zero())
    }

    /// Goes on with the clocks of the same cluster under an older configuration.
    pub fn inherit(&self, old: &Self) {
        *self.0.lock() = old.0.lock().clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_secs(300);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn answers_about_others_do_not_stop_the_clock_of_a_token() {
        let (outages, start) = (Outages::default(), Instant::now());
        let left = |outages: &Outages, token: &str, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            outages.unanswered(token, HOUR, MOST, now).map(|left| left.as_secs())
        };
        for seconds in (0..300).step_by(10) {
            outages.answered("b");
            assert_eq!(left(&outages, "a", seconds), Some(300 - seconds));
        }
        assert_eq!((left(&outages, "a", 300), left(&outages, "c", 300)), (None, Some(300)));
        assert_eq!(left(&outages, "a", 3000), None, "asking again does not wind it up");
        let new = Outages::default();
        new.inherit(&outages);
        assert_eq!(left(&new, "a", 3000), None, "nor does a new configuration");
        outages.answered("a");
        assert_eq!(left(&outages, "a", 3000), Some(300), "its own answer does");
    }

    #[test]
    fn what_does_not_fit_is_not_accepted_until_others_have_ended() {
        let (outages, start) = (Outages::default(), Instant::now());
        for index in 0..MAX_TOKENS {
            assert!(outages.unanswered(&index.to_string(), MOST, MOST, start).is_some());
        }
        assert!(outages.unanswered("more", HOUR, MOST, start).is_none());
        assert!(outages.unanswered("7", MOST, MOST, start).is_some(), "those that are known go on");
        assert!(outages.unanswered("more", HOUR, MOST, start + HOUR).is_some());
    }
}
