//! The current documents. Writers of files and streams are notified of changes and then read the current state: a slow
//! one skips what is outdated, never what is current.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use portolan_core::{
    digest::sha256_hex,
    schema_document::{ClusterMetadata, NamedPart, PartReference, write},
};
use tokio::sync::watch;

use crate::{discovery::DiscoveredApi, parts::DocumentPart};

/// One document.
#[derive(Clone, Debug)]
pub struct SchemaDocument {
    /// Its ClusterAccess.
    pub access: Arc<str>,
    pub metadata: Arc<ClusterMetadata>,
    pub references: Arc<Vec<PartReference>>,
    parts: Arc<Vec<Arc<DocumentPart>>>,
    /// The number of its last change.
    pub revision: u64,
    /// A hash of everything in it.
    pub digest: String,
}

impl SchemaDocument {
    fn new(access: &str, metadata: ClusterMetadata, discovered: &DiscoveredApi) -> Self {
        let references = discovered.references();
        let part = |reference: &PartReference| {
            discovered.parts.get(&reference.group_version).map(|known| Arc::clone(&known.part))
        };
        let parts = references.iter().filter_map(part).collect();
        let digest = digest(&metadata, &references);
        Self {
            access: access.into(),
            metadata: Arc::new(metadata),
            references: Arc::new(references),
            parts: Arc::new(parts),
            revision: 0,
            digest,
        }
    }

    /// Its name: the path of the cluster.
    pub fn name(&self) -> &str {
        &self.metadata.path
    }

    /// Writes it as one file.
    pub fn write(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        let named = |(reference, part): (&'_ PartReference, &'_ Arc<DocumentPart>)| {
            (reference.clone(), Arc::clone(part))
        };
        let pairs: Vec<_> = self.references.iter().zip(self.parts.iter()).map(named).collect();
        let parts: Vec<_> = pairs
            .iter()
            .map(|(reference, part)| NamedPart {
                group_version: &reference.group_version,
                bytes: &part.bytes,
            })
            .collect();
        write(&self.metadata, &parts, out)
    }

    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum()
    }
}

fn digest(metadata: &ClusterMetadata, references: &[PartReference]) -> String {
    let text = serde_json::to_string(&(metadata, references)).unwrap_or_default();
    sha256_hex(text.as_bytes())
}

/// All documents at one moment.
#[derive(Clone, Debug, Default)]
pub struct DocumentSnapshot {
    /// By path.
    pub documents: BTreeMap<String, SchemaDocument>,
    pub revision: u64,
    /// The owner of each path, with or without a document.
    pub paths: BTreeMap<String, String>,
    /// `true` once the paths are known. Before, a missing path does not mean that its cluster is gone.
    pub listed: bool,
    /// `true` once every ClusterAccess has been tried.
    pub complete: bool,
}

impl DocumentSnapshot {
    /// Returns `true` if the path still belongs to this ClusterAccess, so that its earlier document stays.
    pub fn keeps(&self, path: &str, access: &str) -> bool {
        self.paths.get(path).is_some_and(|owner| owner == access)
    }
}

