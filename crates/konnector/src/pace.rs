//! When a write is due that has failed, or that somebody undoes again and again, and when people hear of it. Pure.
//!
//! The queue alone cannot know: news of an object brings it up at once, and then other steps are due, but not the one
//! that waits.

use std::{collections::HashMap, hash::Hash, time::Duration};

use portolan_core::digest::Digest;
use portolan_runtime::backoff::Backoff;
use tokio::time::Instant;

/// The first and the longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// The first and the longest pause before what somebody has undone is written again.
const CONTEST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Number of times that the same is written again without a pause: people try things out.
const FREE: u32 = 2;
/// After this long without a write, nothing is contested any more.
const PEACE: Duration = Duration::from_secs(120);
/// Time for which an Event about the same trouble is not repeated.
const SILENCE: Duration = Duration::from_secs(600);
/// Number of objects that are remembered before those at rest are looked for.
const MANY: usize = 1000;

/// The writes of many objects.
#[derive(Debug)]
pub struct WritePace<K> {
    turns: HashMap<K, Vec<PacedWrite>>,
    tidy_at: usize,
}

/// One sort of write to one object.
#[derive(Debug)]
struct PacedWrite {
    step: &'static str,
    /// Digest of the write. A write of something else has no pause.
    what: Digest,
    failures: u32,
    again: u32,
    not_before: Instant,
    last: Instant,
    told: Option<(u16, Instant)>,
}

/// The consequences of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureEffect {
    pub pause: Duration,
    pub in_a_row: u32,
    /// People are to hear of it.
    pub tell: bool,
}

impl<K> Default for WritePace<K> {
    fn default() -> Self {
        Self { turns: HashMap::new(), tidy_at: MANY }
    }
}

