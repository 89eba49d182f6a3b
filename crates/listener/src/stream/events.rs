//! The stream of one gateway. Each event is made from the current state when the gateway can take it: a slow gateway
//! skips what is outdated, never what is current.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use portolan_core::schema_document::DocumentEvent;
use portolan_runtime::tasks::Tasks;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    documents::{DocumentSnapshot, DocumentStore, SchemaDocument},
    metrics::ListenerMetrics,
};

/// The request of a gateway.
pub(super) struct FollowRequest {
    pub(super) documents: Arc<DocumentStore>,
    pub(super) epoch: Arc<str>,
    pub(super) since: Option<String>,
    pub(super) credentials: bool,
    pub(super) watches: bool,
    pub(super) heartbeat: Duration,
    pub(super) longest: Duration,
}

/// Lines for a gateway.
pub(super) struct EventStream {
    lines: mpsc::Receiver<Bytes>,
    metrics: Arc<ListenerMetrics>,
}

impl EventStream {
    /// Starts to send the current state.
    pub(super) fn start(tasks: &Tasks, follow: FollowRequest, metrics: Arc<ListenerMetrics>) -> Self {
        // Only one line ahead: later ones are made when they can be sent.
        let (sender, lines) = mpsc::channel(1);
        tasks.spawn("stream", async move { follow.run(&sender).await });
        metrics.streams(1);
        Self { lines, metrics }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.metrics.streams(-1);
    }
}

impl Stream for EventStream {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lines.poll_recv(cx).map(|line| line.map(Ok))
    }
}

/// Everything that the gateway has already.
#[derive(Debug, Default)]
struct SentState {
    /// ClusterAccess and revision of each document.
    documents: BTreeMap<String, (Arc<str>, u64)>,
    synced: bool,
}

impl FollowRequest {
    async fn run(self, sender: &mpsc::Sender<Bytes>) {
        let ends = Instant::now() + self.longest;
        let mut changed = self.documents.subscribe();
        let mut sent = SentState::default();
        let since = self.since.as_deref().and_then(|since| self.number(since));
        loop {
            changed.mark_unchanged();
            let snapshot = self.documents.snapshot();
            if let Some(event) =
                next(&snapshot, &mut sent, since, &|number| self.revision(number), self.credentials)
            {
                if self.send(sender, &event, ends).await.is_none() {
                    return;
                }
                continue;
            }
            if !self.watches && sent.synced {
                return;
            }
            tokio::select! {
                ended = changed.changed() => if ended.is_err() { return },
                () = sleep(self.heartbeat) => {
                    let heartbeat = DocumentEvent::Heartbeat { revision: self.revision(snapshot.revision) };
                    if self.send(sender, &heartbeat, ends).await.is_none() {
                        return;
                    }
                }
                () = sleep_until(ends) => return,
                () = sender.closed() => return,
            }
        }
    }

    /// Sends an event. None if the gateway has gone, or does not take it before the stream ends.
    async fn send(&self, sender: &mpsc::Sender<Bytes>, event: &DocumentEvent, ends: Instant) -> Option<()> {
        let mut line = serde_json::to_vec(event).ok()?;
        line.push(b'\n');
        timeout_at(ends, sender.send(line.into())).await.ok()?.ok()
    }

    fn revision(&self, number: u64) -> String {
        format!("{}.{number}", self.epoch)
    }

    /// The number of a revision of ours.
    fn number(&self, revision: &str) -> Option<u64> {
        let (epoch, number) = revision.split_once('.')?;
        number.parse().ok().filter(|_| *epoch == *self.epoch)
    }
}

/// The next event for a gateway, given what it has already.
fn next(
    snapshot: &DocumentSnapshot,
    sent: &mut SentState,
    since: Option<u64>,
    revision: &impl Fn(u64) -> String,
    credentials: bool,
) -> Option<DocumentEvent> {
    let is_known = |document: &SchemaDocument| match sent.documents.get(document.name()) {
        Some((_, revision)) => document.revision <= *revision,
        None => since.is_some_and(|since| document.revision <= since),
    };
    let unsent = snapshot.documents.values().filter(|document| !is_known(document));
    let oldest = unsent.min_by_key(|document| document.revision);
    let is_gone = |(name, (access, _)): &(&String, &(Arc<str>, u64))| {
        !snapshot.documents.contains_key(*name) && !snapshot.keeps(name, access)
    };
    let gone = sent.documents.iter().find(is_gone).map(|(name, _)| name.clone());
    if let Some(name) = gone {
        sent.documents.remove(&name);
        // Not the latest revision: whoever resumes from it must still get what has not been sent.
        let reached = oldest.map_or(snapshot.revision, |document| document.revision - 1);
        return Some(DocumentEvent::Remove { name, revision: revision(reached) });
    }
    if let Some(document) = oldest {
        sent.documents.insert(document.name().to_owned(), place(document));
        let metadata =
            if credentials { (*document.metadata).clone() } else { document.metadata.without_credentials() };
        return Some(DocumentEvent::Upsert {
            name: document.name().to_owned(),
            // Not the latest revision: younger documents may still follow.
            revision: revision(document.revision),
            metadata: Box::new(metadata),
            parts: (*document.references).clone(),
        });
    }
    if !sent.synced && snapshot.complete {
        sent.synced = true;
        // Documents that were left out because the gateway has them can be removed later, too.
        for (name, document) in &snapshot.documents {
            sent.documents.entry(name.clone()).or_insert_with(|| place(document));
        }
        let names = snapshot.paths.keys().cloned().collect();
        return Some(DocumentEvent::Synced { revision: revision(snapshot.revision), names });
    }
    None
}

