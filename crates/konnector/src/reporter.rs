//! Kubernetes Events for what a person would want to know.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter as Source},
};
use tracing::debug;

/// Writes Events to the consumer. Equal ones are counted up, not repeated.
#[derive(Clone)]
pub(crate) struct Reporter(Recorder);

impl Reporter {
    pub(crate) fn new(consumer: Client, instance: &str) -> Self {
        let source = Source { controller: "kube-bind-konnector".to_owned(), instance: Some(instance.to_owned()) };
        Self(Recorder::new(consumer, source))
    }

    pub(crate) async fn warn(&self, on: &ObjectReference, reason: &str, action: &str, note: &str) {
        self.publish(on, EventType::Warning, reason, action, note).await;
    }

    pub(crate) async fn inform(&self, on: &ObjectReference, reason: &str, action: &str, note: &str) {
        self.publish(on, EventType::Normal, reason, action, note).await;
    }

    async fn publish(&self, on: &ObjectReference, type_: EventType, reason: &str, action: &str, note: &str) {
        // The API server takes notes of up to 1024 bytes.
        let note: String = note.chars().take(1000).collect();
        let event =
            Event { type_, reason: reason.to_owned(), note: Some(note), action: action.to_owned(), secondary: None };
        if let Err(error) = self.0.publish(&event, on).await {
            debug!(%error, reason, "failed to write an Event");
        }
    }
}
