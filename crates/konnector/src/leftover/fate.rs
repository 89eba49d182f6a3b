//! The fate of a CRD without a binding, by the objects that it has. Pure.

use std::time::Duration;

/// Time for the objects of a CRD to be restored after it.
const GRACE: Duration = Duration::from_mins(10);

/// The objects of a CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Empty,
    Objects,
    /// The API server does not serve the kind, yet or any more.
    Unknown,
}

/// The fate of a CRD without a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Goes,
    LookAgain(Duration),
}

/// `had_objects`: this process has seen some. `empty_for`: since it was first seen without.
pub(super) fn fate(content: Content, had_objects: bool, empty_for: Duration, poll: Duration) -> Fate {
    match content {
        Content::Objects => Fate::Stays,
        Content::Unknown => Fate::LookAgain(poll),
        Content::Empty if had_objects || empty_for >= GRACE => Fate::Goes,
        Content::Empty => Fate::LookAgain(GRACE.saturating_sub(empty_for)),
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
            (Content::Objects, false, begin, Fate::Stays),
            (Content::Objects, true, GRACE, Fate::Stays),
            (Content::Empty, true, begin, Fate::Goes),
            (Content::Empty, false, begin, Fate::LookAgain(GRACE)),
            (Content::Empty, false, nearly, Fate::LookAgain(Duration::from_secs(1))),
            (Content::Empty, false, GRACE, Fate::Goes),
            (Content::Unknown, true, GRACE, Fate::LookAgain(poll)),
            (Content::Unknown, false, begin, Fate::LookAgain(poll)),
        ] {
            assert_eq!(
                fate(content, had_objects, empty_for, poll),
                expected,
                "{content:?} {had_objects} {empty_for:?}"
            );
        }
    }
}
