//! Changes in a target: its CRDs and APIServices, of which only the names are used.

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use portolan_runtime::{tasks::Tasks, watch::follow};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

/// The way in which changes are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watching {
    /// Not known yet.
    #[default]
    Unknown,
    /// By watches.
    Watches,
    /// By polling every few seconds: the credential may not watch.
    Forbidden,
    /// By a rare look at everything: the server's hashes are of no use.
    Unstable,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// An API of this group.
    Group(String),
    /// Something unknown.
    Anything,
}

/// The changes of one target.
pub(super) struct Changes {
    pub(super) received: mpsc::Receiver<Change>,
    pub(super) forbidden: watch::Receiver<bool>,
}

/// Maximum number of queued changes. Further ones are dropped: the reader looks at everything anyway.
const QUEUE: usize = 256;

impl Changes {
    /// Begins to watch.
    pub(super) fn follow(tasks: &Tasks, client: &Client) -> Self {
        let (sender, received) = mpsc::channel(QUEUE);
        let (forbid, forbidden) = watch::channel(false);
        let of = Follower { sender, forbid };
        tasks.spawn("crds", follow_kind::<CustomResourceDefinition>(client.clone(), of.clone()));
        tasks.spawn("apiservices", follow_kind::<APIService>(client.clone(), of));
        Self { received, forbidden }
    }

    /// The next change, if one is queued.
    pub(super) fn already(&mut self) -> Option<Change> {
        self.received.try_recv().ok()
    }
}

#[derive(Clone)]
struct Follower {
    sender: mpsc::Sender<Change>,
    forbid: watch::Sender<bool>,
}

async fn follow_kind<K>(client: Client, of: Follower)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    // The objects are large; only their metadata is sent.
    let api: Api<PartialObjectMeta<K>> = Api::all(client);
    let config = watcher::Config::default().page_size(500);
    follow(api, config, move |event| of.take(event)).await;
}

impl Follower {
    fn take<K: Resource<DynamicType = ()>>(&self, event: watcher::Result<Event<PartialObjectMeta<K>>>) {
        let change = match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => Change::Group(group_of(&object.name_any())),
            Ok(Event::InitDone) => {
                self.forbid.send_if_modified(|forbidden| std::mem::replace(forbidden, false));
                Change::Anything
            }
            Ok(Event::Init | Event::InitApply(_)) => return,
            Err(error) => {
                if is_refused(&error) {
                    self.forbid.send_if_modified(|forbidden| !std::mem::replace(forbidden, true));
                }
                return;
            }
        };
        // If the queue is full, its reader is about to look at everything.
        let _ = self.sender.try_send(change);
    }
}

/// Returns `true` if the server has answered, and will answer alike: by a refusal, or because it does not have the kind. What
/// stands between us and it may answer with a body that is no `Status`; its code is then 0.
fn is_refused(error: &watcher::Error) -> bool {
    let lasts = |code: u16| !matches!(code, 410 | 429 | 500..);
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => lasts(status.code),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// The group in the name of a CRD (`plural.group`) or of an APIService (`version.group`).
fn group_of(name: &str) -> String {
    name.split_once('.').map_or("", |(_, group)| group).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> watcher::Error {
        let status = kube::core::Status { code, ..kube::core::Status::failure("", "") };
        watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn who_is_refused_looks_by_itself() {
        for (code, expected) in [
            (403, true),
            (401, true),
            (404, true),
            (0, true),
            (410, false),
            (429, false),
            (500, false),
            (504, false),
        ] {
            assert_eq!(is_refused(&refused(code)), expected, "{code}");
        }
        let unreachable = kube::Error::Service("connection refused".into());
        assert!(!is_refused(&watcher::Error::InitialListFailed(unreachable)));
    }

    #[test]
    fn names_tell_the_group() {
        for (name, group) in [("widgets.x.io", "x.io"), ("v1.apps", "apps"), ("v1.", ""), ("odd", "")] {
            assert_eq!(group_of(name), group);
        }
    }
}
