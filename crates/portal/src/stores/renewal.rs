//! Reads of a kind past its watch: one for all who wait for it.

use tokio::{sync::Mutex, time::Instant};

/// When the last read was begun, and whether it worked.
#[derive(Default)]
pub struct SharedRead(Mutex<Option<(Instant, bool)>>);

impl SharedRead {
    /// Returns `true` if `is_there` says so, or after a read that works. What was begun since a reader has `asked` counts
    /// for him, too: it has what he has seen, and if it failed, nobody who waited behind it waits for another one.
    pub async fn shared(
        &self,
        asked: Instant,
        is_there: impl Fn() -> bool,
        read: impl Future<Output = bool>,
    ) -> bool {
        let mut last = self.0.lock().await;
        if is_there() {
            return true;
        }
        if let Some((_, works)) = last.filter(|(begun, _)| *begun >= asked) {
            return works;
        }
        let begun = Instant::now();
        let works = read.await;
        *last = Some((begun, works));
        works
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use futures::future::join_all;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_behind_a_read_takes_its_result() {
        for works in [true, false] {
            let (renewal, reads, begin) = (SharedRead::default(), Cell::new(0), Instant::now());
            let read = || async {
                reads.set(reads.get() + 1);
                sleep(Duration::from_secs(8)).await;
                works
            };
            let all = (0..50).map(|_| renewal.shared(begin, || false, read()));
            assert_eq!(join_all(all).await, [works; 50]);
            assert_eq!((reads.get(), begin.elapsed()), (1, Duration::from_secs(8)));
            // What came to be since the read was begun may not be in it.
            assert_eq!(renewal.shared(Instant::now(), || false, read()).await, works);
            assert!(renewal.shared(Instant::now(), || true, read()).await);
            assert_eq!(reads.get(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_for_one_reader_says_nothing_to_another() {
        let (renewal, asked) = (SharedRead::default(), Instant::now());
        assert!(renewal.shared(asked, || true, async { false }).await);
        assert!(!renewal.shared(asked, || false, async { false }).await);
    }
}
