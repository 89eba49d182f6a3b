//! Writes of CRDs that fail: what exists stays as it is, and people hear of it once it lasts.
//!
//! Only time brings another try. A try may replace the engine that runs, and what that says of itself would bring the
//! next one.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use portolan_runtime::{apply::WriteError, telemetry::brief};
use tokio::time::Instant;

/// Number of failures in a row after which people hear of one that may pass by itself.
const TOLERATED: u32 = 3;
/// When to try again what people have not heard of yet.
const AGAIN: Duration = Duration::from_secs(1);

/// The provider's schema could not be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// People have to hear of it.
    pub(super) is_lasting: bool,
    /// When to try again.
    pub(super) again: Duration,
}

/// The last failure of each CRD, by its name.
pub struct FailedWrites {
    /// When to try again what people have heard of.
    poll: Duration,
    last: Mutex<HashMap<String, Failed>>,
}

struct Failed {
    in_a_row: u32,
    at: Instant,
    failure: Failure,
}

impl FailedWrites {
    pub fn new(poll: Duration) -> Self {
        Self { poll, last: Mutex::default() }
    }

    /// Takes in that a CRD could not be written.
    pub(super) fn failed(&self, crd: &str, error: &WriteError) -> Failure {
        self.take_in(crd, brief(error.cause()), error, Instant::now())
    }

    /// Takes in that a CRD could not be written for want of the provider's schema.
    pub(super) fn unread(&self, crd: &str, schema: &str, error: &WriteError) -> Failure {
        let why = format!("BoundSchema {schema} of the provider cannot be read: {}", brief(error.cause()));
        self.take_in(crd, why, error, Instant::now())
    }

    fn take_in(&self, crd: &str, why: String, error: &WriteError, now: Instant) -> Failure {
        let mut last = self.last.lock();
        let in_a_row = last.get(crd).map_or(1, |known| known.in_a_row.saturating_add(1));
        let is_refusal = matches!(error, WriteError::Forbidden(_) | WriteError::Invalid(_));
        let is_lasting = is_refusal || in_a_row >= TOLERATED;
        let again = if is_lasting { self.poll } else { AGAIN.min(self.poll) };
        let failure = Failure { why, is_lasting, again };
        last.insert(crd.to_owned(), Failed { in_a_row, at: now, failure: failure.clone() });
        failure
    }

    /// The last failure, while it is too early for another try.
    pub(super) fn fresh(&self, crd: &str) -> Option<Failure> {
        self.fresh_at(crd, Instant::now())
    }

    fn fresh_at(&self, crd: &str, now: Instant) -> Option<Failure> {
        let last = self.last.lock();
        let Failed { at, failure, .. } = last.get(crd)?;
        let again = failure.again.checked_sub(now.duration_since(*at)).filter(|left| !left.is_zero())?;
        Some(Failure { again, ..failure.clone() })
    }

    pub(super) fn worked(&self, crd: &str) {
        self.last.lock().remove(crd);
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    const POLL: Duration = Duration::from_secs(15);

    fn answer(code: u16) -> WriteError {
        let status = Status { code, message: "no".to_owned(), ..Status::default() };
        WriteError::from(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn refusals_are_told_at_once_and_what_may_end_by_itself_at_the_third_try() {
        for (code, expected) in [
            (403, [true, true, true]),
            (422, [true, true, true]),
            (413, [false, false, true]),
            (429, [false, false, true]),
            (500, [false, false, true]),
            (504, [false, false, true]),
        ] {
            let writes = FailedWrites::new(POLL);
            let failed = || writes.failed("as.a.dev", &answer(code)).is_lasting;
            assert_eq!([failed(), failed(), failed()], expected, "{code}");
            writes.worked("as.a.dev");
            assert_eq!(failed(), expected[0], "{code}: it starts anew");
        }
    }

    #[test]
    fn only_time_brings_another_try() {
        for (code, waits) in [(422, [POLL; 3]), (500, [AGAIN, AGAIN, POLL])] {
            let (writes, mut now) = (FailedWrites::new(POLL), Instant::now());
            for wait in waits {
                let failure = writes.take_in("as.a.dev", "no".to_owned(), &answer(code), now);
                assert_eq!(failure.again, wait, "{code}");
                let half = Some(Failure { again: wait / 2, ..failure });
                assert_eq!(writes.fresh_at("as.a.dev", now + wait / 2), half, "{code}");
                assert_eq!(writes.fresh_at("bs.a.dev", now), None, "{code}: of another CRD");
                now += wait;
                assert_eq!(writes.fresh_at("as.a.dev", now), None, "{code}: its time has come");
            }
            writes.failed("as.a.dev", &answer(code));
            assert!(writes.fresh("as.a.dev").is_some(), "{code}");
            writes.worked("as.a.dev");
            assert_eq!(writes.fresh("as.a.dev"), None, "{code}");
        }
        let often = FailedWrites::new(AGAIN / 2);
        assert_eq!(often.failed("as.a.dev", &answer(500)).again, AGAIN / 2);
    }

    #[test]
    fn a_schema_that_cannot_be_read_is_not_taken_for_a_crd_that_is_refused() {
        let failure = FailedWrites::new(POLL).unread("as.a.dev", "as.a.dev", &answer(504));
        assert_eq!(failure.why, "BoundSchema as.a.dev of the provider cannot be read: no");
    }
}
