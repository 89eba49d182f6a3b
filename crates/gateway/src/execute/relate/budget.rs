//! The limits of the relations of one answer: reads, bytes, and time without a pause.

use std::sync::atomic::AtomicUsize;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
};

use super::super::{
    Asking, SIDE_BY_SIDE,
    room::{Room, take},
};

/// Maximum number of reads for the relations of one answer.
pub(super) const MAX_READS: usize = 1_000;
/// Steps after which others have their turn.
const STRIDE: usize = 4_096;

/// The rest of the budget of one answer, for all depths of its relations together.
pub struct Budget {
    reads: AtomicUsize,
    /// Bytes of what the relations begin at.
    pub(in super::super) root: Room,
    /// Bytes that are read, and kept until they are written.
    pub(super) read: Room,
    /// Bytes that are written: an object counts wherever it is written, and once more for each relation around it.
    pub(super) written: Room,
    /// The least that objects take for each place where they belong.
    pub(super) belonging: Room,
    turns: Semaphore,
}

impl Budget {
    /// Nothing is taken yet.
    pub const fn of(asking: Asking<'_>) -> Self {
        Self {
            reads: AtomicUsize::new(MAX_READS),
            root: Room::of(asking.max_response),
            read: Room::of(asking.max_response),
            written: Room::of(asking.max_response),
            belonging: Room::of(asking.max_response),
            turns: Semaphore::const_new(SIDE_BY_SIDE),
        }
    }

    /// Takes reads, if so many are left.
    pub(super) fn take_reads(&self, count: usize) -> bool {
        take(&self.reads, count)
    }

    /// Waits for a turn to read.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }
}

/// Counts the steps of long work.
#[derive(Default)]
pub(super) struct Pace(usize);

impl Pace {
    /// Some steps are done. Others have their turn if they are many.
    pub(super) async fn step(&mut self, count: usize) {
        self.0 += count;
        if self.0 >= STRIDE {
            self.0 = 0;
            yield_now().await;
        }
    }
}
