//! Changes of a directory.

use std::{path::Path, time::Duration};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{sync::mpsc, time::timeout};

/// Changes of a directory, as the kernel tells them.
pub struct DirectoryChanges {
    told: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl DirectoryChanges {
    /// None where the kernel tells nothing, as for a directory that is not there.
    pub fn of(directory: &Path) -> Option<Self> {
        let (sender, told) = mpsc::channel(1);
        let tell = move |event: notify::Result<notify::Event>| {
            // Our own reading is an event, too.
            if event.as_ref().is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            // If the channel is full, a look is due already.
            let _ = sender.try_send(());
        };
        let watching = notify::recommended_watcher(tell).and_then(|mut watcher| {
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => Some(Self { told, _watcher: watcher }),
            Err(error) => {
                tracing::debug!(%error, "a directory is not watched");
                None
            }
        }
    }

    /// Waits for the next change, or until the limit.
    pub async fn wait(&mut self, limit: Duration) {
        // Otherwise a file that is written in pieces would be read after each of them.
        const SETTLE: Duration = Duration::from_millis(20);
        if timeout(limit, self.told.recv()).await.is_ok() {
            tokio::time::sleep(SETTLE).await;
            while self.told.try_recv().is_ok() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_tells_of_renamed_files() {
        let home = tempfile::tempdir().unwrap();
        let mut changes = DirectoryChanges::of(home.path()).unwrap();
        assert!(timeout(Duration::from_millis(200), changes.told.recv()).await.is_err(), "nothing happens");
        std::fs::write(home.path().join(".a.tmp"), "a").unwrap();
        std::fs::rename(home.path().join(".a.tmp"), home.path().join("a.json")).unwrap();
        timeout(Duration::from_secs(5), changes.told.recv()).await.expect("no event").unwrap();
        assert!(DirectoryChanges::of(&home.path().join("missing")).is_none());
    }
}
