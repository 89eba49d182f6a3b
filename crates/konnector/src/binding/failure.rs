//! Writes of CRDs that fail: what exists stays as it is, and people hear of it once it lasts.
//!
//! Only time brings another try. A try may replace the engine that runs, and what that says of itself would bring the
//! next one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::api::ObjectMeta;
use parking_lot::Mutex;
use portolan_runtime::{apply::WriteError, telemetry::brief};
use tokio::time::Instant;

use super::objection::SchemaObjection;
use crate::{
    bodies::{ComparisonResult, ObjectVersion, version_of},
    sync::EngineKey,
};

/// Number of failures in a row after which people hear of one that may pass by itself.
const TOLERATED: u32 = 3;
/// When to try again what people have not heard of yet.
const AGAIN: Duration = Duration::from_secs(1);

/// The provider's schema could not be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SchemaFailure {
    pub(super) why: String,
    /// There was no CRD: it was to be made.
    pub(super) created: bool,
    /// People have to hear of it.
    pub(super) is_lasting: bool,
    /// When to try again.
    pub(super) again: Duration,
}

/// The last failure of each CRD of a binding.
pub struct FailedWrites {
    /// When to try again what people have heard of.
    poll: Duration,
    last: Mutex<HashMap<EngineKey, FailureStreak>>,
}

struct FailureStreak {
    in_a_row: u32,
    at: Instant,
    failure: SchemaFailure,
    /// The state of the CRD that stays as it was, in this version of it.
    found: Option<(ObjectVersion, Arc<ComparisonResult<SchemaObjection>>)>,
}

impl FailedWrites {
    pub fn new(poll: Duration) -> Self {
        Self { poll, last: Mutex::default() }
    }

    /// Takes in that a CRD could not be written.
    pub(super) fn failed(&self, key: &EngineKey, created: bool, error: &WriteError) -> SchemaFailure {
        self.take_in(key, created, brief(error.cause()), error, Instant::now())
    }

    /// Takes in that a CRD could not be written for want of the provider's schema.
    pub(super) fn unread(
        &self,
        key: &EngineKey,
        created: bool,
        schema: &str,
        error: &WriteError,
    ) -> SchemaFailure {
        let why = format!("BoundSchema {schema} of the provider cannot be read: {}", brief(error.cause()));
        self.take_in(key, created, why, error, Instant::now())
    }

    fn take_in(
        &self,
        key: &EngineKey,
        created: bool,
        why: String,
        error: &WriteError,
        now: Instant,
    ) -> SchemaFailure {
        let mut last = self.last.lock();
        let known = last.remove(key);
        let in_a_row = known.as_ref().map_or(1, |known| known.in_a_row.saturating_add(1));
        let is_refusal = matches!(error, WriteError::Forbidden(_) | WriteError::Invalid(_));
        let is_lasting = is_refusal || in_a_row >= TOLERATED;
        let again = if is_lasting { self.poll } else { AGAIN.min(self.poll) };
        let failure = SchemaFailure { why, created, is_lasting, again };
        let found = known.and_then(|known| known.found);
        last.insert(key.clone(), FailureStreak { in_a_row, at: now, failure: failure.clone(), found });
        failure
    }

    /// Remembers what the CRD is like that stays as it was: its engine can be started by that until the next try.
    pub(super) fn stays(
        &self,
        key: &EngineKey,
        crd: &ObjectMeta,
        found: &Arc<ComparisonResult<SchemaObjection>>,
    ) {
        if let Some(failed) = self.last.lock().get_mut(key) {
            failed.found = Some((version_of(crd), Arc::clone(found)));
        }
    }

    /// The state of the CRD when it could not be written, if it is still the same.
    pub(super) fn found(
        &self,
        key: &EngineKey,
        crd: &ObjectMeta,
    ) -> Option<Arc<ComparisonResult<SchemaObjection>>> {
        let last = self.last.lock();
        let (version, found) = last.get(key)?.found.as_ref()?;
        (*version == version_of(crd)).then(|| Arc::clone(found))
    }

    /// The last failure, while it is too early for another try.
    pub(super) fn fresh(&self, key: &EngineKey) -> Option<SchemaFailure> {
        self.fresh_at(key, Instant::now())
    }

    fn fresh_at(&self, key: &EngineKey, now: Instant) -> Option<SchemaFailure> {
        let last = self.last.lock();
        let FailureStreak { at, failure, .. } = last.get(key)?;
        let again = failure.again.checked_sub(now.duration_since(*at)).filter(|left| !left.is_zero())?;
        Some(SchemaFailure { again, ..failure.clone() })
    }