impl<K: Clone + Eq + Hash> WritePace<K> {
    /// Time that a write of this has to wait.
    pub fn wait(&self, key: &K, step: &str, what: Digest, now: Instant) -> Option<Duration> {
        let turn = self.find(key, step).filter(|turn| turn.what == what)?;
        turn.not_before.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Returns `true` if the last write of this has failed.
    pub fn is_failing(&self, key: &K, step: &str, what: Digest) -> bool {
        self.find(key, step).is_some_and(|turn| turn.what == what && turn.failures > 0)
    }

    /// Notes a failure with a code, of which people hear when it is the `tolerated`th in a row.
    pub fn failed(
        &mut self,
        (key, step): (&K, &'static str),
        what: Digest,
        (code, tolerated): (u16, u32),
        now: Instant,
    ) -> FailureEffect {
        let turn = self.turn(key, step, what, now);
        turn.what = what;
        turn.failures = turn.failures.saturating_add(1);
        let pause = Backoff::ceiling(RETRY.0, RETRY.1, turn.failures - 1);
        turn.not_before = now + pause;
        turn.last = now;
        let tell = turn.failures >= tolerated && turn.is_news(code, now);
        FailureEffect { pause, in_a_row: turn.failures, tell }
    }

    /// Returns the number of earlier writes, where a write now is one too many and people are to hear of it.
    pub fn contested(&self, key: &K, step: &str, what: Digest, now: Instant) -> Option<u32> {
        let turn = self.find(key, step).filter(|turn| turn.what == what && turn.failures == 0)?;
        let again = turn.again + 1;
        let is_news = turn.told.is_none_or(|(_, at)| now - at >= SILENCE);
        (now - turn.last < PEACE && again > FREE && is_news).then_some(again)
    }

    /// Notes a write, and whether people were told that it is contested.
    pub fn wrote(&mut self, (key, step): (&K, &'static str), what: Digest, told: bool, now: Instant) {
        let turn = self.turn(key, step, what, now);
        let is_same = turn.what == what && now - turn.last < PEACE;
        if turn.failures > 0 || !is_same {
            turn.told = None;
        }
        turn.again = if is_same && turn.failures == 0 { turn.again.saturating_add(1) } else { 0 };
        turn.failures = 0;
        turn.what = what;
        turn.last = now;
        turn.not_before = match turn.again.checked_sub(FREE) {
            Some(over) => now + Backoff::ceiling(CONTEST.0, CONTEST.1, over),
            None => now,
        };
        if told {
            turn.told = Some((0, now));
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&mut self, key: &K) {
        self.turns.remove(key);
    }

    fn find(&self, key: &K, step: &str) -> Option<&PacedWrite> {
        self.turns.get(key)?.iter().find(|turn| turn.step == step)
    }

    fn turn(&mut self, key: &K, step: &'static str, what: Digest, now: Instant) -> &mut PacedWrite {
        if self.turns.len() >= self.tidy_at && !self.turns.contains_key(key) {
            self.turns.retain(|_, turns| turns.iter().any(|turn| turn.matters(now)));
            self.tidy_at = MANY.max(self.turns.len() * 2);
        }
        let turns = self.turns.entry(key.clone()).or_default();
        let place = turns.iter().position(|turn| turn.step == step).unwrap_or_else(|| {
            // As if it had never been written: the first time is not another one.
            let long_ago = now.checked_sub(PEACE).unwrap_or(now);
            let (failures, again) = (0, 0);
            turns.push(PacedWrite {
                step,
                what,
                failures,
                again,
                not_before: now,
                last: long_ago,
                told: None,
            });
            turns.len() - 1
        });
        &mut turns[place]
    }
}

impl PacedWrite {
    fn is_news(&mut self, code: u16, now: Instant) -> bool {
        let news = self.told.is_none_or(|(told, at)| told != code || now - at >= SILENCE);
        if news {
            self.told = Some((code, now));
        }
        news
    }

    fn matters(&self, now: Instant) -> bool {
        self.failures > 0 || now - self.last < PEACE
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STEP: &str = "update_copy";

    fn digest(text: &str) -> Digest {
        Digest::of(&json!(text))
    }

    #[test]
    fn failures_grow_apart_and_are_told_at_the_third() {
        let (mut pace, what) = (WritePace::default(), digest("a"));
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for number in 1..=12 {
            let failed = pace.failed((&"k", STEP), what, (500, 3), now);
            assert_eq!((failed.in_a_row, failed.tell), (number, number == 3), "{number}");
            assert_eq!(pace.wait(&"k", STEP, what, now), Some(failed.pause));
            assert!(pace.is_failing(&"k", STEP, what));
            pauses.push(failed.pause);
            now += failed.pause;
            assert_eq!(pace.wait(&"k", STEP, what, now), None, "its time has come");
        }
        assert!(pauses.is_sorted() && pauses[11] == RETRY.1, "{pauses:?}");
        assert!(pace.failed((&"k", STEP), what, (429, 3), now).tell, "another cause is news");
        now += SILENCE;
        assert!(pace.failed((&"k", STEP), what, (429, 3), now).tell, "the first word is old");
    }

    #[test]
    fn a_refusal_is_told_at_once_and_a_new_word_does_not_wait() {
        let (mut pace, now) = (WritePace::default(), Instant::now());
        assert!(pace.failed((&"k", STEP), digest("a"), (422, 1), now).tell);
        assert_eq!(pace.wait(&"k", STEP, digest("b"), now), None);
        assert_eq!(pace.wait(&"k", "write_status", digest("a"), now), None, "another sort of write");
        assert_eq!(pace.wait(&"other", STEP, digest("a"), now), None);
        assert!(!pace.is_failing(&"k", STEP, digest("b")));
        // An Event is written even where the object changes all the time.
        assert!(!pace.failed((&"k", STEP), digest("b"), (500, 3), now).tell);
        assert!(pace.failed((&"k", STEP), digest("c"), (500, 3), now).tell);
    }

    #[test]
    fn the_same_written_again_and_again_is_contested_and_slows_down() {
        let (mut pace, what) = (WritePace::default(), digest("a"));
        let mut now = Instant::now();
        let mut written = 0;
        let (end, mut told) = (now + Duration::from_secs(120), Vec::new());
        while now < end {
            if pace.wait(&"k", STEP, what, now).is_none() {
                written += 1;
                let contested = pace.contested(&"k", STEP, what, now);
                told.extend(contested);
                pace.wrote((&"k", STEP), what, contested.is_some(), now);
            }
            now += Duration::from_millis(100);
        }
        assert!((8..=12).contains(&written), "{written} writes in two minutes");
        assert_eq!(told, [FREE + 1], "told once");
    }

    #[test]
    fn other_content_and_peace_begin_anew() {
        let mut pace = WritePace::default();
        let mut now = Instant::now();
        for round in 0..20 {
            let what = digest(if round % 2 == 0 { "a" } else { "b" });
            assert_eq!(pace.contested(&"k", STEP, what, now), None);
            pace.wrote((&"k", STEP), what, false, now);
            assert_eq!(pace.wait(&"k", STEP, what, now), None);
        }
        for _ in 0..20 {
            now += PEACE;
            pace.wrote((&"k", STEP), digest("a"), false, now);
            assert_eq!(pace.wait(&"k", STEP, digest("a"), now), None);
        }
        // What has failed before it went well is not contested.
        for _ in 0..20 {
            pace.failed((&"k", STEP), digest("a"), (500, 3), now);
            pace.wrote((&"k", STEP), digest("a"), false, now);
            assert_eq!(pace.wait(&"k", STEP, digest("a"), now), None);
        }
    }

    #[test]
    fn what_rests_is_forgotten() {
        let mut pace = WritePace::default();
        let now = Instant::now();
        for key in 0..MANY {
            pace.wrote((&key, STEP), digest("a"), false, now);
        }
        pace.failed((&MANY, STEP), digest("a"), (500, 3), now);
        assert_eq!(pace.turns.len(), MANY + 1);
        pace.tidy_at = 0;
        pace.wrote((&(MANY + 1), STEP), digest("a"), false, now + PEACE);
        assert_eq!(pace.turns.len(), 2, "one fails, and one is new");
        pace.forget(&MANY);
        assert_eq!(pace.turns.len(), 1);
    }
}
