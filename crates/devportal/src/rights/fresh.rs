//! Requesters whose rights were written a moment ago.

use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use crate::names::RequesterAt;

/// Time within which new keys of a requester are gathered into one write. The first is written at once, and nothing that
/// takes rights away waits.
pub(super) const GATHER: Duration = Duration::from_millis(500);
/// The same while many keys wait to be worked on: a write of each Role per key would keep them waiting.
const GATHER_IN_BACKLOG: Duration = Duration::from_secs(15);
/// Number of waiting keys from which on there is a backlog.
const BACKLOG: usize = 100;
/// Number of requesters that are remembered.
const REMEMBERED: u64 = 10_000;

/// When the Roles of requesters were last written.
pub struct FreshRights(Cache<RequesterAt, Instant>);

impl Default for FreshRights {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).time_to_live(GATHER_IN_BACKLOG).build())
    }
}

impl FreshRights {
    /// Returns `true` if what a requester's Role would gain can still be gathered, with this many keys waiting.
    pub(super) fn has(&self, at: &RequesterAt, waiting: usize) -> bool {
        let time = if waiting > BACKLOG { GATHER_IN_BACKLOG } else { GATHER };
        self.0.get(at).is_some_and(|written| written.elapsed() < time)
    }

    pub(super) fn note(&self, at: &RequesterAt) {
        self.0.insert(at.clone(), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_waiting_keys_are_gathered_for_longer() {
        let at = |user: &str| RequesterAt { namespace: "apis".to_owned(), user: user.to_owned() };
        let rights = FreshRights::default();
        rights.note(&at("jane"));
        let table = [
            (0, 0, true),
            (499, 0, true),
            (500, 0, false),
            (500, 101, true),
            (14_999, 101, true),
            (15_000, 101, false),
        ];
        let mut passed = 0;
        for (millis, waiting, expected) in table {
            tokio::time::advance(Duration::from_millis(millis - passed)).await;
            passed = millis;
            assert_eq!(rights.has(&at("jane"), waiting), expected, "{millis} ms, {waiting} waiting");
        }
        assert!(!rights.has(&at("john"), 101));
    }
}
