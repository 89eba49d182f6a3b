//! Fills a kind and keeps it: a list in pages, then a watch over a connection that proves its life.

mod follow;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode};
use portolan_runtime::backoff::Backoff;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    cluster::ClusterMemory,
    held::HeldObjects,
    kept::{FillingNumber, KeptKind},
    object::{KeptObject, UnkeptObject, comparable},
    review::KindRight,
};
use crate::{
    alike,
    document::KindName,
    error::{ErrorCode, GraphError},
    scan::{JsonCursor, at, text_at},
    upstream::{ApiPath, ApiRequest, JSON, RefusedAnswer},
};

/// Number of objects of a page.
const PAGE: &str = "250";
/// Maximum size of an APIService.
const MAX_SERVICE: usize = 1024 * 1024;
/// Maximum size of a page.
const MAX_PAGE: usize = 64 * 1024 * 1024;
/// Pauses between lists where none succeeds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// A watch that ends so soon has served nobody.
const SHORT: Duration = Duration::from_secs(1);
/// Time without a read after which a kind is dropped.
const IDLE: Duration = Duration::from_secs(600);
/// Time until it is tried again, where the credential, the size or the kind stand in the way.
const LATER: Duration = Duration::from_secs(60);

/// The end of a list or a watch.
#[derive(Debug)]
enum FillingEnd {
    /// The watch has served its time. Another one goes on from there.
    Again,
    /// Everything has to be listed again.
    Anew,
    /// The API server refuses it to the gateway, for this reason.
    Refused(String),
    /// It cannot be kept, for this reason.
    Never(String),
    /// It is not to be kept any more.
    Over,
}

/// One filling of a kind.
struct KindFiller {
    memory: Arc<ClusterMemory>,
    kept: Arc<KeptKind>,
    filling: FillingNumber,
    /// Room to work in.
    buffer: Vec<u8>,
}

/// Somebody asks for what is not in memory. The second time within a minute, it is filled.
pub(super) fn asked(
    memory: &Arc<ClusterMemory>,
    kept: &Arc<KeptKind>,
    caller: &HeaderValue,
    namespace: Option<&str>,
) {
    if !memory.has_place() {
        return;
    }
    let Some((filling, tasks)) = kept.asked(&memory.tasks) else { return };
    let (memory, kept) = (Arc::clone(memory), Arc::clone(kept));
    let filler = KindFiller { memory, kept, filling, buffer: Vec::new() };
    tasks.spawn("memory", filler.run(caller.clone(), namespace.map(str::to_owned)));
}

impl KindFiller {
    /// Fills and keeps a kind, if the caller who asked for it may read it.
    async fn run(mut self, caller: HeaderValue, namespace: Option<String>) {
        let right =
            KindRight { verb: "list", resource: &self.kept.resource, namespace: namespace.as_deref() };
        let get = KindRight { verb: "get", ..right };
        let is_allowed = self.memory.allows(&caller, right).await || self.memory.allows(&caller, get).await;
        let end = if is_allowed { self.keep().await } else { FillingEnd::Over };
        let (cluster, resource) = (self.memory.cluster.as_str(), self.kept.resource.plural.as_str());
        let pause = match end {
            FillingEnd::Refused(reason) | FillingEnd::Never(reason) => {
                warn!(cluster, resource, reason, "not kept in memory: it is read from the API server");
                LATER
            }
            _ => Duration::ZERO,
        };
        self.memory.budget.changed(self.kept.close(self.filling, pause), 0);
    }

    async fn keep(&mut self) -> FillingEnd {
        let (mut backoff, mut was_kept) = (Backoff::new(PAUSES.0, PAUSES.1), false);
        loop {
            let begun = Instant::now();
            let mut end = self.list().await;
            if matches!(end, FillingEnd::Again) {
                was_kept = true;
                info!(cluster = self.memory.cluster, resource = self.kept.resource.plural, "kept in memory");
            }
            while matches!(end, FillingEnd::Again) {
                let watched = Instant::now();
                end = self.watch().await;
                // Whoever ends each watch at once is not asked again at once.
                if matches!(end, FillingEnd::Again) && watched.elapsed() < SHORT {
                    sleep(backoff.next_delay()).await;
                }
            }
            // An API server that has just started refuses everything for a moment.
            let is_over = match end {
                FillingEnd::Over | FillingEnd::Never(_) => true,
                FillingEnd::Refused(_) => !was_kept,
                FillingEnd::Again | FillingEnd::Anew => false,
            };
            if is_over || self.kept.unread_for() > IDLE {
                return end;
            }
            self.memory.budget.changed(self.kept.empty(self.filling), 0);
            if begun.elapsed() > PAUSES.1 * 2 {
                backoff = Backoff::new(PAUSES.0, PAUSES.1);
            }
            sleep(backoff.next_delay()).await;
        }
    }

