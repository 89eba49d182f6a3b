//! The clusters that did not say in time whether they know a caller. Others do not wait for them again and again.

use std::time::Duration;

use moka::sync::Cache;

/// How long a cluster is not waited for that has not answered.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// How long it is waited for meanwhile.
const SHORT: Duration = Duration::from_secs(1);
/// Maximum number of such clusters.
const MAX_SILENT: u64 = 10_000;

/// The names of these clusters.
#[derive(Debug)]
pub struct Silent(Cache<String, ()>);

impl Default for Silent {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_SILENT).time_to_live(SILENT_FOR).build())
    }
}

impl Silent {
    /// How long a cluster is waited for, if others are for this long.
    pub fn patience(&self, name: &str, usual: Duration) -> Duration {
        if self.0.contains_key(name) { SHORT.min(usual) } else { usual }
    }

    /// A cluster has answered, or not.
    pub fn note(&self, name: &str, is_silent: bool) {
        if is_silent {
            self.0.insert(name.to_owned(), ());
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
        let (silent, usual) = (Silent::default(), Duration::from_secs(10));
        assert_eq!(silent.patience("a", usual), usual);
        silent.note("a", true);
        assert_eq!((silent.patience("a", usual), silent.patience("b", usual)), (SHORT, usual));
        assert_eq!(silent.patience("a", SHORT / 2), SHORT / 2);
        silent.note("a", false);
        assert_eq!(silent.patience("a", usual), usual);
    }
}
