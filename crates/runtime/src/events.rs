//! Kubernetes Events for what a person would want to know.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter as Source},
};
use tracing::warn;

use crate::telemetry::Chain;

/// How many bytes of a note the API server takes.
const MAX_NOTE: usize = 1024;

/// Writes Events. Equal ones are counted up, not repeated.
#[derive(Clone)]
pub struct Reporter(Recorder);

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter")
    }
}

impl Reporter {
    /// Writes as `controller`; `instance` tells its replicas apart.
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let source = Source { controller: controller.to_owned(), instance: Some(instance.to_owned()) };
        Self(Recorder::new(client, source))
    }

    /// Something needs a person.
    pub async fn warn(&self, on: &ObjectReference, reason: &str, action: &str, note: &str) {
        self.publish(on, EventType::Warning, reason, action, note).await;
    }

    /// Something was done.
    pub async fn inform(&self, on: &ObjectReference, reason: &str, action: &str, note: &str) {
        self.publish(on, EventType::Normal, reason, action, note).await;
    }

    async fn publish(&self, on: &ObjectReference, type_: EventType, reason: &str, action: &str, note: &str) {
        let note = note[..note.floor_char_boundary(MAX_NOTE)].to_owned();
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, on).await {
            warn!(reason, object = on.name, "failed to write an Event: {}", Chain(&error));
        }
    }
}
