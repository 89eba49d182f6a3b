//! The limits of the relations of one answer: reads, bytes, and time without a pause.

use std::sync::atomic::AtomicUsize;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::yield_now,
};

use super::super::{
    RequestContext, SIDE_BY_SIDE,
    room::{ByteRoom, take},
};

/// Maximum number of reads for the relations of one answer.
pub(super) const MAX_READS: usize = 1_000;
/// Steps after which others have their turn.
const STRIDE: usize = 4_096;

/// The rest of the budget of one answer, for all depths of its relations together.
pub struct AnswerBudget {
    reads: AtomicUsize,
    /// Bytes of what the relations begin at.
    pub(in super::super) root: ByteRoom,
    /// Bytes that are read, and kept until they are written.
    pub(super) read: ByteRoom,
    /// Bytes that are written: an object counts wherever it is written, and once more for each relation around it.
    pub(super) written: ByteRoom,
    /// The least that objects take for each place where they belong.
    pub(super) belonging: ByteRoom,
    turns: Semaphore,
}

impl AnswerBudget {
    /// Nothing is taken yet.
    pub const fn of(asking: RequestContext<'_>) -> Self {
        Self {
            reads: AtomicUsize::new(MAX_READS),
            root: ByteRoom::of(asking.max_response),
            read: ByteRoom::of(asking.max_response),
            written: ByteRoom::of(asking.max_response),
            belonging: ByteRoom::of(asking.max_response),
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
pub(super) struct WorkPace(usize);

impl WorkPace {
    /// Some steps are done. Others have their turn if they are many.
    pub(super) async fn step(&mut self, count: usize) {
        self.0 += count;
        if self.0 >= STRIDE {
            self.0 = 0;
            yield_now().await;
        }
    }
}