    /// Lists everything. `Again` if a watch may go on from there.
    async fn list(&mut self) -> FillingEnd {
        let Some(credential) = self.memory.credential().await else {
            return FillingEnd::Refused("the gateway has no credential for it".to_owned());
        };
        if let Err(end) = self.looks_alike(&credential).await {
            return end;
        }
        let begun = (Instant::now(), self.kept.floor());
        let (mut token, mut is_first) = (String::new(), true);
        loop {
            let path = ApiPath::of(&self.kept.resource, None).with("limit", PAGE);
            let question = ApiRequest::list(path.with_some("continue", Some(&token)).text(), JSON);
            let page = match self.memory.upstream.ask(&credential, question, MAX_PAGE).await {
                Ok(Ok(page)) => page,
                Ok(Err(refused)) => return meaning(&refused),
                Err(error) => return unanswered(error),
            };
            let Some(metadata) = at(&page, &["metadata"]).ok().flatten() else { return unreadable() };
            let objects = match self.objects(&page) {
                Ok(objects) => objects,
                Err(end) => return end,
            };
            let left = if is_first { remaining(metadata) } else { 0 };
            if is_first && !self.fits(&objects, left) {
                return FillingEnd::Never(format!("with {left} more objects it does not fit the budget"));
            }
            is_first = false;
            if !self.take(objects) {
                return FillingEnd::Over;
            }
            token = text_at(metadata, &["continue"]).unwrap_or_default();
            if token.is_empty() {
                let version = text_at(metadata, &["resourceVersion"]).as_deref().and_then(comparable);
                let Some(version) = version else {
                    return FillingEnd::Never("its versions cannot be compared".to_owned());
                };
                self.kept.whole(self.filling, version, begun);
                return FillingEnd::Again;
            }
        }
    }

    /// Checks that the kind looks alike to everybody who may list it: the API server itself has it, and no other server,
    /// which may show each caller something else.
    async fn looks_alike(&self, credential: &HeaderValue) -> Result<(), FillingEnd> {
        let KindName { group, version, .. } = &self.kept.resource.name;
        if alike::is_built_in(group) {
            return Ok(());
        }
        let path = format!("/apis/apiregistration.k8s.io/v1/apiservices/{version}.{group}");
        match self.memory.upstream.ask(credential, ApiRequest::get(path, JSON), MAX_SERVICE).await {
            Ok(Ok(service)) => match at(&service, &["spec", "service"]) {
                Ok(None | Some(b"null")) => Ok(()),
                _ => Err(FillingEnd::Never("another API server serves it".to_owned())),
            },
            Ok(Err(refused)) => Err(match meaning(&refused) {
                FillingEnd::Refused(why) => {
                    FillingEnd::Refused(format!("who serves it is not known, since {why}"))
                }
                other => other,
            }),
            Err(error) => Err(unanswered(error)),
        }
    }

    /// The objects of a page.
    fn objects(&mut self, page: &[u8]) -> Result<Vec<KeptObject>, FillingEnd> {
        let mut objects = Vec::new();
        let read = items(page, |item| {
            objects.push(KeptObject::of(item, &mut self.buffer)?);
            Ok(())
        });
        read.map(|()| objects).map_err(|_| unreadable())
    }

    /// Judges by the first page whether all the others fit, too.
    fn fits(&self, page: &[KeptObject], left: u64) -> bool {
        self.memory.budget.has_room(&self.kept, needed(page, left))
    }

    /// Takes objects in. False if this filling is over.
    fn take(&self, objects: Vec<KeptObject>) -> bool {
        let filled = self.kept.fill(self.filling, |held| objects.into_iter().for_each(|one| held.list(one)));
        if let Some(filled) = filled {
            self.memory.budget.changed(filled.before, filled.after);
        }
        filled.is_some()
    }
}

/// Estimates the bytes of a kind from those of a page, overhead included.
fn needed(page: &[KeptObject], left: u64) -> u64 {
    let (mut held, count) = (HeldObjects::default(), page.len() as u64);
    for one in page {
        held.list(one.clone());
    }
    held.weight.saturating_mul(count + left) / count.max(1)
}

/// Visits the items of a list.
fn items(page: &[u8], mut visit: impl FnMut(&[u8]) -> Result<(), UnkeptObject>) -> Result<(), UnkeptObject> {
    let items = at(page, &["items"])?.unwrap_or(b"[]");
    let mut cursor = JsonCursor::new(items);
    if cursor.peek()? != b'[' {
        // Go writes an empty list as `null`.
        return Ok(());
    }
    cursor.expect(b'[')?;
    let mut more = !cursor.take(b']')?;
    while more {
        visit(cursor.value()?)?;
        more = cursor.another(b']')?;
    }
    Ok(())
}

fn remaining(metadata: &[u8]) -> u64 {
    let written = at(metadata, &["remainingItemCount"]).ok().flatten();
    written.and_then(|written| serde_json::from_slice(written).ok()).unwrap_or_default()
}

fn meaning(refused: &RefusedAnswer) -> FillingEnd {
    match refused.status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED => {
            FillingEnd::Refused(format!("the API server answers {} to the gateway", refused.status.as_u16()))
        }
        _ => FillingEnd::Anew,
    }
}

fn unanswered(error: GraphError) -> FillingEnd {
    if error.code == ErrorCode::ResponseTooLarge {
        FillingEnd::Never(error.message)
    } else {
        FillingEnd::Anew
    }
}

fn unreadable() -> FillingEnd {
    FillingEnd::Never("its objects cannot be read or compared".to_owned())
}

#[cfg(test)]
mod tests;