/// All documents.
#[derive(Debug)]
pub struct DocumentStore {
    inner: Mutex<StoreState>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct StoreState {
    /// By name of the ClusterAccess.
    documents: BTreeMap<String, SchemaDocument>,
    /// By name of the ClusterAccess, too.
    paths: BTreeMap<String, String>,
    revision: u64,
    listed: bool,
    complete: bool,
}

impl Default for DocumentStore {
    fn default() -> Self {
        Self { inner: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl DocumentStore {
    /// Sets the document of a ClusterAccess. Nothing happens if it is the same.
    pub fn put(&self, access: &str, metadata: ClusterMetadata, discovered: &DiscoveredApi) {
        self.change(|inner| {
            let mut document = SchemaDocument::new(access, metadata, discovered);
            if inner.documents.get(access).is_some_and(|known| known.digest == document.digest) {
                return false;
            }
            document.revision = inner.revision + 1;
            let path = document.name().to_owned();
            let before = inner.documents.insert(access.to_owned(), document);
            if let Some(before) = before.filter(|before| before.name() != path) {
                inner.reveal(before.name());
            }
            true
        });
    }

    /// Changes path and labels of the document of a ClusterAccess, if it has one.
    pub fn rename(&self, access: &str, path: &str, labels: &BTreeMap<String, String>) {
        self.change(|inner| {
            let next = inner.revision + 1;
            let Some(document) = inner.documents.get_mut(access) else { return false };
            let known = Arc::clone(&document.metadata);
            if known.path == path && known.labels == *labels {
                return false;
            }
            let metadata =
                ClusterMetadata { path: path.to_owned(), labels: labels.clone(), ..(*known).clone() };
            document.digest = digest(&metadata, &document.references);
            document.metadata = Arc::new(metadata);
            document.revision = next;
            if known.path != path {
                inner.reveal(&known.path);
            }
            true
        });
    }

    /// Removes the document of a ClusterAccess.
    pub fn remove(&self, access: &str) {
        self.change(|inner| {
            let removed = inner.documents.remove(access);
            if let Some(removed) = &removed {
                inner.reveal(removed.name());
            }
            removed.is_some()
        });
    }

    /// Sets the path of each ClusterAccess, and whether all of them have been tried.
    pub fn set_paths(&self, paths: BTreeMap<String, String>, complete: bool) {
        self.change(|inner| {
            let is_news = inner.paths != paths || inner.complete != complete || !inner.listed;
            (inner.paths, inner.complete, inner.listed) = (paths, complete, true);
            is_news
        });
    }

    /// The current state.
    pub fn snapshot(&self) -> DocumentSnapshot {
        let inner = self.inner.lock();
        let named = inner.documents.values().map(|document| (document.name().to_owned(), document.clone()));
        DocumentSnapshot {
            documents: named.collect(),
            revision: inner.revision,
            paths: inner.paths.iter().map(|(access, path)| (path.clone(), access.clone())).collect(),
            listed: inner.listed,
            complete: inner.complete,
        }
    }

    /// Notifies of each change from now on.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut StoreState) -> bool) {
        let mut inner = self.inner.lock();
        if change(&mut inner) {
            inner.revision += 1;
            self.changed.send_replace(inner.revision);
        }
    }
}

impl StoreState {
    /// Gives a new number to a document that another one with its path has hidden: whoever follows has the other one.
    fn reveal(&mut self, path: &str) {
        for document in self.documents.values_mut().filter(|document| document.name() == path) {
            self.revision += 1;
            document.revision = self.revision + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(path: &str) -> ClusterMetadata {
        serde_json::from_value(serde_json::json!({"host": "https://h", "path": path})).unwrap()
    }

    fn revision_of(documents: &DocumentStore, path: &str) -> Option<u64> {
        documents.snapshot().documents.get(path).map(|document| document.revision)
    }

    #[test]
    fn the_same_again_is_no_change() {
        let documents = DocumentStore::default();
        let changed = documents.subscribe();
        for _ in 0..2 {
            documents.put("a", metadata("p"), &DiscoveredApi::default());
        }
        assert_eq!((revision_of(&documents, "p"), *changed.borrow()), (Some(1), 1));
        documents.rename("a", "p", &BTreeMap::new());
        documents.remove("b");
        assert_eq!(*changed.borrow(), 1);
    }

    #[test]
    fn a_document_moves_with_its_path() {
        let documents = DocumentStore::default();
        documents.put("a", metadata("old"), &DiscoveredApi::default());
        documents.rename("a", "new", &[("l".to_owned(), "1".to_owned())].into());
        assert_eq!((revision_of(&documents, "old"), revision_of(&documents, "new")), (None, Some(2)));
        assert_eq!(documents.snapshot().documents["new"].metadata.labels["l"], "1");
        documents.remove("a");
        assert!(documents.snapshot().documents.is_empty());
    }

    #[test]
    fn a_document_that_another_has_hidden_is_news() {
        let leave: [fn(&DocumentStore); 3] = [
            |documents| documents.remove("z"),
            |documents| documents.rename("z", "q", &BTreeMap::new()),
            |documents| documents.put("z", metadata("q"), &DiscoveredApi::default()),
        ];
        for leave in leave {
            let documents = DocumentStore::default();
            documents.put("z", metadata("p"), &DiscoveredApi::default());
            documents.put("a", metadata("p"), &DiscoveredApi::default());
            let hiding = documents.snapshot();
            assert_eq!(&*hiding.documents["p"].access, "z");
            leave(&documents);
            let after = documents.snapshot();
            let revealed = &after.documents["p"];
            assert_eq!((&*revealed.access, revealed.revision), ("a", after.revision));
            let other = after.documents.get("q").map(|other| other.revision);
            assert!(revealed.revision > hiding.revision && other.is_none_or(|other| other < after.revision));
        }
    }

    #[test]
    fn paths_without_documents_are_known() {
        let documents = DocumentStore::default();
        documents.set_paths([("a".to_owned(), "p".to_owned())].into(), true);
        let snapshot = documents.snapshot();
        assert!(snapshot.complete && snapshot.documents.is_empty() && snapshot.paths.contains_key("p"));
    }
}
