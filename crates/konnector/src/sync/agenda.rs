//! The agenda of one resource: what is known of each object on both sides, and the step that is due for it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use portolan_core::digest::Digest;
use portolan_runtime::{metrics::Gauge, queue::WorkQueue};
use serde_json::json;
use tokio::time::Instant;

use super::{
    health::EngineHealth,
    index::SyncIndex,
    key::ObjectKey,
    known::{HeldWrites, SyncSides},
    orphans::OrphanCount,
    places::SyncPlaces,
    plan::{EngineMode, SyncStep, plan},
    told::GivenNotices,
};
use crate::pace::WritePace;

/// Whatever watches, plans, writes and reports for one resource shares this.
pub(super) struct SyncAgenda {
    pub(super) places: SyncPlaces,
    pub(super) mode: EngineMode,
    pub(super) index: Mutex<SyncIndex>,
    pub(super) queue: Arc<WorkQueue<ObjectKey>>,
    /// Taken after `index`, where both are needed.
    pub(super) pace: Mutex<WritePace<ObjectKey>>,
    pub(super) told: Mutex<GivenNotices>,
    pub(super) health: EngineHealth,
    pub(super) orphans: OrphanCount,
    pub(super) objects: Gauge,
}

impl SyncAgenda {
    /// Returns `true` if nothing of ours is left on either side.
    pub(super) fn is_drained(&self) -> bool {
        let index = self.index.lock();
        self.health.consumer_listed()
            && index.keys().iter().all(|key| self.step(&index, key) == SyncStep::Nothing)
    }

    pub(super) fn step(&self, index: &SyncIndex, key: &ObjectKey) -> SyncStep {
        self.next(index, key).0
    }

    /// The next step, and how long one that has to wait for its time has to wait.
    pub(super) fn next(&self, index: &SyncIndex, key: &ObjectKey) -> (SyncStep, Option<Duration>) {
        let (pace, now) = (self.pace.lock(), Instant::now());
        let namespace = self.places.answer(&key.namespace);
        let sides = index.sides(key);
        let wait = |step: &SyncStep| pace.wait(key, step.label(), what(step, sides), now);
        let [update, annotation, status] =
            [SyncStep::UpdateCopy, SyncStep::Annotate, SyncStep::WriteStatus].map(|step| wait(&step));
        let held = HeldWrites {
            update: update.is_some(),
            update_fails: pace.is_failing(
                key,
                SyncStep::UpdateCopy.label(),
                what(&SyncStep::UpdateCopy, sides),
            ),
            annotation: annotation.is_some(),
            status: status.is_some(),
        };
        match plan(SyncSides { held, ..sides }, namespace.as_plan(), self.mode) {
            SyncStep::Wait => (SyncStep::Wait, [update, annotation, status].into_iter().flatten().min()),
            step => match wait(&step) {
                Some(left) => (SyncStep::Wait, Some(left)),
                None => (step, None),
            },
        }
    }

    /// Queues an object that needs a step, and drops what is kept for one that does not.
    pub(super) fn look_at(&self, key: ObjectKey) {
        let mut index = self.index.lock();
        match self.next(&index, &key) {
            (SyncStep::Nothing, _) => {
                index.drop_all_bodies(&key);
                if index.is_unknown(&key) {
                    self.forget(&key);
                }
            }
            (SyncStep::Wait, Some(left)) => self.queue.add_after(key, left),
            (SyncStep::Wait, None) => {}
            _ => self.queue.add(key),
        }
        self.objects.set(i64::try_from(index.len()).unwrap_or(i64::MAX));
        self.count_orphans(&index);
    }

    /// Forgets what was tried and said of an object that is gone.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.pace.lock().forget(key);
        self.told.lock().forget(key);
    }

    /// Number of copies whose origins are absent, once that is known.
    pub(super) fn orphaned(&self) -> usize {
        if self.knows_orphans() { self.index.lock().orphaned() } else { 0 }
    }

    pub(super) fn count_orphans(&self, index: &SyncIndex) {
        if self.knows_orphans() {
            self.orphans.show(index.orphaned());
        }
    }

    fn knows_orphans(&self) -> bool {
        self.mode == EngineMode::Sync && self.health.consumer_listed()
    }
}

/// Digest of what a step writes, so that the same is recognized when it is written again.
pub(super) fn what(step: &SyncStep, sides: SyncSides<'_>) -> Digest {
    match step {
        SyncStep::UpdateCopy | SyncStep::CreateCopy => {
            sides.origin.map_or(Digest::ABSENT, |origin| origin.desired)
        }
        SyncStep::WriteStatus => sides.copy.map_or(Digest::ABSENT, |copy| copy.status.whole()),
        // Another object of the name is another.
        _ => Digest::of(&json!([sides.origin.map(|origin| &origin.uid), sides.copy.map(|copy| &copy.uid)])),
    }
}
