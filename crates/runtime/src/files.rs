//! Files that change while the process runs: certificates, tokens, configuration.
//!
//! A Secret or `ConfigMap` that is mounted changes by a renamed symlink, which no single watch on a file sees;
//! so their content is compared every few seconds.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    future::Future,
    hash::{Hash as _, Hasher as _},
    path::PathBuf,
    time::Duration,
};

use tokio::time::sleep;

/// Interval at which files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A set of files and what was in them.
#[derive(Debug)]
pub struct WatchedFiles {
    paths: Vec<PathBuf>,
    seen: u64,
}

impl WatchedFiles {
    /// Remembers what is in the files now.
    pub async fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let seen = content(&paths).await;
        Self { paths, seen }
    }

    /// Waits until one of the files has another content, or appears, or is gone.
    pub async fn changed(&mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            let now = content(&self.paths).await;
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// Runs `reload` at once, and again whenever a file that `named` gives has changed. Which files those are may
/// change with each run. It never ends.
pub async fn follow<N, R>(named: impl Fn() -> N, reload: impl Fn() -> R)
where
    N: Future<Output = BTreeSet<PathBuf>>,
    R: Future<Output = ()>,
{
    loop {
        let before = named().await;
        let mut files = WatchedFiles::new(before.clone()).await;
        // Once after the files are remembered: nothing that changed meanwhile goes unseen.
        reload().await;
        if named().await == before {
            files.changed().await;
        }
    }
}

async fn content(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        tokio::fs::read(path).await.ok().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_seen() {
        let path = std::env::temp_dir().join(format!("portolan-files-{}", std::process::id()));
        std::fs::write(&path, "a").unwrap();
        let mut files = WatchedFiles::new(vec![path.clone()]).await;
        std::fs::write(&path, "b").unwrap();
        tokio::time::timeout(Duration::from_secs(60), files.changed()).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        tokio::time::timeout(Duration::from_secs(60), files.changed()).await.unwrap();
    }
}
