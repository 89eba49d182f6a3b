//! The bytes that all memories of the process may take together. What was not read for the longest time goes first.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use portolan_runtime::metrics::Gauges;

use super::kept::KeptKind;

/// Time without a read after which a kind makes room for another one.
const COLD: Duration = Duration::from_secs(60);

/// The budget.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: i64,
    /// May be negative for a moment, while a kind is emptied before what came last is counted.
    used: AtomicI64,
    kinds: Mutex<Vec<Weak<KeptKind>>>,
    gauge: Gauges,
}

impl MemoryBudget {
    /// A budget of which nothing is used.
    pub fn new(limit: u64, gauge: Gauges) -> Self {
        gauge.with_label_values::<&str>(&[]).set(0);
        let limit = signed(limit);
        Self { limit, used: AtomicI64::new(0), kinds: Mutex::default(), gauge }
    }

    /// Counts a kind from now on.
    pub fn add(&self, kept: &Arc<KeptKind>) {
        let mut kinds = self.kinds.lock();
        kinds.retain(|known| known.strong_count() > 0);
        kinds.push(Arc::downgrade(kept));
    }

    /// Records that the size of a kind has changed. The coldest kinds are emptied as far as necessary.
    pub fn changed(&self, before: u64, after: u64) {
        self.used.fetch_add(signed(after) - signed(before), Ordering::Relaxed);
        if after > before {
            while self.used.load(Ordering::Relaxed) > self.limit && self.empty_one(Duration::ZERO, None) {}
        }
        self.gauge.with_label_values::<&str>(&[]).set(self.used.load(Ordering::Relaxed));
    }

    /// Makes room for what a kind is going to take, as far as nobody reads the others. False if that is not enough.
    pub fn has_room(&self, kept: &Arc<KeptKind>, needed: u64) -> bool {
        let needed = signed(needed);
        if needed > self.limit {
            return false;
        }
        while self.used.load(Ordering::Relaxed) + needed > self.limit {
            if !self.empty_one(COLD, Some(kept)) {
                return false;
            }
        }
        true
    }

    /// Empties the coldest kind that was not read for some time. False if there is none.
    fn empty_one(&self, unread: Duration, but: Option<&Arc<KeptKind>>) -> bool {
        let kinds: Vec<_> = self.kinds.lock().iter().filter_map(Weak::upgrade).collect();
        let others = kinds.iter().filter(|kept| but.is_none_or(|but| !Arc::ptr_eq(but, kept)));
        let full = others.filter(|kept| kept.weight() > 0 && kept.unread_for() >= unread);
        match full.max_by_key(|kept| kept.unread_for()) {
            Some(kept) => {
                self.used.fetch_sub(signed(kept.clear()), Ordering::Relaxed);
                true
            }
            None => false,
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use portolan_runtime::{metrics::Metrics, tasks::Tasks};
    use tokio::time::advance;

    use super::{
        super::tests::{object, resource},
        *,
    };

    /// A kind that was asked for twice, with an object.
    fn filled(budget: &MemoryBudget) -> (Arc<KeptKind>, u64) {
        let kept = Arc::new(KeptKind::new(resource("", "pods")));
        budget.add(&kept);
        let tasks = Tasks::default();
        assert!(kept.asked(&tasks).is_none());
        let (filling, _) = kept.asked(&tasks).unwrap();
        let filled = kept.fill(filling, |held| held.put(object("n/a", 1, ""))).unwrap();
        budget.changed(filled.before, filled.after);
        (kept, filled.after)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_read_for_the_longest_time_goes_first() {
        let gauge = Metrics::new("gateway").gauges("memory_bytes", "help", &[]);
        let one = filled(&MemoryBudget::new(u64::MAX, gauge.clone())).1;
        let budget = MemoryBudget::new(one * 2, gauge.clone());
        let (first, _) = filled(&budget);
        advance(Duration::from_secs(1)).await;
        let (second, _) = filled(&budget);
        advance(Duration::from_secs(1)).await;
        first.note_read();
        assert!(!budget.has_room(&first, one * 3), "more than everything");
        assert!(!budget.has_room(&Arc::new(KeptKind::new(resource("", "x"))), one), "all are read");
        let (third, _) = filled(&budget);
        assert_eq!([first.is_open(), second.is_open(), third.is_open()], [true, false, true]);
        assert_eq!(gauge.with_label_values::<&str>(&[]).get(), signed(one * 2));
        advance(COLD).await;
        assert!(budget.has_room(&third, one), "the first was not read for a minute");
        assert_eq!([first.is_open(), third.is_open()], [false, true]);
    }
}
