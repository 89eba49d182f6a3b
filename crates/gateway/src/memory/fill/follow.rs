//! Keeps a kind up to date: a watch over a connection that proves its life.

use std::future::ready;

use bytes::Bytes;
use rand::RngExt as _;
use tokio::time::Instant;

use super::{
    super::{
        held::HeldObjects,
        object::{KeptObject, comparable},
    },
    FillingEnd, IDLE, KindFiller, meaning, unreadable,
};
use crate::{
    lines::AnswerLines,
    scan::{at, text_at},
    upstream::{ApiPath, ApiRequest},
};

impl KindFiller {
    /// Watches once.
    pub(super) async fn watch(&mut self) -> FillingEnd {
        let Some(credential) = self.memory.credential().await else { return FillingEnd::Anew };
        let Some(version) = self.kept.look(|held| held.version) else { return FillingEnd::Over };
        let wire = match self.memory.wire().await {
            Ok(wire) => wire,
            Err(end) => return end.map_or(FillingEnd::Anew, FillingEnd::Never),
        };
        let seconds = rand::rng().random_range(240..300).to_string();
        let path = ApiPath::of(&self.kept.resource, None).with("watch", "true");
        let path = path.with("allowWatchBookmarks", "true").with("timeoutSeconds", &seconds);
        let path = path.with("resourceVersion", &version.found.to_string());
        let answer = self.memory.upstream.begin_on(&wire, &credential, ApiRequest::watch(path.text())).await;
        let mut lines = match answer {
            Ok(Ok(body)) => AnswerLines::of(body),
            Ok(Err(refused)) => return meaning(&refused),
            Err(_) => {
                self.memory.drop_wire(&wire).await;
                return FillingEnd::Anew;
            }
        };
        let (begun, mut proof, mut heard) = (Instant::now(), wire.proof(), None);
        loop {
            // What comes in is older than what it proves, unless everything was read that had come before.
            tokio::select! {
                biased;
                line = lines.next() => match line {
                    Ok(Some(line)) => match self.heard(&line) {
                        Some(end) => return end,
                        None => heard = Some(Instant::now()),
                    },
                    Ok(None) => return FillingEnd::Again,
                    Err(_) => return FillingEnd::Anew,
                },
                () = ready(()), if heard.is_some() => {
                    if let Some(at) = heard.take().filter(|_| lines.is_between()) {
                        self.kept.proven(self.filling, at);
                    }
                }
                said = proof.changed() => {
                    let at = *proof.borrow_and_update();
                    if said.is_err() {
                        return FillingEnd::Anew;
                    }
                    if at >= begun && lines.is_between() {
                        self.kept.proven(self.filling, at);
                    }
                    if self.kept.unread_for() > IDLE {
                        return FillingEnd::Over;
                    }
                }
            }
        }
    }

    fn change(&mut self, kind: &str, object: &[u8]) -> Option<WatchChange> {
        if kind == "BOOKMARK" {
            let version = text_at(object, &["metadata", "resourceVersion"]);
            return version.as_deref().and_then(comparable).map(WatchChange::Bookmark);
        }
        let object = KeptObject::of(object, &mut self.buffer).ok()?;
        Some(if kind == "DELETED" { WatchChange::Gone(object) } else { WatchChange::There(object) })
    }

    /// Takes an event in. Returns the end, if it is one.
    fn heard(&mut self, line: &Bytes) -> Option<FillingEnd> {
        let (Some(kind), Ok(Some(object))) = (text_at(line, &["type"]), at(line, &["object"])) else {
            return Some(unreadable());
        };
        if kind == "ERROR" {
            return Some(FillingEnd::Anew);
        }
        let Some(change) = self.change(&kind, object) else { return Some(unreadable()) };
        let Some(filled) = self.kept.fill(self.filling, |held| change.make(held)) else {
            return Some(FillingEnd::Over);
        };
        if filled.before != filled.after {
            self.memory.budget.changed(filled.before, filled.after);
        }
        None
    }
}

enum WatchChange {
    Bookmark(u64),
    There(KeptObject),
    Gone(KeptObject),
}

impl WatchChange {
    fn make(self, held: &mut HeldObjects) {
        match self {
            Self::Bookmark(version) => held.version = version,
            Self::There(object) => {
                let version = object.version();
                held.put(object);
                held.change(version);
            }
            Self::Gone(object) => {
                held.remove(object.key());
                held.change(object.version());
            }
        }
    }
}
