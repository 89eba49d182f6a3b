//! The fate of a CRD without a binding, by the objects that it has. Pure.

use std::time::Duration;

/// Time for the objects of a CRD to be restored after it.
const GRACE: Duration = Duration::from_mins(10);

/// The objects of a CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrdContent {
    Empty,
    Objects,
    /// The API server does not serve the kind, yet or any more.
    Unknown,
}

/// The fate of a CRD without a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CrdFate {
    Stays,
    Goes,
    LookAgain(Duration),
}

/// `had_objects`: this process has seen some. `empty_for`: since it was first seen without.
pub(super) fn fate(content: CrdContent, had_objects: bool, empty_for: Duration, poll: Duration) -> CrdFate {
    match content {
        CrdContent::Objects => CrdFate::Stays,
        CrdContent::Unknown => CrdFate::LookAgain(poll),
        CrdContent::Empty if had_objects || empty_for >= GRACE => CrdFate::Goes,
        CrdContent::Empty => CrdFate::LookAgain(GRACE.saturating_sub(empty_for)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crd_goes_with_its_last_object_and_waits_for_those_that_a_backup_brings() {
        let poll = Duration::from_secs(15);
        let (begin, nearly) = (Duration::ZERO, GRACE.saturating_sub(Duration::from_secs(1)));
        for (content, had_objects, empty_for, expected) in [
            (CrdContent::Objects, false, begin, CrdFate::Stays),
            (CrdContent::Objects, true, GRACE, CrdFate::Stays),
            (CrdContent::Empty, true, begin, CrdFate::Goes),
            (CrdContent::Empty, false, begin, CrdFate::LookAgain(GRACE)),
            (CrdContent::Empty, false, nearly, CrdFate::LookAgain(Duration::from_secs(1))),
            (CrdContent::Empty, false, GRACE, CrdFate::Goes),
            (CrdContent::Unknown, true, GRACE, CrdFate::LookAgain(poll)),
            (CrdContent::Unknown, false, begin, CrdFate::LookAgain(poll)),
        ] {
            assert_eq!(
                fate(content, had_objects, empty_for, poll),
                expected,
                "{content:?} {had_objects} {empty_for:?}"
            );
        }
    }
}
