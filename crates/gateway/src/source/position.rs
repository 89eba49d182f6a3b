//! Pure: what the gateway has of a listener's documents, what an event asks for, and where to resume.

use std::collections::BTreeMap;

use portolan_core::{
    digest::sha256_hex,
    schema_document::{ClusterMetadata, DocumentEvent, PartReference},
};

/// The next step after an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Make an endpoint of a document.
    Load {
        /// Its name.
        name: String,
        /// The connection to the cluster.
        metadata: Box<ClusterMetadata>,
        /// Its parts.
        parts: Vec<PartReference>,
        /// Its version, to record once it was tried.
        version: String,
        /// The position after it.
        revision: String,
    },
    /// Remove these endpoints.
    Unload(Vec<String>),
    /// Remove these endpoints, and be ready.
    Synced(Vec<String>),
    /// Nothing.
    Nothing,
}

/// The documents that the gateway has, and its position in the stream.
#[derive(Debug, Default)]
pub(super) struct StreamPosition {
    /// The version of each document that was tried; none if its parts could not be read.
    tried: BTreeMap<String, Option<String>>,
    since: Option<String>,
    synced: bool,
    is_behind: bool,
}

impl StreamPosition {
    /// Begins a new stream, and returns the position to resume from.
    pub(super) fn begin(&mut self) -> Option<&str> {
        (self.synced, self.is_behind) = (false, false);
        self.since.as_deref()
    }

    /// Returns `true` if the listener has sent all that there was.
    pub(super) const fn is_synced(&self) -> bool {
        self.synced
    }

    /// Returns `true` if a document has to be asked for again. Everything else has been received before.
    pub(super) const fn must_resume(&self) -> bool {
        self.synced && self.is_behind
    }

    /// Returns the next step for an event.
    pub(super) fn take(&mut self, event: DocumentEvent) -> NextStep {
        match event {
            DocumentEvent::Upsert { name, revision, metadata, parts } => {
                let version = version(&metadata, &parts);
                if self.tried.get(&name) == Some(&Some(version.clone())) {
                    self.advance(revision);
                    return NextStep::Nothing;
                }
                NextStep::Load { name, metadata, parts, version, revision }
            }
            DocumentEvent::Remove { name, revision } => {
                self.advance(revision);
                let was_there = self.tried.remove(&name).is_some();
                NextStep::Unload(Vec::from_iter(was_there.then_some(name)))
            }
            DocumentEvent::Synced { revision, names } => {
                self.advance(revision);
                self.synced = true;
                let gone: Vec<_> = self.tried.keys().filter(|name| !names.contains(name)).cloned().collect();
                self.tried.retain(|name, _| names.contains(name));
                NextStep::Synced(gone)
            }
            DocumentEvent::Heartbeat { revision } => {
                self.advance(revision);
                NextStep::Nothing
            }
        }
    }

    /// A document was tried, with or without success: another try of the same would end alike.
    pub(super) fn tried(&mut self, name: String, version: String, revision: String) {
        self.tried.insert(name, Some(version));
        self.advance(revision);
    }

    /// The parts of a document could not be read. The position stays before it, so that it is sent again.
    pub(super) fn missed(&mut self, name: String) {
        self.tried.insert(name, None);
        self.is_behind = true;
    }

    fn advance(&mut self, revision: String) {
        if !self.is_behind {
            self.since = Some(revision);
        }
    }
}

fn version(metadata: &ClusterMetadata, parts: &[PartReference]) -> String {
    sha256_hex(serde_json::to_string(&(metadata, parts)).unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(value: serde_json::Value) -> DocumentEvent {
        serde_json::from_value(value).unwrap()
    }

    fn upsert(name: &str, revision: &str, part: &str) -> DocumentEvent {
        event(json!({"type": "upsert", "name": name, "revision": revision, "metadata": {"host": "https://h"},
            "parts": [{"groupVersion": "v1", "sha256": part}]}))
    }

    fn synced(revision: &str, names: &[&str]) -> DocumentEvent {
        event(json!({"type": "synced", "revision": revision, "names": names}))
    }

    fn load(position: &mut StreamPosition, event: DocumentEvent) -> bool {
        match position.take(event) {
            NextStep::Load { name, version, revision, .. } => {
                position.tried(name, version, revision);
                true
            }
            _ => false,
        }
    }

    #[test]
    fn the_same_document_of_another_replica_is_not_made_again() {
        let mut position = StreamPosition::default();
        assert_eq!(position.begin(), None);
        assert!(load(&mut position, upsert("a", "x.1", "1")) && load(&mut position, upsert("b", "x.2", "1")));
        assert_eq!(position.take(synced("x.2", &["a", "b"])), NextStep::Synced(vec![]));
        assert_eq!(position.begin(), Some("x.2"));
        assert!(
            !load(&mut position, upsert("a", "y.1", "1")) && load(&mut position, upsert("b", "y.5", "2"))
        );
        assert_eq!(position.begin(), Some("y.5"));
    }

    #[test]
    fn what_is_not_named_is_gone() {
        let mut position = StreamPosition::default();
        for name in ["a", "b", "c"] {
            assert!(load(&mut position, upsert(name, "x.1", "1")));
        }
        let remove = event(json!({"type": "remove", "name": "c", "revision": "x.4"}));
        assert_eq!(position.take(remove.clone()), NextStep::Unload(vec!["c".to_owned()]));
        assert_eq!(position.take(remove), NextStep::Unload(vec![]));
        assert_eq!(position.take(synced("y.1", &["b", "down"])), NextStep::Synced(vec!["a".to_owned()]));
        assert!(load(&mut position, upsert("a", "y.2", "1")), "it may come back");
    }

    #[test]
    fn a_missed_document_is_asked_for_again_and_delays_no_other() {
        let mut position = StreamPosition::default();
        assert!(load(&mut position, upsert("a", "x.1", "1")));
        position.missed("b".to_owned());
        assert!(load(&mut position, upsert("c", "x.3", "1")));
        assert!(!position.must_resume(), "others may still follow");
        position.take(synced("x.3", &["a", "b", "c"]));
        assert!(position.must_resume());
        assert_eq!(position.begin(), Some("x.1"), "before the missed one");
        assert!(
            load(&mut position, upsert("b", "x.2", "1")) && !load(&mut position, upsert("c", "x.3", "1"))
        );
        position.take(synced("x.3", &["a", "b", "c"]));
        assert!(!position.must_resume());
    }
}
