//! How far a watch has come. Replicas lag behind each other, so that a page says which versions it has seen, and none
//! answers with less.

use std::{collections::VecDeque, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::watch, time::timeout};

/// Ends of objects that are remembered.
const MAX_ENDS: usize = 256;
/// Time that a watch has to come that far.
const PATIENCE: Duration = Duration::from_secs(2);

/// The newest version that a watch has shown, and how objects ended.
pub struct WatchProgress {
    seen: watch::Sender<u128>,
    ends: Mutex<VecDeque<(String, u128)>>,
}

impl Default for WatchProgress {
    fn default() -> Self {
        Self { seen: watch::Sender::new(0), ends: Mutex::default() }
    }
}

impl WatchProgress {
    /// Everything up to a version was seen. One that is no number says nothing.
    pub fn shown(&self, version: u128) {
        if version < u128::MAX {
            self.seen.send_modify(|seen| *seen = version.max(*seen));
        }
    }

    /// The object of a uid has ended with a version.
    pub fn ended(&self, uid: String, version: u128) {
        {
            let mut ends = self.ends.lock();
            if ends.len() >= MAX_ENDS {
                ends.pop_front();
            }
            ends.push_back((uid, version));
        }
        self.shown(version);
    }

    /// Returns `true` if the watch has come to a version.
    pub fn has(&self, version: u128) -> bool {
        *self.seen.borrow() >= version
    }

    /// Waits for a version; `false` if the watch does not come that far in time.
    pub async fn until(&self, version: u128) -> bool {
        let mut seen = self.seen.subscribe();
        timeout(PATIENCE, seen.wait_for(|seen| *seen >= version)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Returns `true` if the watch has lately shown the end of the object of a uid.
    pub fn has_ended(&self, uid: &str) -> bool {
        self.ends.lock().iter().any(|(known, _)| known == uid)
    }

    /// The version with which the object of a uid ended, once the watch has shown that.
    pub async fn end_of(&self, uid: &str) -> Option<u128> {
        let find = || {
            let ends = self.ends.lock();
            ends.iter().rev().find(|(known, _)| known == uid).map(|(_, version)| *version)
        };
        let mut seen = self.seen.subscribe();
        let _ = timeout(PATIENCE, seen.wait_for(|_| find().is_some())).await;
        find()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_version_is_waited_for_but_not_for_ever() {
        let reach = WatchProgress::default();
        reach.shown(5);
        reach.shown(3);
        reach.shown(u128::MAX);
        assert!(reach.has(5) && !reach.has(6));
        assert!(reach.until(5).await && !reach.until(6).await);
        let (came, ()) = tokio::join!(reach.until(6), async { reach.shown(7) });
        assert!(came);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_object_has_its_version() {
        let reach = WatchProgress::default();
        let (end, ()) = tokio::join!(reach.end_of("a"), async { reach.ended("a".to_owned(), 9) });
        assert_eq!((end, reach.end_of("b").await), (Some(9), None));
        assert!(reach.has_ended("a") && !reach.has_ended("b"));
        for number in 0..MAX_ENDS {
            reach.ended(format!("x{number}"), 10);
        }
        assert_eq!(reach.end_of("a").await, None, "memory is bounded");
    }
}
