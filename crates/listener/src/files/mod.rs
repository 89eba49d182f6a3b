//! Documents as files: one per cluster, written aside, synced and renamed, readable by our user only. Files of others
//! are never touched; a file beside the documents lists ours.

mod directory;
mod index;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use portolan_runtime::{tasks::Tasks, telemetry::ErrorChain};
use tokio::{sync::watch, time::sleep};
use tracing::{error, warn};

use self::directory::{DocumentDirectory, FileError, REMOVE};
use crate::documents::{DocumentSnapshot, DocumentStore, SchemaDocument};

/// Delay before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Interval at which the files are compared with what was written, since somebody may have taken one away.
const COMPARE: Duration = Duration::from_secs(30);

const WRITE_FAILED: &str = "WriteFailed";

/// The state of each file, by path of the cluster.
#[derive(Clone, Debug, Default)]
pub struct FileStates(Arc<Mutex<DirectoryState>>);

#[derive(Debug, Default)]
struct DirectoryState {
    /// `true` if files are written at all.
    used: bool,
    /// The reason why no file can be written.
    directory: Option<FileTrouble>,
    /// The digest of the document in each file, or the reason why it is not there.
    by_path: BTreeMap<String, Result<String, FileTrouble>>,
}

/// The reason why a document is not in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTrouble {
    pub reason: &'static str,
    pub message: String,
}

impl FileStates {
    /// The reason why a document is not in its file, if there is one.
    pub fn trouble(&self, path: &str) -> Option<FileTrouble> {
        let states = self.0.lock();
        let own = states.by_path.get(path).and_then(|state| state.as_ref().err().cloned());
        own.or_else(|| states.directory.clone())
    }

    /// The reason why no document is in its file, if there is one.
    pub fn directory_trouble(&self) -> Option<FileTrouble> {
        self.0.lock().directory.clone()
    }

    /// Returns `true` while a document has not reached its file yet.
    pub fn awaits(&self, document: &SchemaDocument) -> bool {
        let states = self.0.lock();
        let state = states.by_path.get(document.name());
        let is_in_trouble = states.directory.is_some() || matches!(state, Some(Err(_)));
        states.used && !is_in_trouble && state != Some(&Ok(document.digest.clone()))
    }

    /// Sets the state of the directory. Returns `true` if it has changed.
    fn set_directory(&self, trouble: Option<FileTrouble>) -> bool {
        let mut states = self.0.lock();
        let is_news = states.directory != trouble;
        states.directory = trouble;
        is_news
    }

    /// Sets the state of a file. Returns `true` if it has changed.
    fn set(&self, path: &str, state: &Result<String, FileTrouble>) -> bool {
        let before = self.0.lock().by_path.insert(path.to_owned(), state.clone());
        before.as_ref() != Some(state)
    }
}

/// Keeps a directory in step with the documents. `on_news` is called when the state of a file changes.
pub fn run(
    tasks: &Tasks,
    directory: PathBuf,
    documents: Arc<DocumentStore>,
    states: FileStates,
    on_news: impl Fn() + Send + Sync + 'static,
) {
    states.0.lock().used = true;
    let changed = documents.subscribe();
    let writer = FileWriter { directory: Arc::new(Mutex::new(DocumentDirectory::new(directory))), states };
    tasks.spawn_critical("files", async move { writer.follow(&documents, changed, on_news).await });
}

struct FileWriter {
    directory: Arc<Mutex<DocumentDirectory>>,
    states: FileStates,
}

impl FileWriter {
    async fn follow(
        self,
        documents: &DocumentStore,
        mut changed: watch::Receiver<u64>,
        on_news: impl Fn() + Send + Sync,
    ) {
        loop {
            changed.mark_unchanged();
            let done = self.bring_up_to_date(documents.snapshot(), &on_news).await;
            tokio::select! {
                ended = changed.changed() => if ended.is_err() { return },
                () = sleep(if done { COMPARE } else { RETRY }) => {}
            }
        }
    }

    /// Returns `true` if every file is up to date.
    async fn bring_up_to_date(
        &self,
        snapshot: DocumentSnapshot,
        on_news: &(impl Fn() + Send + Sync),
    ) -> bool {
        let digest = |(path, document): (&String, &SchemaDocument)| (path.clone(), document.digest.clone());
        let digests: BTreeMap<_, _> = snapshot.documents.iter().map(digest).collect();
        let directory = Arc::clone(&self.directory);
        let work = move || directory.lock().bring_up_to_date(&snapshot);
        let results = match tokio::task::spawn_blocking(work).await {
            Ok(Ok(results)) => results,
            Ok(Err(failure)) => {
                let message = format!("--definitions-dir cannot be used: {}", ErrorChain(&failure));
                if self
                    .states
                    .set_directory(Some(FileTrouble { reason: WRITE_FAILED, message: message.clone() }))
                {
                    error!("{message}");
                    on_news();
                }
                return false;
            }
            Err(_) => return false,
        };
        let mut is_news = self.states.set_directory(None);
        self.states.0.lock().by_path.retain(|path, _| results.contains_key(path));
        for (path, result) in &results {
            let state = match result {
                Ok(()) => Ok(digests.get(path).cloned().unwrap_or_default()),
                Err(failure) => Err(trouble(path, failure)),
            };
            if self.states.set(path, &state) {
                is_news = true;
                if let Err(trouble) = state {
                    warn!(path, reason = trouble.reason, "{}", trouble.message);
                }
            }
        }
        if is_news {
            on_news();
        }
        results.values().all(Result::is_ok)
    }
}

fn trouble(path: &str, failure: &FileError) -> FileTrouble {
    let reason = match failure {
        FileError::NotOurs(_) => "FileConflict",
        FileError::Failed { .. } => WRITE_FAILED,
    };
    let is_removal = matches!(failure, FileError::Failed { action: REMOVE, .. });
    let what = if is_removal { "removed" } else { "written" };
    FileTrouble { reason, message: format!("the document {path} is not {what}: {}", ErrorChain(failure)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::DiscoveredApi;

    #[tokio::test]
    async fn a_directory_that_cannot_be_used_is_told_of_every_document() {
        let home = tempfile::tempdir().unwrap();
        let obstacle = home.path().join("file");
        std::fs::write(&obstacle, "").unwrap();
        let documents = DocumentStore::default();
        let metadata = serde_json::json!({"host": "https://h", "path": "a"});
        documents.put("a", serde_json::from_value(metadata).unwrap(), &DiscoveredApi::default());
        documents.set_paths([("a".to_owned(), "a".to_owned())].into(), true);
        let states = FileStates::default();
        states.0.lock().used = true;
        let directory = Arc::new(Mutex::new(DocumentDirectory::new(obstacle.join("definitions"))));
        let writer = FileWriter { directory, states: states.clone() };
        let news = Mutex::new(0);
        let look = async || writer.bring_up_to_date(documents.snapshot(), &|| *news.lock() += 1).await;
        for _ in 0..2 {
            assert!(!look().await);
        }
        let trouble = states.trouble("a").unwrap();
        assert!(
            trouble.reason == WRITE_FAILED && trouble.message.contains("--definitions-dir"),
            "{trouble:?}"
        );
        let document = documents.snapshot().documents["a"].clone();
        assert!(!states.awaits(&document) && *news.lock() == 1, "nobody waits for it, and it is told once");
        std::fs::remove_file(&obstacle).unwrap();
        assert!(look().await && states.trouble("a").is_none() && states.directory_trouble().is_none());
    }
}
