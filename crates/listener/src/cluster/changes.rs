//! Changes in a target: its CRDs and APIServices, of which only the names are used.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use parking_lot::Mutex;
use portolan_runtime::{tasks::Tasks, watch::follow};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

/// The way in which changes are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchMode {
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ApiChange {
    /// An API of this group.
    Group(String),
    /// Something unknown.
    Anything,
}

/// The changes of one target.
pub(super) struct TargetChanges {
    pub(super) pending: Arc<PendingChanges>,
    pub(super) forbidden: watch::Receiver<bool>,
}

/// Maximum number of groups with changes that wait. No API server has as many.
const MAX_PENDING: usize = 20_000;

/// Changes that nobody has followed yet, each once: thousands of CRDs that come together are a few groups.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    changes: Mutex<BTreeSet<ApiChange>>,
    came: Notify,
}

impl PendingChanges {
    fn add(&self, change: ApiChange) {
        let mut changes = self.changes.lock();
        if changes.len() < MAX_PENDING {
            changes.insert(change);
        }
        drop(changes);
        self.came.notify_one();
    }

    /// The next change, if there is one.
    pub(super) fn take(&self) -> Option<ApiChange> {
        self.changes.lock().pop_first()
    }

    /// Waits for the next change.
    pub(super) async fn next(&self) -> ApiChange {
        loop {
            if let Some(change) = self.take() {
                return change;
            }
            self.came.notified().await;
        }
    }
}

impl TargetChanges {
    /// Begins to watch.
    pub(super) fn follow(tasks: &Tasks, client: &Client) -> Self {
        let pending = Arc::<PendingChanges>::default();
        let (forbid, forbidden) = watch::channel(false);
        let of = ChangeFollower { pending: Arc::clone(&pending), forbid };
        tasks.spawn("crds", follow_kind::<CustomResourceDefinition>(client.clone(), of.clone()));
        tasks.spawn("apiservices", follow_kind::<APIService>(client.clone(), of));
        Self { pending, forbidden }
    }
}

#[derive(Clone)]
struct ChangeFollower {
    pending: Arc<PendingChanges>,
    forbid: watch::Sender<bool>,
}

async fn follow_kind<K>(client: Client, of: ChangeFollower)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    // The objects are large; only their metadata is sent.
    let api: Api<PartialObjectMeta<K>> = Api::all(client);
    let config = watcher::Config::default().page_size(500);
    follow(api, config, move |event| of.take(event)).await;
}

impl ChangeFollower {
    fn take<K: Resource<DynamicType = ()>>(&self, event: watcher::Result<Event<PartialObjectMeta<K>>>) {
        let change = match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => {
                ApiChange::Group(group_of(&object.name_any()))
            }
            Ok(Event::InitDone) => {
                self.forbid.send_if_modified(|forbidden| std::mem::replace(forbidden, false));
                ApiChange::Anything
            }
            Ok(Event::Init | Event::InitApply(_)) => return,
            Err(error) => {
                if is_refused(&error) {
                    self.forbid.send_if_modified(|forbidden| !std::mem::replace(forbidden, true));
                }
                return;
            }
        };
        self.pending.add(change);
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

    #[tokio::test]
    async fn many_changes_of_a_group_are_one_and_none_is_lost() {
        let (pending, group) =
            (PendingChanges::default(), |number| ApiChange::Group(format!("g{number}.io")));
        for _ in 0..1000 {
            for number in 0..3 {
                pending.add(group(number));
            }
        }
        for number in 0..3 {
            assert_eq!(pending.next().await, group(number));
        }
        assert_eq!(pending.take(), None);
        let (next, ()) = tokio::join!(pending.next(), async { pending.add(ApiChange::Anything) });
        assert_eq!(next, ApiChange::Anything);
    }

    #[test]
    fn names_tell_the_group() {
        for (name, group) in [("widgets.x.io", "x.io"), ("v1.apps", "apps"), ("v1.", ""), ("odd", "")] {
            assert_eq!(group_of(name), group);
        }
    }
}
