//! A directory with one file for each document. The kernel tells of changes; what it does not see, such as writes of
//! another machine to a shared volume, is found by listing the directory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tracing::warn;

use super::load::{MAX_DOCUMENT, load, unload};
use crate::{changes::DirectoryChanges, state::GatewayState};

/// Interval at which the directory is listed while the kernel tells of changes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while it does not.
const LOOK_OFTEN: Duration = Duration::from_millis(500);

/// The identity of a version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    changed: Option<SystemTime>,
    length: u64,
    inode: u64,
}

type StampedFiles = BTreeMap<String, (PathBuf, FileStamp)>;

/// Follows a directory forever.
pub(super) async fn run(state: &GatewayState, directory: &Path) {
    let mut seen = StampedFiles::new();
    let mut changes = None;
    loop {
        if changes.is_none() {
            changes = DirectoryChanges::of(directory);
        }
        let is_there = look(state, directory, &mut seen).await;
        match &mut changes {
            Some(changes) if is_there => changes.wait(LOOK_EVERY).await,
            // Whatever was watched is not there any more: what comes in its place is watched again.
            _ => {
                changes = None;
                tokio::time::sleep(LOOK_OFTEN).await;
            }
        }
    }
}

/// Brings the endpoints in step with the directory. Returns `false` if it cannot be read.
async fn look(state: &GatewayState, directory: &Path, seen: &mut StampedFiles) -> bool {
    let found = match documents(directory).await {
        Ok(found) => found,
        Err(error) => {
            let reason = format!("the directory {} cannot be read: {error}", directory.display());
            if state.source_failed(&reason) {
                warn!("{reason}; what was served before stays");
            }
            return false;
        }
    };
    let gone: BTreeSet<String> = seen.keys().filter(|name| !found.contains_key(*name)).cloned().collect();
    for name in &gone {
        seen.remove(name);
        unload(state, name);
    }
    let mut has_changed = !gone.is_empty();
    for (name, entry) in found {
        if seen.get(&name) != Some(&entry) {
            load(state, &name, read(&entry.0).await).await;
            seen.insert(name, entry);
            has_changed = true;
        }
    }
    if has_changed {
        state.forget_types();
    }
    // Ready once every document has been tried.
    state.source_is_there();
    true
}

/// The documents of a directory, by the name of their endpoint.
pub(super) async fn documents(directory: &Path) -> std::io::Result<StampedFiles> {
    use std::os::unix::fs::MetadataExt as _;

    let mut found = BTreeMap::new();
    let mut entries = tokio::fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(endpoint_name) else { continue };
        // Follows links, which mounted volumes consist of.
        let Ok(metadata) = tokio::fs::metadata(entry.path()).await else { continue };
        if metadata.is_file() {
            let stamp = FileStamp {
                changed: metadata.modified().ok(),
                length: metadata.len(),
                inode: metadata.ino(),
            };
            found.insert(name.to_owned(), (entry.path(), stamp));
        }
    }
    Ok(found)
}

/// The content of a document, or the reason why there is none.
pub(super) async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.len();
    if length > MAX_DOCUMENT as u64 {
        return Err(format!("it has {length} bytes, more than any document"));
    }
    tokio::fs::read(path).await.map_err(|error| error.to_string())
}

/// The name of a file's endpoint. None for files that are not documents.
fn endpoint_name(file: &str) -> Option<&str> {
    let is_other = file.starts_with('.')
        || file.ends_with('~')
        || file.rsplit_once('.').is_some_and(|(_, end)| end == "tmp");
    let name = file.strip_suffix(".json").unwrap_or(file);
    (!is_other && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_their_endpoints() {
        let table = [
            ("a.json", Some("a")),
            ("prod.eu", Some("prod.eu")),
            ("prod.eu.json", Some("prod.eu")),
            (".portolan-listener.json", None),
            ("a.json.tmp", None),
            ("..data", None),
            (".json", None),
        ];
        for (file, expected) in table {
            assert_eq!(endpoint_name(file), expected, "{file}");
        }
    }
}
