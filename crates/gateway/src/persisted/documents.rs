//! Pure: the documents, and which of them a request names.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use apollo_compiler::response::{JsonMap, JsonValue};
use arc_swap::ArcSwapOption;
use portolan_core::digest::sha256_hex;

use super::operations::{self, NamedOperation};
use crate::error::{ErrorCode, GraphError};

/// The documents of a directory.
#[derive(Debug, Default)]
pub struct PersistedDocuments {
    by_id: BTreeMap<String, Arc<str>>,
    by_hash: HashMap<String, Arc<str>>,
    operations: Arc<[NamedOperation]>,
}

impl PersistedDocuments {
    /// Documents by id, as the bytes of their files.
    pub(super) fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut documents = Self::default();
        for (id, text) in files {
            let hash = sha256_hex(text.as_bytes());
            // A byte order mark is part of the hash, but not of the language.
            let text: Arc<str> = text.trim_start_matches('\u{feff}').into();
            documents.by_hash.insert(hash, Arc::clone(&text));
            documents.by_id.insert(id, text);
        }
        documents.operations = operations::of(documents.by_id.iter()).into();
        documents
    }

    /// Their ids.
    #[cfg(test)]
    pub(super) fn ids(&self) -> Vec<&str> {
        self.by_id.keys().map(String::as_str).collect()
    }

    /// The number of documents.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }
}

/// The persisted documents at work.
#[derive(Debug, Default)]
pub struct PersistedQueries {
    /// None without a directory.
    documents: ArcSwapOption<PersistedDocuments>,
    /// `true` if nothing else is executed.
    only: bool,
}

/// The query of a request: its text, its id or its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryReference<'a> {
    /// The text.
    pub query: Option<&'a str>,
    /// The id of a document.
    pub document_id: Option<&'a str>,
    /// The extensions of the protocol, one of which has a hash.
    pub extensions: Option<&'a JsonMap>,
}

impl PersistedQueries {
    /// No documents yet.
    pub fn new(only: bool) -> Self {
        Self { documents: ArcSwapOption::empty(), only }
    }

    /// Replaces the documents.
    pub(super) fn put(&self, documents: PersistedDocuments) {
        self.documents.store(Some(Arc::new(documents)));
    }

    /// The operations of the documents.
    pub fn operations(&self) -> Arc<[NamedOperation]> {
        self.documents
            .load()
            .as_deref()
            .map(|documents| Arc::clone(&documents.operations))
            .unwrap_or_default()
    }

    /// The text of the query that a request names.
    pub fn text<'a>(&self, named: QueryReference<'a>) -> Result<Cow<'a, str>, GraphError> {
        let documents = self.documents.load();
        let (documents, hash) = (documents.as_deref(), named.hash()?);
        let query = named.query.filter(|query| !query.trim().is_empty());
        let persisted = match (documents, named.document_id, &hash) {
            (_, None, None) => None,
            // Clients that get this send the text.
            (None, ..) if query.is_none() => return Err(not_supported()),
            (None, ..) => None,
            (Some(documents), id, hash) => documents.named(id, hash.as_deref(), query.is_some())?,
        };
        match (query, persisted) {
            (Some(query), persisted) => {
                self.checked(query, (persisted, hash.as_deref()), documents)?;
                Ok(Cow::Borrowed(query))
            }
            (None, Some(text)) => Ok(Cow::Owned(text.to_string())),
            (None, None) => Err(GraphError::new(ErrorCode::BadRequest, "Must provide an operation.")),
        }
    }

    /// Checks a text beside whatever else the request names.
    fn checked(
        &self,
        query: &str,
        (persisted, hash): (Option<Arc<str>>, Option<&str>),
        documents: Option<&PersistedDocuments>,
    ) -> Result<(), GraphError> {
        let own = || sha256_hex(query.as_bytes());
        if hash.is_some_and(|hash| hash != own()) {
            return Err(mismatch("sha256Hash is not the hash of the query"));
        }
        if hash.is_none() && persisted.is_some_and(|text| *text != *query) {
            return Err(mismatch("documentId is not the id of the query"));
        }
        let is_listed = || documents.is_some_and(|documents| documents.by_hash.contains_key(&own()));
        if self.only && !is_listed() {
            let message = "only persisted documents are executed: send documentId or a known sha256Hash";
            return Err(GraphError::new(ErrorCode::PersistedOnly, message));
        }
        Ok(())
    }
}

impl PersistedDocuments {
    fn named(
        &self,
        id: Option<&str>,
        hash: Option<&str>,
        has_text: bool,
    ) -> Result<Option<Arc<str>>, GraphError> {
        let by_id = id.map(|id| match id.strip_prefix("sha256:") {
            Some(hash) => self.by_hash.get(&hash.to_ascii_lowercase()),
            None => self.by_id.get(id),
        });
        let by_hash = hash.map(|hash| self.by_hash.get(hash));
        match (by_id, by_hash) {
            (Some(None), _) => Err(not_found()),
            (Some(Some(one)), Some(other)) if other != Some(one) => {
                Err(mismatch("documentId and sha256Hash name different documents"))
            }
            (Some(Some(text)), _) | (None, Some(Some(text))) => Ok(Some(Arc::clone(text))),
            (None, Some(None)) if !has_text => Err(not_found()),
            (None, _) => Ok(None),
        }
    }
}