    /// Whatever has become of a CRD, no write of it fails any more: the next failure is the first one.
    pub(super) fn ended(&self, key: &EngineKey) {
        self.last.lock().remove(key);
    }

    /// Forgets the CRDs of a binding, other than those in `keep`.
    pub(super) fn forget(&self, binding: &str, keep: &[String]) {
        self.last.lock().retain(|key, _| key.binding != binding || keep.contains(&key.crd));
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    const POLL: Duration = Duration::from_secs(15);

    fn key(crd: &str) -> EngineKey {
        EngineKey { binding: "prod".to_owned(), crd: crd.to_owned() }
    }

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
            let failed = || writes.failed(&key("as.a.dev"), false, &answer(code)).is_lasting;
            assert_eq!([failed(), failed(), failed()], expected, "{code}");
            writes.ended(&key("as.a.dev"));
            assert_eq!(failed(), expected[0], "{code}: it starts anew");
        }
    }

    #[test]
    fn only_time_brings_another_try() {
        for (code, waits) in [(422, [POLL; 3]), (500, [AGAIN, AGAIN, POLL])] {
            let (writes, mut now) = (FailedWrites::new(POLL), Instant::now());
            for wait in waits {
                let failure = writes.take_in(&key("as.a.dev"), false, "no".to_owned(), &answer(code), now);
                assert_eq!(failure.again, wait, "{code}");
                let half = Some(SchemaFailure { again: wait / 2, ..failure });
                assert_eq!(writes.fresh_at(&key("as.a.dev"), now + wait / 2), half, "{code}");
                assert_eq!(writes.fresh_at(&key("bs.a.dev"), now), None, "{code}: of another CRD");
                now += wait;
                assert_eq!(writes.fresh_at(&key("as.a.dev"), now), None, "{code}: its time has come");
            }
            writes.failed(&key("as.a.dev"), false, &answer(code));
            assert!(writes.fresh(&key("as.a.dev")).is_some(), "{code}");
            writes.ended(&key("as.a.dev"));
            assert_eq!(writes.fresh(&key("as.a.dev")), None, "{code}");
        }
        let often = FailedWrites::new(AGAIN / 2);
        assert_eq!(often.failed(&key("as.a.dev"), false, &answer(500)).again, AGAIN / 2);
    }

    #[test]
    fn a_schema_that_cannot_be_read_is_not_taken_for_a_crd_that_is_refused() {
        let failure = FailedWrites::new(POLL).unread(&key("as.a.dev"), true, "as.a.dev", &answer(504));
        assert_eq!(failure.why, "BoundSchema as.a.dev of the provider cannot be read: no");
    }

    #[test]
    fn failures_go_with_their_binding_or_when_its_export_drops_the_kind() {
        let writes = FailedWrites::new(POLL);
        let other = EngineKey { binding: "other".to_owned(), ..key("as.a.dev") };
        let all = [key("as.a.dev"), key("bs.a.dev"), other];
        for key in &all {
            writes.failed(key, false, &answer(422));
        }
        let known = || all.each_ref().map(|key| writes.fresh(key).is_some());
        writes.forget("prod", &["as.a.dev".to_owned()]);
        assert_eq!(known(), [true, false, true]);
        writes.forget("prod", &[]);
        assert_eq!(known(), [false, false, true]);
    }

    #[test]
    fn what_a_crd_is_like_holds_for_the_version_that_could_not_be_written() {
        let (writes, key) = (FailedWrites::new(POLL), key("as.a.dev"));
        let version = |generation| ObjectMeta {
            uid: Some("u".to_owned()),
            generation: Some(generation),
            ..ObjectMeta::default()
        };
        let found = Arc::new(ComparisonResult::of_made(&json!({})));
        writes.stays(&key, &version(1), &found);
        assert!(writes.found(&key, &version(1)).is_none(), "nothing has failed");
        writes.failed(&key, false, &answer(422));
        writes.stays(&key, &version(1), &found);
        // A schema that cannot be read says nothing new of the CRD.
        writes.unread(&key, false, "as.a.dev", &answer(504));
        assert!(writes.found(&key, &version(1)).is_some_and(|known| Arc::ptr_eq(&known, &found)));
        assert!(writes.found(&key, &version(2)).is_none(), "somebody has changed it");
        writes.ended(&key);
        assert!(writes.found(&key, &version(1)).is_none());
    }
}
