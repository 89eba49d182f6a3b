//! Number of copies whose origins are absent, as a metric and as news for the binding.

use std::{sync::Arc, time::Duration};

use portolan_runtime::metrics::Gauge;
use tokio::sync::Notify;

/// Copies without an origin that are found within this time are reported together.
const TOGETHER: Duration = Duration::from_secs(1);

/// The number that was shown last.
pub(super) struct OrphanCount {
    shown: Gauge,
    changed: Notify,
    on_change: Arc<dyn Fn() + Send + Sync>,
}

impl OrphanCount {
    pub(super) fn new(shown: Gauge, on_change: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { shown, changed: Notify::new(), on_change }
    }

    /// Shows the number, and tells of it in a moment: many may come at once.
    pub(super) fn show(&self, orphaned: usize) {
        let now = i64::try_from(orphaned).unwrap_or(i64::MAX);
        if self.shown.get() != now {
            self.shown.set(now);
            self.changed.notify_one();
        }
    }

    /// Tells of changes for as long as it is polled.
    pub(super) async fn tell(&self) {
        loop {
            self.changed.notified().await;
            tokio::time::sleep(TOGETHER).await;
            (self.on_change)();
        }
    }
}
