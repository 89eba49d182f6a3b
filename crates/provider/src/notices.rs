//! Warnings for people, as Events: each once, until what it says changes.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::ObjectReference;
use parking_lot::Mutex;
use portolan_runtime::events::EventReporter;
use tracing::warn;

/// The warnings that stand, by object.
pub struct Notices {
    reporter: EventReporter,
    standing: Mutex<HashMap<String, String>>,
}

impl Notices {
    pub fn new(reporter: EventReporter) -> Self {
        Self { reporter, standing: Mutex::default() }
    }

    /// Warns, unless the last Event about the object was the same.
    pub async fn warn(&self, on: &ObjectReference, reason: &str, note: &str) {
        let said = format!("{reason}: {note}");
        if self.standing.lock().insert(key(on), said.clone()).is_some_and(|before| before == said) {
            return;
        }
        warn!(object = key(on), reason, "{note}");
        self.reporter.warn(on, reason, "Reconcile", note).await;
    }

    /// All is well with the object: the next trouble is news.
    pub fn clear(&self, on: &ObjectReference) {
        self.standing.lock().remove(&key(on));
    }
}

fn key(on: &ObjectReference) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{} {}/{}", text(&on.kind), text(&on.namespace), text(&on.name))
}
