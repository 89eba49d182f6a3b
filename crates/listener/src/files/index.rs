//! `.portolan-listener.json`: the list of our files in the directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The names of our files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Index {
    /// The ClusterAccess of each file, by name of the file without directory.
    #[serde(default)]
    pub(super) documents: BTreeMap<String, String>,
}

impl Index {
    /// Reads it. Names that lead out of the directory are dropped, whoever wrote them.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Self { documents } = serde_json::from_slice(bytes)?;
        Ok(Self { documents: documents.into_iter().filter(|(name, _)| is_plain(name)).collect() })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// Returns `true` for the name of a document: `{path}.json`.
fn is_plain(name: &str) -> bool {
    let path = name.strip_suffix(portolan_core::schema_document::FILE_SUFFIX);
    path.is_some_and(|path| portolan_core::api::gateway::check_path(path).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_not_ours() {
        let read = Index::read(br#"{"documents": {"a.json": "a", "../b.json": "b", "/etc/passwd": "", ".json": "", "c": "", "d/e.json": ""}}"#);
        let ours = || BTreeMap::from([("a.json".to_owned(), "a".to_owned())]);
        assert_eq!(read.unwrap().documents, ours());
        assert!(Index::read(b"nonsense").is_err());
        let index = Index { documents: ours() };
        assert_eq!(Index::read(&index.to_bytes()).unwrap(), index);
    }
}
