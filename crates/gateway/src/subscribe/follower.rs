//! One subscriber: its own list, then the events of the shared watch, each with its selection.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, interval_at},
};

use super::{
    Subscriber, SubscriptionMessage, SubscriptionRoot,
    channel::{ChannelMember, WatchEvent, WatchNews},
    hub::ChannelKey,
    known::{ChangeKind, KnownObjects, look},
    rights::{may_watch, prove, question},
    watching::key,
};
use crate::{
    alike,
    document::ApiResource,
    error::{ErrorCode, GraphError},
    execute::{CallArguments, RequestContext, broken},
    plan::WantedSelection,
    scan::{
        JsonCursor, JsonWriter, ListPart, ListWalk, MalformedJson, ObjectSelection, ValueShape, quoted,
        text_at,
    },
    upstream::{ApiRequest, JSON},
};

/// Interval at which the caller's access is proven again.
const PROVE_EVERY: Duration = Duration::from_secs(8);

/// A change, and what is selected from the object: once for each occurrence of `object`.
type ToldChange = (ChangeKind, Vec<Vec<u8>>);

struct SubscriptionFollower<'a> {
    root: &'a SubscriptionRoot,
    sender: &'a mpsc::Sender<SubscriptionMessage>,
    event: &'a ObjectSelection,
    path: String,
    /// `true` if changes of other fields count, too.
    counts_always: bool,
    known: KnownObjects,
    /// The version of the last list; earlier events are known from it.
    floor: u64,
    /// The most that is written of an object, and of a list, in bytes.
    most: usize,
}

/// Follows until the caller leaves or loses access.
pub async fn follow(
    subscriber: &Subscriber,
    root: &SubscriptionRoot,
    sender: &mpsc::Sender<SubscriptionMessage>,
) -> Result<(), GraphError> {
    let resource = &root.kind(&subscriber.served.endpoint)?.resource;
    let asking = subscriber.asking();
    let arguments = CallArguments::new(asking, &root.call);
    let (path, review) = question(&arguments, resource, root.call.operation.verb)?;
    // Whoever comes back asks the same, with the version at which the first one began.
    let from = match subscriber.last_seen.clone().filter(|version| !version.is_empty()) {
        Some(version) => Some(version),
        None => arguments.text("resourceVersion")?.filter(|version| !version.is_empty()),
    };
    if from.as_deref().is_some_and(|version| version.parse::<u64>().is_err()) {
        return Err(GraphError::new(ErrorCode::Invalid, "resourceVersion must be a number"));
    }
    let WantedSelection::Event(event) = &root.call.wanted else {
        return Err(GraphError::new(ErrorCode::Internal, "no events are planned"));
    };
    // What is done now and then is in boxes, so that a subscriber who waits takes little memory.
    Box::pin(may_watch(asking, &review)).await?;
    let selects_object = event.fields.iter().any(|field| &*field.key == "object");
    let mut member = join(subscriber, resource, &path, from.as_ref());
    let mut follower = SubscriptionFollower {
        root,
        sender,
        event,
        path,
        counts_always: arguments.is("subscribeToAll")? || !selects_object,
        known: KnownObjects::default(),
        floor: from.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default(),
        most: asking.max_response,
    };
    if from.is_none() {
        Box::pin(follower.list(asking)).await?;
    }
    follower.follow(&mut member, asking, &review, subscriber).await
}

/// Joins the shared watch of a path.
fn join(subscriber: &Subscriber, resource: &ApiResource, path: &str, from: Option<&String>) -> ChannelMember {
    let endpoint = &subscriber.served.endpoint;
    let shared = alike::is_built_in(&resource.name.group);
    let key = ChannelKey {
        path: path.to_owned(),
        from: from.cloned(),
        caller: (!shared).then(|| subscriber.caller.id.clone()),
    };
    endpoint.hub.join(&key, endpoint, &subscriber.caller, &subscriber.state.tasks)
}

