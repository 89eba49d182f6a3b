//! Reads the directory of persisted documents, again when it changes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use portolan_runtime::readiness::ReadyHandle;
use tracing::info;

use super::documents::{PersistedDocuments, PersistedQueries};
use crate::changes::DirectoryChanges;

/// Interval at which the directory is read, whatever the kernel tells.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Maximum size of a document, and of all together.
const MAX_DOCUMENT: usize = 1024 * 1024;
const MAX_ALL: usize = 64 * 1024 * 1024;

/// Follows a directory forever. What was read before stays while it cannot be read.
pub async fn follow(persisted: Arc<PersistedQueries>, directory: PathBuf, ready: ReadyHandle) {
    let (mut changes, mut told): (Option<DirectoryChanges>, Option<String>) = (None, None);
    loop {
        if changes.is_none() {
            changes = DirectoryChanges::of(&directory);
        }
        let now = match read(&directory).await {
            Ok(documents) => {
                let now = format!("{} persisted documents", documents.count());
                persisted.put(documents);
                ready.ready();
                now
            }
            Err(reason) => {
                ready.not_ready(&reason);
                changes = None;
                format!("{reason}; what was read before stays")
            }
        };
        if told.as_ref() != Some(&now) {
            info!("{now}");
            told = Some(now);
        }
        match &mut changes {
            Some(changes) => changes.wait(LOOK_EVERY).await,
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Reads the documents of a directory: the name of a file, without `.graphql`, is the id.
pub async fn read(directory: &Path) -> Result<PersistedDocuments, String> {
    let unread = |error: std::io::Error| format!("{}: {error}", directory.display());
    let (mut files, mut bytes) = (Vec::new(), 0);
    let mut entries = tokio::fs::read_dir(directory).await.map_err(unread)?;
    while let Some(entry) = entries.next_entry().await.map_err(unread)? {
        let (path, name) = (entry.path(), entry.file_name());
        let Some(id) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let Ok(metadata) = tokio::fs::metadata(&path).await else { continue };
        if !metadata.is_file() {
            continue;
        }
        let problem = |what: &str| format!("{}: {what}", path.display());
        if metadata.len() > MAX_DOCUMENT as u64 {
            return Err(problem("it is too large for a document: it has more than 1 MiB"));
        }
        let read = tokio::fs::read(&path).await.map_err(|error| problem(&error.to_string()))?;
        let text = String::from_utf8(read).map_err(|_| problem("it is not UTF-8"))?;
        bytes += text.len();
        if bytes > MAX_ALL {
            return Err(format!("{}: all documents have more than 64 MiB", directory.display()));
        }
        files.push((id.strip_suffix(".graphql").unwrap_or(id).to_owned(), text));
    }
    Ok(PersistedDocuments::of(files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_documents_and_what_is_wrong_is_named() {
        let home = tempfile::tempdir().unwrap();
        for (file, text) in [("a.graphql", "{a}"), ("b", "{b}"), (".c", "{c}")] {
            std::fs::write(home.path().join(file), text).unwrap();
        }
        let documents = read(home.path()).await.unwrap();
        assert_eq!(documents.ids(), ["a", "b"]);
        std::fs::write(home.path().join("d"), [0xff]).unwrap();
        assert!(read(home.path()).await.unwrap_err().ends_with("d: it is not UTF-8"));
        assert!(read(&home.path().join("missing")).await.is_err());
    }
}
