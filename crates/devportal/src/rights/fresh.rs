//! Requesters whose rights were written a moment ago.

use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use crate::names::RequesterAt;

/// Time within which new keys of a requester are gathered into one write. The first is written at once, and nothing that
/// takes rights away waits.
pub(super) const GATHER: Duration = Duration::from_millis(500);
/// The same while many keys wait to be worked on, and for the first write as well: a write of each Role per key would
/// keep them waiting.
const GATHER_IN_BACKLOG: Duration = Duration::from_secs(15);
/// Number of waiting keys from which on there is a backlog.
const BACKLOG: usize = 100;
/// Number of requesters that are remembered.
const REMEMBERED: u64 = 10_000;

/// When the Roles of requesters were last written, or first wanted.
pub struct FreshRights {
    written: Cache<RequesterAt, Instant>,
    wanted: Cache<RequesterAt, Instant>,
}

impl Default for FreshRights {
    fn default() -> Self {
        let written = Cache::builder().max_capacity(REMEMBERED).time_to_live(GATHER_IN_BACKLOG).build();
        // What is wanted is remembered for longer than it may wait, however much that is: else it would wait again.
        Self { written, wanted: Cache::builder().time_to_live(GATHER_IN_BACKLOG * 2).build() }
    }
}

impl FreshRights {
    /// Returns `true` if what a requester's Role would gain can still be gathered, with this many keys waiting.
    pub(super) fn gathers(&self, at: &RequesterAt, waiting: usize) -> bool {
        let within = |since: Option<Instant>, time| since.is_some_and(|since| since.elapsed() < time);
        if waiting > BACKLOG {
            let wanted = self.wanted.get_with(at.clone(), Instant::now);
            return within(Some(wanted), GATHER_IN_BACKLOG);
        }
        within(self.written.get(at), GATHER)
    }

    pub(super) fn note(&self, at: &RequesterAt) {
        self.written.insert(at.clone(), Instant::now());
        self.wanted.invalidate(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_waiting_keys_are_gathered_for_longer_and_for_the_first_write_too() {
        let at = |user: &str| RequesterAt { namespace: "apis".to_owned(), user: user.to_owned() };
        let rights = FreshRights::default();
        assert!(!rights.gathers(&at("jane"), 0), "the first key of somebody is there at once");
        rights.note(&at("jane"));
        let table = [
            (0, 0, true),
            (499, 0, true),
            (500, 0, false),
            (500, 101, true),
            (15_499, 101, true),
            (15_500, 101, false),
            (16_000, 101, false),
        ];
        let mut passed = 0;
        for (millis, waiting, expected) in table {
            tokio::time::advance(Duration::from_millis(millis - passed)).await;
            passed = millis;
            assert_eq!(rights.gathers(&at("jane"), waiting), expected, "{millis} ms, {waiting} waiting");
        }
        rights.note(&at("jane"));
        assert!(rights.gathers(&at("jane"), 101) && rights.gathers(&at("john"), 101));
        assert!(!rights.gathers(&at("john"), 100));
    }
}
