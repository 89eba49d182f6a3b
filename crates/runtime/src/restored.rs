//! Notice that the cluster of a process has come back with a backup.
//!
//! A watch that goes on from a version of before may show nothing: the versions of a restored cluster are lower, and
//! soon, with other changes, as high again. So whoever notices a restore says so, and everything is relisted.

use std::sync::LazyLock;

use tokio::sync::watch;
use tracing::warn;

static TIMES: LazyLock<watch::Sender<u64>> = LazyLock::new(watch::Sender::default);

/// Says that what was written is not there any more. Every watch of the process relists.
pub fn report(how: &str) {
    warn!("the cluster was restored from a backup, since {how}: relisting everything");
    TIMES.send_modify(|times| *times += 1);
}

/// Told of every restore from now on.
#[must_use]
pub fn subscribe() -> watch::Receiver<u64> {
    TIMES.subscribe()
}