impl SubscriptionFollower<'_> {
    /// Passes on events until the caller loses access.
    async fn follow(
        &mut self,
        member: &mut ChannelMember,
        asking: RequestContext<'_>,
        review: &serde_json::Value,
        subscriber: &Subscriber,
    ) -> Result<(), GraphError> {
        let mut proof = interval_at(Instant::now() + PROVE_EVERY, PROVE_EVERY);
        loop {
            tokio::select! {
                news = member.news.recv() => match news {
                    Ok(WatchNews::Event(event)) => self.heard(&event).await?,
                    Ok(WatchNews::Gap) | Err(RecvError::Lagged(_)) => Box::pin(self.list(asking)).await?,
                    Err(RecvError::Closed) => return Ok(()),
                },
                _ = member.ended.changed() => {
                    let error = member.ended.borrow().clone();
                    return error.map_or(Ok(()), Err);
                }
                _ = proof.tick() => {
                    let proof = Box::pin(prove(subscriber, asking, review));
                    Box::pin(asking.endpoint.hub.prove((&subscriber.caller, review), proof)).await?;
                }
            }
        }
    }

    /// Lists everything, and sends what the subscriber does not know, deletions included. Only what will be sent is kept
    /// of the list.
    async fn list(&mut self, asking: RequestContext<'_>) -> Result<(), GraphError> {
        let question = ApiRequest::list(self.path.clone(), JSON);
        let mut feed = asking.open(question, Some("unable to list objects")).await?;
        let (mut walk, mut there, mut changes) = (ListWalk::default(), BTreeSet::new(), Vec::new());
        let mut left = self.most;
        while !walk.is_done() {
            let mut cursor = JsonCursor::new(feed.bytes());
            match walk.step(&mut cursor, JsonCursor::value) {
                Ok(ListPart::Item { item, .. }) => {
                    let text = |name: &str| text_at(item, &["metadata", name]).unwrap_or_default();
                    let key = key(&text("namespace"), &text("name"));
                    if let Some((change, selected)) = self.news(&key, item)? {
                        let size = selected.iter().map(Vec::len).sum();
                        left = left.checked_sub(size).ok_or_else(|| broken(MalformedJson::TOO_LONG))?;
                        changes.push((change, selected));
                    }
                    there.insert(key);
                }
                Ok(_) => {}
                Err(cut) if cut.at >= feed.bytes().len() && !feed.is_over() => {
                    feed.more().await?;
                    continue;
                }
                Err(malformed) => return Err(broken(malformed)),
            }
            let used = cursor.position();
            feed.used(used);
        }
        feed.ends().await?;
        let metadata = walk.metadata.unwrap_or_default();
        let version = text_at(&metadata, &["resourceVersion"]).unwrap_or_default();
        let missing = self.known.missing(&there);
        // Whoever goes on from the version of the list has seen all of it: its last event alone says so.
        let mut to_send = changes.len() + missing.len();
        let mut seen = || {
            to_send -= 1;
            (to_send == 0).then_some(version.as_str())
        };
        for (change, selected) in changes {
            self.send(change, &selected, seen()).await?;
        }
        for key in missing {
            let (namespace, name) = key.split_once('/').unwrap_or_default();
            let metadata = if namespace.is_empty() {
                json!({"name": name})
            } else {
                json!({"name": name, "namespace": namespace})
            };
            self.gone(&key, json!({"metadata": metadata}).to_string().as_bytes(), seen()).await?;
        }
        self.floor = version.parse().unwrap_or_default();
        Ok(())
    }

    async fn heard(&mut self, event: &WatchEvent) -> Result<(), GraphError> {
        // A version that is not a number is never old.
        if event.version.parse().unwrap_or(u64::MAX) <= self.floor {
            return Ok(());
        }
        match event.change {
            ChangeKind::Added | ChangeKind::Modified => self.there(event).await,
            // A subscriber that began at a version knows no objects, and gets every deletion.
            ChangeKind::Deleted => self.gone(&event.key, &event.object, Some(&event.version)).await,
        }
    }

    async fn there(&mut self, event: &WatchEvent) -> Result<(), GraphError> {
        let Some((change, selected)) = self.news(&event.key, &event.object)? else { return Ok(()) };
        // What is new to a subscriber that began at a version may have been there before.
        let change = if change == ChangeKind::Added { event.change } else { change };
        self.send(change, &selected, Some(&event.version)).await
    }

    /// The message about an object, if there is one.
    fn news(&mut self, key: &str, object: &[u8]) -> Result<Option<ToldChange>, GraphError> {
        let selected = self.selected(object)?;
        let version = || text_at(object, &["metadata", "resourceVersion"]);
        let version = self.counts_always.then(version).flatten();
        let change = self.known.there(key, look(&selected, version.as_deref()));
        Ok(change.map(|change| (change, selected)))
    }

    async fn gone(&mut self, key: &str, object: &[u8], version: Option<&str>) -> Result<(), GraphError> {
        self.known.gone(key);
        let selected = self.selected(object)?;
        self.send(ChangeKind::Deleted, &selected, version).await
    }

    /// The selection from an object, once for each occurrence of `object`.
    fn selected(&self, object: &[u8]) -> Result<Vec<Vec<u8>>, GraphError> {
        let (mut all, mut left) = (Vec::new(), self.most);
        for field in &self.event.fields {
            if let ValueShape::Object(selection) = &field.shape {
                let mut writer = JsonWriter::with_capacity(object.len().min(1024)).at_most(left);
                writer.object(&mut JsonCursor::new(object), selection).map_err(broken)?;
                left = left.saturating_sub(writer.out.len());
                all.push(writer.out);
            }
        }
        Ok(all)
    }

    /// Sends a change, with the version from which a later subscription may go on.
    async fn send(
        &self,
        change: ChangeKind,
        selected: &[Vec<u8>],
        version: Option<&str>,
    ) -> Result<(), GraphError> {
        let mut objects = selected.iter();
        let mut out = format!("{{\"data\":{{\"{}\":{{", self.root.name).into_bytes();
        for (index, field) in self.event.fields.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(field.label.as_bytes());
            match &field.shape {
                ValueShape::Object(_) => {
                    out.extend_from_slice(objects.next().map_or(&b"null"[..], Vec::as_slice));
                }
                ValueShape::Constant(json) => out.extend_from_slice(json.as_bytes()),
                _ => out.extend_from_slice(quoted(change.text()).as_bytes()),
            }
        }
        out.extend_from_slice(b"}}}");
        let closed = |_| GraphError::new(ErrorCode::Unavailable, "the subscriber has gone");
        self.sender.send(SubscriptionMessage::Next(out.into(), version.map(Box::from))).await.map_err(closed)
    }
}
