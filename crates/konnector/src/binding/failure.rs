//! Writes of CRDs that fail: what exists stays and works, and people hear of it once it lasts.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use portolan_runtime::{apply::WriteError, telemetry::brief};

/// Number of failures in a row after which people hear of one that may pass by itself.
const TOLERATED: u32 = 3;
/// When to try again what people have not heard of yet.
pub(super) const AGAIN: Duration = Duration::from_secs(1);

/// The provider's schema could not be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    /// People have to hear of it.
    pub(super) is_lasting: bool,
}

/// Failures in a row, by the name of the CRD.
#[derive(Default)]
pub struct FailedWrites(Mutex<HashMap<String, u32>>);

impl FailedWrites {
    pub(super) fn failed(&self, crd: &str, error: &WriteError) -> Failure {
        let mut all = self.0.lock();
        let in_a_row = all.entry(crd.to_owned()).or_default();
        *in_a_row = in_a_row.saturating_add(1);
        let is_refusal = matches!(error, WriteError::Forbidden(_) | WriteError::Invalid(_));
        Failure { why: brief(error.cause()), is_lasting: is_refusal || *in_a_row >= TOLERATED }
    }

    pub(super) fn worked(&self, crd: &str) {
        self.0.lock().remove(crd);
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

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
            let writes = FailedWrites::default();
            let failed = || {
                let status = Status { code, message: "no".to_owned(), ..Status::default() };
                let error = WriteError::from(kube::Error::Api(Box::new(status)));
                writes.failed("as.a.dev", &error).is_lasting
            };
            assert_eq!([failed(), failed(), failed()], expected, "{code}");
            writes.worked("as.a.dev");
            assert_eq!(failed(), expected[0], "{code}: it starts anew");
        }
    }
}
