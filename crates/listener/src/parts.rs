//! Parts by content: clusters that serve the same share them, and a part that nobody uses any more is dropped.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use parking_lot::Mutex;
use portolan_core::digest::sha256_hex;

use crate::discovery::MadePart;

/// A part of one or more documents.
#[derive(Debug, PartialEq, Eq)]
pub struct DocumentPart {
    pub sha256: String,
    pub bytes: Bytes,
    /// Number of served kinds.
    pub kinds: usize,
    /// Number of described kinds without a resource.
    pub orphans: usize,
}

/// All parts in use.
#[derive(Debug, Default)]
pub struct PartStore {
    by_content: Mutex<HashMap<String, Weak<DocumentPart>>>,
    /// Parts by source, so that the same part is not made again for another cluster.
    by_source: Mutex<HashMap<String, Weak<DocumentPart>>>,
}

impl PartStore {
    /// Stores a part, or returns the one with the same bytes.
    pub fn keep(&self, made: MadePart) -> Arc<DocumentPart> {
        let MadePart { bytes, kinds, orphans } = made;
        let sha256 = sha256_hex(&bytes);
        let mut parts = self.by_content.lock();
        if let Some(known) = parts.get(&sha256).and_then(Weak::upgrade) {
            return known;
        }
        tidy(&mut parts);
        let part = Arc::new(DocumentPart { sha256: sha256.clone(), bytes: bytes.into(), kinds, orphans });
        parts.insert(sha256, Arc::downgrade(&part));
        part
    }

    /// The part with a hash.
    pub fn get(&self, sha256: &str) -> Option<Arc<DocumentPart>> {
        self.by_content.lock().get(sha256).and_then(Weak::upgrade)
    }

    /// The part that was made of the same source before.
    pub fn made_of(&self, source: &str) -> Option<Arc<DocumentPart>> {
        self.by_source.lock().get(source).and_then(Weak::upgrade)
    }

    /// Remembers the source of a part.
    pub fn remember(&self, source: String, part: &Arc<DocumentPart>) {
        let mut sources = self.by_source.lock();
        tidy(&mut sources);
        sources.insert(source, Arc::downgrade(part));
    }
}

fn tidy(parts: &mut HashMap<String, Weak<DocumentPart>>) {
    // Only when the map is full: checking all entries each time would be too much work.
    if parts.len() == parts.capacity() {
        parts.retain(|_, part| part.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_kept_once_and_goes_with_its_last_owner() {
        let store = PartStore::default();
        let made = || MadePart { bytes: b"a".to_vec(), kinds: 1, orphans: 0 };
        let (first, second) = (store.keep(made()), store.keep(made()));
        assert!(Arc::ptr_eq(&first, &second));
        store.remember("source".to_owned(), &first);
        let hash = first.sha256.clone();
        assert!(store.get(&hash).is_some() && store.made_of("source").is_some());
        drop((first, second));
        assert!(store.get(&hash).is_none() && store.made_of("source").is_none());
    }
}
