//! Reads of a target in turns, so that all clusters together need little memory and none holds up another: the head of
//! a response is awaited without a turn, each cluster has a turn of its own for small responses, and one that has sent
//! a large response too slowly waits for the next behind others of its kind.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use portolan_runtime::{
    capped::Pace,
    client::{ReadError, open, read_body},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{Discovery, fault::of_read};
use crate::problem::Problem;

/// Maximum size of a small response.
pub(super) const SMALL: usize = 2 * 1024 * 1024;
/// Number of small responses that are read at a time, beside one of each cluster.
const SMALL_AT_A_TIME: usize = 48;
/// Number of large responses that are read at a time, beside one of a cluster that was slow.
const LARGE_AT_A_TIME: usize = 2;
/// Limit for the head of a response.
const HEAD: Duration = Duration::from_secs(10);
/// Limit for a large response.
const TOTAL: Duration = Duration::from_secs(30);
/// A small response must arrive within the rest of that.
const SMALL_PACE: Pace = Pace { bytes: usize::MAX, within: Duration::from_secs(20) };
/// Each MiB of a large response must arrive within five seconds.
const LARGE_PACE: Pace = Pace { bytes: 1024 * 1024, within: Duration::from_secs(5) };

/// The turns that clusters share.
#[derive(Debug)]
pub(super) struct SharedTurns {
    small: Semaphore,
    large: Semaphore,
    slow: Semaphore,
}

/// The turns that a cluster has for itself.
#[derive(Debug)]
pub struct OwnTurns {
    small: Semaphore,
    large: Semaphore,
    /// `true` if its last large response came too slowly.
    is_slow: AtomicBool,
}

impl Default for SharedTurns {
    fn default() -> Self {
        Self {
            small: Semaphore::new(SMALL_AT_A_TIME),
            large: Semaphore::new(LARGE_AT_A_TIME),
            slow: Semaphore::new(1),
        }
    }
}

impl Default for OwnTurns {
    fn default() -> Self {
        Self { small: Semaphore::new(1), large: Semaphore::new(1), is_slow: AtomicBool::new(false) }
    }
}

/// A response. A large one keeps its turns, so that few are in memory until they are parsed.
pub(super) struct TargetResponse<'a> {
    pub(super) bytes: Bytes,
    _turns: [Option<SemaphorePermit<'a>>; 2],
}

impl Discovery {
    /// Reads a response of at most `max_bytes`.
    pub(super) async fn read(
        &self,
        path: &str,
        accept: &str,
        max_bytes: usize,
    ) -> Result<TargetResponse<'_>, Problem> {
        let answer = match self.read_small(path, accept, SMALL.min(max_bytes)).await {
            Err(ReadError::TooLarge(limit)) if limit < max_bytes => {
                self.read_large(path, accept, max_bytes).await
            }
            other => other.map(|bytes| TargetResponse { bytes, _turns: [None, None] }),
        };
        // The hash in the path means nothing to people.
        let shown = path.split('?').next().unwrap_or_default();
        answer.map_err(|error| of_read(&error, shown, &self.target))
    }

    /// Reads a small response.
    pub(super) async fn read_small(
        &self,
        path: &str,
        accept: &str,
        max_bytes: usize,
    ) -> Result<Bytes, ReadError> {
        let body = open(&self.client, path, accept, HEAD).await?;
        let _turn = tokio::select! {
            biased;
            own = self.turns.small.acquire() => own,
            shared = self.workshop.turns.small.acquire() => shared,
        };
        read_body(body, max_bytes, SMALL_PACE).await
    }

    async fn read_large(
        &self,
        path: &str,
        accept: &str,
        max_bytes: usize,
    ) -> Result<TargetResponse<'_>, ReadError> {
        let (own, shared) = (&self.turns, &self.workshop.turns);
        let first = own.large.acquire().await.ok();
        let lane = if own.is_slow.load(Ordering::Relaxed) { &shared.slow } else { &shared.large };
        let second = lane.acquire().await.ok();
        let reading = async {
            let body = open(&self.client, path, accept, HEAD).await?;
            read_body(body, max_bytes, LARGE_PACE).await
        };
        let read = timeout(TOTAL, reading).await.unwrap_or(Err(ReadError::Timeout(TOTAL)));
        own.is_slow.store(matches!(read, Err(ReadError::Timeout(_))), Ordering::Relaxed);
        Ok(TargetResponse { bytes: read?, _turns: [first, second] })
    }
}
