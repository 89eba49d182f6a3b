//! Exports that are not there: withdrawn, or merely missing from a list.
//!
//! A DELETED event says that the provider has withdrawn an export. That one is missing from a list may as
//! well mean that the list is wrong: a backup was restored, or a proxy leads elsewhere. Objects of consumers
//! hang on the difference.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Reasons why an export is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportAbsence {
    /// Its deletion was seen.
    Withdrawn,
    /// It has been missing for this long.
    MissingFor(Duration),
}

/// Absent exports.
#[derive(Debug, Default)]
pub(super) struct AbsentExports(Mutex<AbsenceRecords>);

#[derive(Debug, Default)]
struct AbsenceRecords {
    withdrawn: HashSet<String>,
    missing_since: HashMap<String, Instant>,
}

impl AbsentExports {
    /// Takes in that the deletion of an export was seen.
    pub(super) fn withdrawn(&self, name: &str) {
        self.0.lock().withdrawn.insert(name.to_owned());
    }

    /// Takes in which exports there are.
    pub(super) fn present<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut inner = self.0.lock();
        for name in names {
            inner.withdrawn.remove(name);
            inner.missing_since.remove(name);
        }
    }

    /// The reason why an export is absent. The first time that is asked, it begins to be missing.
    pub(super) fn of(&self, name: &str) -> ExportAbsence {
        let mut inner = self.0.lock();
        if inner.withdrawn.contains(name) {
            return ExportAbsence::Withdrawn;
        }
        let since = *inner.missing_since.entry(name.to_owned()).or_insert_with(Instant::now);
        ExportAbsence::MissingFor(since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_deletion_that_was_seen_is_a_withdrawal() {
        let absences = AbsentExports::default();
        let is_missing = |absence| matches!(absence, ExportAbsence::MissingFor(_));
        assert!(is_missing(absences.of("a")));
        absences.withdrawn("a");
        assert_eq!(absences.of("a"), ExportAbsence::Withdrawn);
        absences.present(["a"].into_iter());
        assert!(is_missing(absences.of("a")));
    }

    #[test]
    fn the_time_counts_from_when_it_was_first_missed() {
        let absences = AbsentExports::default();
        absences.of("a");
        std::thread::sleep(Duration::from_millis(20));
        let missing = |name: &str| match absences.of(name) {
            ExportAbsence::MissingFor(time) => time,
            ExportAbsence::Withdrawn => panic!("nothing was withdrawn"),
        };
        assert!(missing("a") >= Duration::from_millis(20));
        absences.present(["a"].into_iter());
        assert!(missing("a") < Duration::from_millis(20));
    }
}
