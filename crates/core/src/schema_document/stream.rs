//! The stream of documents: `GET /v1/documents?watch=1&since=REV` with one JSON event per line, and
//! `GET /v1/parts/{sha256}` with a part.

use serde::{Deserialize, Serialize};

use super::ClusterMetadata;

/// One line of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum DocumentEvent {
    /// A document is new, or has changed.
    Upsert {
        /// Its name, which is the cluster's path.
        name: String,
        /// The position of the stream after it, to resume from with `since`.
        revision: String,
        /// The connection to the cluster. It has the content of the credential only if that was requested.
        metadata: Box<ClusterMetadata>,
        /// Its parts, by group-version.
        parts: Vec<PartReference>,
    },
    /// A document is gone, because its ClusterAccess is.
    Remove {
        /// Its name.
        name: String,
        /// The position of the stream after it.
        revision: String,
    },
    /// All current documents have been sent, and the listener has tried every ClusterAccess. Sent once per request.
    Synced {
        /// The position of the stream.
        revision: String,
        /// The paths of all ClusterAccesses, even of those without a document: an endpoint that is not among them can
        /// go.
        names: Vec<String>,
    },
    /// There is no news, and the connection is alive.
    Heartbeat {
        /// The position of the stream.
        revision: String,
    },
}

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartReference {
    /// The group-version, such as `v1` or `apps/v1`.
    pub group_version: String,
    /// SHA-256 of the part's bytes, in lower-case hexadecimal.
    pub sha256: String,
}

/// The query of `/v1/documents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct WatchQuery {
    /// `1` or `true` to follow changes after the current documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<String>,
    /// The position of an earlier stream. Documents that have not changed since are left out. If the revision is that
    /// of another replica or an earlier start, all are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// `1` or `true` to get the content of credentials, for gateways that use them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

impl WatchQuery {
    /// Returns `true` if changes are to follow after the current documents.
    pub fn watches(&self) -> bool {
        is_set(self.watch.as_deref())
    }

    /// Returns `true` if the content of credentials is requested.
    pub fn wants_credentials(&self) -> bool {
        is_set(self.credentials.as_deref())
    }
}

fn is_set(value: Option<&str>) -> bool {
    matches!(value, Some("1" | "true"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_one_object_each() {
        let revision = || "a.1".to_owned();
        let table = [
            (
                json!({"type": "upsert", "name": "a", "revision": "a.1", "metadata": {"host": "https://h", "path": "a"},
                    "parts": [{"groupVersion": "apps/v1", "sha256": "00"}]}),
                DocumentEvent::Upsert {
                    name: "a".to_owned(),
                    revision: revision(),
                    metadata: serde_json::from_value(json!({"host": "https://h", "path": "a"})).unwrap(),
                    parts: vec![PartReference {
                        group_version: "apps/v1".to_owned(),
                        sha256: "00".to_owned(),
                    }],
                },
            ),
            (
                json!({"type": "remove", "name": "a", "revision": "a.1"}),
                DocumentEvent::Remove { name: "a".to_owned(), revision: revision() },
            ),
            (
                json!({"type": "synced", "revision": "a.1", "names": ["a"]}),
                DocumentEvent::Synced { revision: revision(), names: vec!["a".to_owned()] },
            ),
            (
                json!({"type": "heartbeat", "revision": "a.1"}),
                DocumentEvent::Heartbeat { revision: revision() },
            ),
        ];
        for (wire, event) in table {
            assert_eq!(serde_json::to_value(&event).unwrap(), wire);
            assert_eq!(serde_json::from_value::<DocumentEvent>(wire).unwrap(), event);
        }
    }

    #[test]
    fn credentials_are_sent_to_who_asks_for_them_only() {
        assert!(!WatchQuery::default().wants_credentials());
        let query = WatchQuery { credentials: Some("1".to_owned()), ..WatchQuery::default() };
        assert!(query.wants_credentials() && !query.watches());
    }
}