fn place(document: &SchemaDocument) -> (Arc<str>, u64) {
    (Arc::clone(&document.access), document.revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::DiscoveredApi;

    fn put(documents: &DocumentStore, path: &str, labels: &[(&str, &str)]) {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        let metadata = serde_json::json!({"host": "https://h", "path": path, "labels": labels,
            "auth": {"type": "token", "token": "czNjcmV0"}});
        documents.put(path, serde_json::from_value(metadata).unwrap(), &DiscoveredApi::default());
    }

    fn paths(documents: &DocumentStore, paths: &[&str], complete: bool) {
        let paths = paths.iter().map(|path| ((*path).to_owned(), (*path).to_owned())).collect();
        documents.set_paths(paths, complete);
    }

    /// Everything that there is to send, in short.
    fn drain(documents: &DocumentStore, sent: &mut SentState, since: Option<u64>) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(event) = next(&documents.snapshot(), sent, since, &|number| number.to_string(), false)
        {
            assert!(
                !serde_json::to_string(&event).unwrap().contains("czNjcmV0"),
                "nobody asked for credentials"
            );
            lines.push(match event {
                DocumentEvent::Upsert { name, revision, .. } => format!("upsert {name} {revision}"),
                DocumentEvent::Remove { name, .. } => format!("remove {name}"),
                DocumentEvent::Synced { names, .. } => format!("synced {}", names.join(",")),
                DocumentEvent::Heartbeat { .. } => "heartbeat".to_owned(),
            });
        }
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_left_when_the_stream_ends() {
        let documents = Arc::<DocumentStore>::default();
        for path in ["a", "b", "c"] {
            put(&documents, path, &[]);
        }
        let (heartbeat, longest) = (Duration::from_secs(10), Duration::from_secs(600));
        let (epoch, since) = ("e".into(), None);
        let follow =
            FollowRequest { documents, epoch, since, credentials: false, watches: true, heartbeat, longest };
        let (sender, mut lines) = mpsc::channel(1);
        let begun = Instant::now();
        follow.run(&sender).await;
        assert!(begun.elapsed() >= longest && lines.try_recv().is_ok() && lines.try_recv().is_err());
    }

    #[test]
    fn nothing_is_synced_before_everything_was_tried() {
        let (documents, mut sent) = (DocumentStore::default(), SentState::default());
        put(&documents, "a", &[]);
        paths(&documents, &["a", "down"], false);
        assert_eq!(drain(&documents, &mut sent, None), ["upsert a 1"]);
        paths(&documents, &["a", "down"], true);
        assert_eq!(drain(&documents, &mut sent, None), ["synced a,down"]);
        assert!(drain(&documents, &mut sent, None).is_empty());
    }

    #[test]
    fn a_slow_gateway_gets_the_last_state_only() {
        let (documents, mut sent) = (DocumentStore::default(), SentState::default());
        for count in ["1", "2", "3"] {
            put(&documents, "a", &[("count", count)]);
        }
        put(&documents, "b", &[]);
        documents.remove("b");
        paths(&documents, &["a"], true);
        assert_eq!(drain(&documents, &mut sent, None), ["upsert a 3", "synced a"]);
        documents.remove("a");
        assert!(drain(&documents, &mut sent, None).is_empty(), "its ClusterAccess is there");
        documents.set_paths([("heir".to_owned(), "a".to_owned())].into(), true);
        assert_eq!(drain(&documents, &mut sent, None), ["remove a"], "another one has the path now");
    }

    #[test]
    fn a_removal_skips_nothing_for_whoever_breaks_off_after_it() {
        let (documents, mut sent) = (DocumentStore::default(), SentState::default());
        let event = |sent: &mut SentState, since| {
            next(&documents.snapshot(), sent, since, &|number| number.to_string(), false).unwrap()
        };
        for path in ["a", "b", "c"] {
            put(&documents, path, &[]);
        }
        paths(&documents, &["a", "b", "c"], true);
        event(&mut sent, None);
        event(&mut sent, None);
        documents.remove("a");
        paths(&documents, &["b", "c"], true);
        let DocumentEvent::Remove { name, revision } = event(&mut sent, None) else { panic!("a is gone") };
        assert_eq!((name.as_str(), revision.as_str()), ("a", "2"));
        let since = revision.parse().ok();
        assert_eq!(drain(&documents, &mut SentState::default(), since), ["upsert c 3", "synced b,c"]);

        // If nothing is left to be sent, it is the latest.
        assert_eq!(drain(&documents, &mut sent, None), ["upsert c 3", "synced b,c"]);
        documents.remove("c");
        paths(&documents, &["b"], true);
        let DocumentEvent::Remove { revision, .. } = event(&mut sent, None) else { panic!("c is gone") };
        assert_eq!(revision, documents.snapshot().revision.to_string());
    }

    #[test]
    fn whoever_comes_back_gets_what_has_changed() {
        let documents = DocumentStore::default();
        put(&documents, "a", &[]);
        put(&documents, "b", &[]);
        paths(&documents, &["a", "b"], true);
        let since = documents.snapshot().documents["b"].revision;
        put(&documents, "a", &[("l", "1")]);
        let mut sent = SentState::default();
        let lines = drain(&documents, &mut sent, Some(since));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("upsert a") && lines[1] == "synced a,b", "{lines:?}");
        documents.remove("b");
        paths(&documents, &["a"], true);
        assert_eq!(
            drain(&documents, &mut sent, Some(since)),
            ["remove b"],
            "it was not sent again, but it is known"
        );
    }
}