impl QueryReference<'_> {
    /// The hash of Apollo's extension, in lower case.
    fn hash(&self) -> Result<Option<String>, GraphError> {
        let Some(said) = self.extensions.and_then(|extensions| extensions.get("persistedQuery")) else {
            return Ok(None);
        };
        let version = said.get("version").and_then(JsonValue::as_u64);
        let hash = said.get("sha256Hash").and_then(|hash| hash.as_str());
        if let (Some(1), Some(hash)) = (version, hash) {
            return Ok(Some(hash.to_ascii_lowercase()));
        }
        let message = "extensions.persistedQuery needs version 1 and sha256Hash";
        Err(GraphError::new(ErrorCode::BadRequest, message))
    }
}

fn not_supported() -> GraphError {
    GraphError::new(ErrorCode::PersistedQueryNotSupported, "PersistedQueryNotSupported")
}

fn not_found() -> GraphError {
    GraphError::new(ErrorCode::PersistedQueryNotFound, "PersistedQueryNotFound")
}

fn mismatch(message: &str) -> GraphError {
    GraphError::new(ErrorCode::PersistedQueryMismatch, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{a}\n";

    fn persisted(only: bool) -> PersistedQueries {
        let files = [("one", TEXT), ("two", "\u{feff}{b}")];
        let files = files.map(|(id, text)| (id.to_owned(), text.to_owned()));
        PersistedQueries { documents: ArcSwapOption::from_pointee(PersistedDocuments::of(files)), only }
    }

    fn asked(persisted: &PersistedQueries, request: &serde_json::Value) -> String {
        let extensions: Option<JsonMap> =
            serde_json::from_value(request["extensions"].clone()).unwrap_or_default();
        let named = QueryReference {
            query: request["query"].as_str(),
            document_id: request["documentId"].as_str(),
            extensions: extensions.as_ref(),
        };
        match persisted.text(named) {
            Ok(text) => text.into_owned(),
            Err(error) => error.code.text().to_owned(),
        }
    }

    fn hashed(hash: &str) -> serde_json::Value {
        serde_json::json!({"persistedQuery": {"version": 1, "sha256Hash": hash}})
    }

    #[test]
    fn documents_have_an_id_and_the_hash_of_their_bytes() {
        use serde_json::json;

        let (hash, marked) = (sha256_hex(TEXT.as_bytes()), sha256_hex("\u{feff}{b}".as_bytes()));
        let unknown = "0".repeat(64);
        let table = [
            (json!({"documentId": "one"}), TEXT),
            (json!({"documentId": "two"}), "{b}"),
            (json!({"documentId": format!("sha256:{hash}")}), TEXT),
            (json!({"extensions": hashed(&hash)}), TEXT),
            (json!({"extensions": hashed(&hash.to_uppercase())}), TEXT),
            (json!({"extensions": hashed(&marked)}), "{b}"),
            (json!({"documentId": "one", "extensions": hashed(&hash)}), TEXT),
            (json!({"documentId": "two", "extensions": hashed(&hash)}), "PERSISTED_QUERY_MISMATCH"),
            (json!({"documentId": "none"}), "PERSISTED_QUERY_NOT_FOUND"),
            (json!({"extensions": hashed(&unknown)}), "PERSISTED_QUERY_NOT_FOUND"),
            (json!({"query": "{c}", "extensions": hashed(&unknown)}), "PERSISTED_QUERY_MISMATCH"),
            (json!({"query": "{c}", "extensions": hashed(&sha256_hex(b"{c}"))}), "{c}"),
            (json!({"query": "{c}", "documentId": "one"}), "PERSISTED_QUERY_MISMATCH"),
            (json!({"extensions": {"persistedQuery": {"version": 2, "sha256Hash": hash}}}), "BAD_REQUEST"),
            (json!({"extensions": {"persistedQuery": {"version": 1}}}), "BAD_REQUEST"),
            (json!({"query": "{c}"}), "{c}"),
            (json!({"query": " "}), "BAD_REQUEST"),
            (json!({}), "BAD_REQUEST"),
        ];
        for (request, expected) in table {
            assert_eq!(asked(&persisted(false), &request), expected, "{request}");
        }
    }

    #[test]
    fn without_documents_the_text_is_asked_for() {
        let none = PersistedQueries::default();
        let request = serde_json::json!({"extensions": hashed(&"0".repeat(64))});
        assert_eq!(asked(&none, &request), "PERSISTED_QUERY_NOT_SUPPORTED");
        let with_text = serde_json::json!({"query": "{c}", "extensions": hashed(&sha256_hex(b"{c}"))});
        assert_eq!(asked(&none, &with_text), "{c}");
    }

    #[test]
    fn only_persisted_documents_are_executed_if_nothing_else_is() {
        let (only, hash) = (persisted(true), sha256_hex(TEXT.as_bytes()));
        let unlisted = hashed(&sha256_hex(b"{c}"));
        let table = [
            (serde_json::json!({"documentId": "one"}), TEXT),
            (serde_json::json!({"query": TEXT}), TEXT),
            (serde_json::json!({"query": TEXT, "extensions": hashed(&hash)}), TEXT),
            (serde_json::json!({"query": "{c}"}), "PERSISTED_DOCUMENTS_ONLY"),
            (serde_json::json!({"query": "{c}", "extensions": unlisted}), "PERSISTED_DOCUMENTS_ONLY"),
        ];
        for (request, expected) in table {
            assert_eq!(asked(&only, &request), expected, "{request}");
        }
        let not_read_yet = PersistedQueries::new(true);
        assert_eq!(asked(&not_read_yet, &serde_json::json!({"query": "{c}"})), "PERSISTED_DOCUMENTS_ONLY");
    }
}
