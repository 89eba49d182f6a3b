//! Requesters whose rights were written a moment ago.

use std::time::Duration;

use moka::sync::Cache;

use crate::names::RequesterAt;

/// Time within which new keys of a requester are gathered into one write. The first is written at once, and nothing that
/// takes rights away waits.
pub(super) const GATHER: Duration = Duration::from_millis(500);
/// Number of requesters that are remembered.
const REMEMBERED: u64 = 10_000;

/// Requesters whose Role was written a moment ago.
pub(crate) struct FreshRights(Cache<RequesterAt, ()>);

impl Default for FreshRights {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).time_to_live(GATHER).build())
    }
}

impl FreshRights {
    pub(super) fn has(&self, at: &RequesterAt) -> bool {
        self.0.contains_key(at)
    }

    pub(super) fn note(&self, at: &RequesterAt) {
        self.0.insert(at.clone(), ());
    }
}
