//! The clusters that did not say in time whether they know a caller. Nobody waits for them again and again.

use std::time::Duration;

use moka::sync::Cache;

/// How long a cluster is not waited for that has not answered.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// How long it is waited for meanwhile, and how soon a review is missed.
pub const SHORT: Duration = Duration::from_secs(1);
/// Maximum number of such clusters.
const MAX_SILENT: u64 = 10_000;

/// The names of these clusters.
#[derive(Debug)]
pub struct SilentClusters(Cache<String, ()>);

impl Default for SilentClusters {
    fn default() -> Self {
        Self::of(SILENT_FOR)
    }
}

impl SilentClusters {
    fn of(time: Duration) -> Self {
        Self(Cache::builder().max_capacity(MAX_SILENT).time_to_live(time).build())
    }

    /// How long a cluster is waited for, if others are for this long.
    pub fn patience(&self, name: &str, usual: Duration) -> Duration {
        if self.0.contains_key(name) { SHORT.min(usual) } else { usual }
    }

    /// A cluster has answered, or not.
    pub fn note(&self, name: &str, is_silent: bool) {
        if is_silent {
            // Whom nobody has waited for long again gets its chance in time.
            self.0.entry_by_ref(name).or_insert(());
        } else {
            self.0.invalidate(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_long_for_who_is_silent() {
        let (silent, usual) = (SilentClusters::default(), Duration::from_secs(10));
        assert_eq!(silent.patience("a", usual), usual);
        silent.note("a", true);
        assert_eq!((silent.patience("a", usual), silent.patience("b", usual)), (SHORT, usual));
        assert_eq!(silent.patience("a", SHORT / 2), SHORT / 2);
        silent.note("a", false);
        assert_eq!(silent.patience("a", usual), usual);
    }

    #[test]
    fn whoever_is_asked_again_and_again_is_waited_for_in_time() {
        let silent = SilentClusters::of(SHORT / 10);
        let (usual, begin) = (Duration::from_secs(10), std::time::Instant::now());
        silent.note("a", true);
        while silent.patience("a", usual) == SHORT {
            // It was not waited for longer than that.
            silent.note("a", true);
            assert!(begin.elapsed() < usual, "it is never waited for again");
            std::thread::sleep(SHORT / 100);
        }
    }
}
