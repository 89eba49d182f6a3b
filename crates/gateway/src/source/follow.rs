//! Follows the stream of a listener: resumes where it was, with any replica, after a pause that grows. What was served
//! stays until the listener says otherwise.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use portolan_core::schema_document::{DocumentEvent, PartReference};
use portolan_runtime::{backoff::Backoff, client::carrier::Answer};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    client::{ListenerClient, ListenerFailure, room, whole},
    load::{load, unload},
    position::{NextStep, StreamPosition},
};
use crate::{
    lines::{AnswerLines, LineError},
    state::GatewayState,
};

/// Pauses between streams that failed.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// Silence after which a stream is given up: the listener sends a heartbeat every ten seconds.
const SILENCE: Duration = Duration::from_secs(35);
/// Number of parts that are read at a time.
const AT_A_TIME: usize = 8;
/// Bytes of parts that are kept, for other clusters that serve the same.
const KEPT: usize = 128 * 1024 * 1024;

/// Follows a listener forever.
pub(super) async fn run(state: &GatewayState, client: ListenerClient) {
    let mut follower =
        StreamFollower { state, client, position: StreamPosition::default(), parts: RecentParts::default() };
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let end = follower.stream().await;
        if follower.position.is_synced() && end.is_ok() {
            backoff = Backoff::new(PAUSES.0, PAUSES.1);
        }
        if let Err(failure) = end {
            follower.tell(&failure);
        }
        sleep(backoff.next_delay()).await;
    }
}

struct StreamFollower<'a> {
    state: &'a GatewayState,
    client: ListenerClient,
    position: StreamPosition,
    parts: RecentParts,
}

impl StreamFollower<'_> {
    /// Follows one stream to its end. A stream that has served its time ends well.
    async fn stream(&mut self) -> Result<(), ListenerFailure> {
        let mut events = StreamEvents::of(self.client.stream(&mut self.position).await?);
        while let Some(event) = events.next().await? {
            self.take(event).await?;
        }
        Ok(())
    }

    async fn take(&mut self, event: DocumentEvent) -> Result<(), ListenerFailure> {
        if matches!(event, DocumentEvent::Heartbeat { .. }) {
            self.parts = RecentParts::default();
        }
        match self.position.take(event) {
            NextStep::Load { name, metadata, parts, version, revision } => {
                let document = match self.parts.of_document(&self.client, &parts).await {
                    Ok(parts) => whole(&metadata, &parts),
                    Err(failure @ ListenerFailure::TooLarge) => Err(failure),
                    Err(failure) => return self.missed(name, failure),
                };
                load(self.state, &name, document.map_err(|failure| failure.told())).await;
                self.position.tried(name, version, revision);
                if self.position.is_synced() {
                    self.state.forget_types();
                }
            }
            NextStep::Unload(names) => self.unload(&names),
            NextStep::Synced(names) => {
                self.unload(&names);
                self.synced();
            }
            NextStep::Nothing => {}
        }
        if self.position.must_resume() { Err(ListenerFailure::Missed) } else { Ok(()) }
    }

    fn missed(&mut self, name: String, failure: ListenerFailure) -> Result<(), ListenerFailure> {
        self.state.failed(&name, &failure.told());
        self.position.missed(name);
        if self.position.must_resume() { Err(failure) } else { Ok(()) }
    }

    fn unload(&self, names: &[String]) {
        for name in names {
            unload(self.state, name);
        }
        if !names.is_empty() {
            self.state.forget_types();
        }
    }

    fn synced(&mut self) {
        self.state.forget_types();
        if self.state.source_is_there() {
            info!(listener = self.client.url(), "the listener serves documents again");
        }
    }

    fn tell(&mut self, failure: &ListenerFailure) {
        let reason = format!("{}: {}", self.client.url(), failure.told());
        if self.state.source_interrupted(&reason) {
            warn!("{reason}; what was served before stays, and the listener is asked again");
        }
    }
}

/// Parts that were read lately. Clusters that serve the same have the same parts.
#[derive(Debug, Default)]
pub(super) struct RecentParts {
    by_hash: BTreeMap<String, Bytes>,
    bytes: usize,
}

impl RecentParts {
    pub(super) async fn of_document(
        &mut self,
        client: &ListenerClient,
        references: &[PartReference],
    ) -> Result<Vec<(PartReference, Bytes)>, ListenerFailure> {
        let wanted = references.iter().filter(|part| !self.by_hash.contains_key(&part.sha256));
        let reading = stream::iter(wanted.cloned().collect::<Vec<_>>())
            .map(async |part| client.part(&part, room(0)).await.map(|bytes| (part.sha256, bytes)))
            .buffer_unordered(AT_A_TIME);
        let mut new: BTreeMap<String, Bytes> = BTreeMap::new();
        let mut taken = 0;
        futures::pin_mut!(reading);
        while let Some((hash, bytes)) = reading.try_next().await? {
            taken += bytes.len();
            if room(taken) == 0 {
                return Err(ListenerFailure::TooLarge);
            }
            new.insert(hash, bytes);
        }
        let part = |reference: &PartReference| {
            let bytes = new.get(&reference.sha256).or_else(|| self.by_hash.get(&reference.sha256));
            bytes.map(|bytes| (reference.clone(), bytes.clone()))
        };
        let all = references.iter().filter_map(part).collect();
        self.keep(new, taken);
        Ok(all)
    }

    fn keep(&mut self, new: BTreeMap<String, Bytes>, bytes: usize) {
        if self.bytes + bytes > KEPT {
            *self = Self::default();
        }
        if bytes <= KEPT {
            self.bytes += bytes;
            self.by_hash.extend(new);
        }
    }
}

/// The events of a stream, one per line.
pub(super) struct StreamEvents(AnswerLines);

impl StreamEvents {
    /// The events of an answer.
    pub(super) fn of(body: Answer) -> Self {
        Self(AnswerLines::of_talker(body, SILENCE))
    }

    /// The next event. None at the end of the stream.
    pub(super) async fn next(&mut self) -> Result<Option<DocumentEvent>, ListenerFailure> {
        let line = self.0.next().await.map_err(|error| match error {
            LineError::TooLong => ListenerFailure::TooLarge,
            LineError::Silence(time) => ListenerFailure::Silence(time),
            LineError::Broken(error) => ListenerFailure::Broken(error),
        })?;
        line.map(|line| serde_json::from_slice(&line).map_err(ListenerFailure::NoEvent)).transpose()
    }
}
