//! Notices that wait: in order for each key, and bounded.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use portolan_runtime::{backoff::Backoff, queue::WorkQueue};

use crate::names::ObjectName;

/// Notices that may wait at a time.
const MOST: usize = 10_000;
/// Attempts before a notice is given up.
const ATTEMPTS: u32 = 12;
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(10 * 60);

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNotice {
    pub id: String,
    pub kind: &'static str,
    pub of: ObjectName,
    pub body: Vec<u8>,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryVerdict {
    Delivered,
    /// After this time, if the receiver has said so.
    Again(Option<Duration>),
    Refused(u16),
}

/// The next step after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledNotice {
    pub word: &'static str,
    pub again: Option<Duration>,
}

/// All notices, by the UID of their key.
#[derive(Debug, Default)]
pub struct WaitingNotices {
    pub queue: Arc<WorkQueue<String>>,
    inner: Mutex<NoticesByKey>,
}

#[derive(Debug, Default)]
struct NoticesByKey {
    notices: HashMap<String, VecDeque<(KeyNotice, u32)>>,
    number: usize,
}

impl WaitingNotices {
    /// Adds a notice. Returns `false` if there are too many already.
    pub fn push(&self, key: String, notice: KeyNotice) -> bool {
        let mut inner = self.inner.lock();
        if inner.number >= MOST {
            return false;
        }
        inner.number += 1;
        let of_key = inner.notices.entry(key.clone()).or_default();
        of_key.push_back((notice, 0));
        // A key whose first notice waits for another attempt is in the queue already.
        if of_key.len() == 1 {
            self.queue.add(key);
        }
        true
    }

    pub fn first(&self, key: &str) -> Option<KeyNotice> {
        self.inner.lock().notices.get(key)?.front().map(|(notice, _)| notice.clone())
    }

    pub fn len(&self) -> usize {
        self.inner.lock().number
    }

    /// Takes the first notice of a key off, or counts the attempt.
    pub fn settle(&self, key: &str, verdict: &DeliveryVerdict) -> SettledNotice {
        let mut inner = self.inner.lock();
        let Some(first) = inner.notices.get_mut(key).and_then(VecDeque::front_mut) else {
            return SettledNotice { word: "delivered", again: None };
        };
        first.1 += 1;
        let word = match verdict {
            DeliveryVerdict::Delivered => "delivered",
            DeliveryVerdict::Again(after) if first.1 < ATTEMPTS => {
                let ceiling = Backoff::ceiling(RETRY_MIN, RETRY_MAX, first.1 - 1);
                let wait = after.map_or_else(
                    || Backoff::new(ceiling, ceiling).next_delay(),
                    |after| after.min(RETRY_MAX),
                );
                return SettledNotice { word: "retried", again: Some(wait) };
            }
            DeliveryVerdict::Again(_) | DeliveryVerdict::Refused(_) => "given_up",
        };
        inner.number -= 1;
        let is_last = inner.notices.get_mut(key).is_none_or(|of_key| {
            of_key.pop_front();
            of_key.is_empty()
        });
        if is_last {
            inner.notices.remove(key);
        }
        SettledNotice { word, again: (!is_last).then_some(Duration::ZERO) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(id: &str) -> KeyNotice {
        KeyNotice { id: id.to_owned(), kind: "approved", of: ObjectName::new("a", "k"), body: Vec::new() }
    }

    #[test]
    fn notices_of_a_key_keep_their_order() {
        let waiting = WaitingNotices::default();
        for id in ["1", "2"] {
            assert!(waiting.push("k".to_owned(), notice(id)));
        }
        let retried = waiting.settle("k", &DeliveryVerdict::Again(None));
        assert!(retried.word == "retried" && retried.again.unwrap() <= RETRY_MIN);
        assert_eq!(waiting.first("k").unwrap().id, "1");
        assert_eq!(
            waiting.settle("k", &DeliveryVerdict::Delivered),
            SettledNotice { word: "delivered", again: Some(Duration::ZERO) }
        );
        assert_eq!(waiting.first("k").unwrap().id, "2");
        assert_eq!(
            waiting.settle("k", &DeliveryVerdict::Refused(410)),
            SettledNotice { word: "given_up", again: None }
        );
        assert_eq!((waiting.len(), waiting.first("k")), (0, None));
    }

    #[test]
    fn what_nobody_takes_is_given_up_and_memory_is_bounded() {
        let waiting = WaitingNotices::default();
        waiting.push("k".to_owned(), notice("1"));
        let words: Vec<_> =
            (0..ATTEMPTS).map(|_| waiting.settle("k", &DeliveryVerdict::Again(None)).word).collect();
        assert_eq!(words.iter().filter(|word| **word == "retried").count(), 11);
        assert_eq!(words.last(), Some(&"given_up"));
        for number in 0..MOST {
            assert!(waiting.push(number.to_string(), notice("1")));
        }
        assert!(!waiting.push("more".to_owned(), notice("1")));
    }
}
