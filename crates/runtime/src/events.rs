//! Kubernetes Events for what a person would want to know.

mod fields;

use std::{collections::HashMap, sync::Arc, time::Duration};

use k8s_openapi::api::{core::v1::ObjectReference, events::v1::Event};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;
use tracing::warn;

use self::fields::{Said, Source, event};
use crate::{apply::code, clock, telemetry::ErrorChain};

/// Time for which a repeated Event is counted up instead of created.
const SERIES: Duration = Duration::from_secs(6 * 60);
/// Namespace of Events about objects without one.
const DEFAULT_NAMESPACE: &str = "default";

/// Writes Events. Equal ones are counted up, not repeated.
#[derive(Clone)]
pub struct EventReporter(Arc<Inner>);

struct Inner {
    client: Client,
    source: Source,
    /// Events of a short time ago.
    series: Mutex<HashMap<Said, Written>>,
}

/// An Event that exists already.
#[derive(Clone)]
struct Written {
    name: String,
    count: i32,
    at: Instant,
}

impl std::fmt::Debug for EventReporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reporter")
    }
}

impl EventReporter {
    /// Writes as `controller`; `instance` tells its replicas apart.
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let source = Source { controller: controller.to_owned(), instance: instance.to_owned() };
        Self(Arc::new(Inner { client, source, series: Mutex::default() }))
    }

    /// Something needs a person.
    pub async fn warn(&self, on: &ObjectReference, reason: &str, action: &str, note: &str) {
        self.publish(Said::new(on, "Warning", reason, action, note)).await;
    }

    /// Something was done.
    pub async fn inform(&self, on: &ObjectReference, reason: &str, action: &str, note: &str) {
        self.publish(Said::new(on, "Normal", reason, action, note)).await;
    }

    async fn publish(&self, said: Said) {
        if let Err(error) = self.0.write(&said).await {
            let object = said.on.name.as_deref().unwrap_or_default();
            warn!(reason = said.reason, object, "failed to write an Event: {}", ErrorChain(&error));
        }
    }
}

impl Inner {
    async fn write(&self, said: &Said) -> kube::Result<()> {
        let namespace = said.on.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let counted = match self.recent(said) {
            Some(written) => self.count_up(&events, written).await?,
            None => None,
        };
        let written = if let Some(written) = counted {
            written
        } else {
            let event = event(said, &self.source, namespace, clock::precise_now());
            let name = event.metadata.name.clone().unwrap_or_default();
            events.create(&PostParams::default(), &event).await?;
            Written { name, count: 1, at: Instant::now() }
        };
        self.series.lock().insert(said.clone(), written);
        Ok(())
    }

    fn recent(&self, said: &Said) -> Option<Written> {
        let mut series = self.series.lock();
        series.retain(|_, written| written.at.elapsed() < SERIES);
        series.get(said).cloned()
    }

    /// None when the Event has gone: API servers keep them for a while only.
    async fn count_up(&self, events: &Api<Event>, written: Written) -> kube::Result<Option<Written>> {
        let count = written.count + 1;
        let series =
            json!({"series": {"count": count, "lastObservedTime": fields::micro(clock::precise_now())}});
        match events.patch(&written.name, &PatchParams::default(), &Patch::Merge(series)).await {
            Ok(_) => Ok(Some(Written { count, at: Instant::now(), ..written })),
            Err(error) if code(&error) == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }
}
