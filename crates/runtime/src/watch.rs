//! Watches that never give up: list, watch, and start anew with backoff after an error.

use std::{fmt::Debug, future::Future, hash::Hash, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    runtime::{
        WatchStreamExt as _,
        reflector::Store,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

use crate::backoff::Backoff;

/// The first delay after a failed watch: rights and CRDs often follow within milliseconds.
const MIN_DELAY: Duration = Duration::from_millis(50);
/// The longest delay after a failed watch.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// Follows a kind for ever: hands every event and every error to `on`.
pub async fn follow<K>(api: Api<K>, config: watcher::Config, mut on: impl FnMut(watcher::Result<Event<K>>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = watcher::watcher(api, config).backoff(Backoff::new(MIN_DELAY, MAX_DELAY)).boxed();
    while let Some(event) = events.next().await {
        on(event);
    }
}

/// Follows one object for ever: `Ok(None)` when it does not exist.
pub async fn follow_object<K>(api: Api<K>, name: &str, mut on: impl FnMut(watcher::Result<Option<K>>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let backoff = Backoff::new(MIN_DELAY, MAX_DELAY);
    let mut events =
        kube::runtime::utils::StreamBackoff::new(watcher::watch_object(api, name), backoff).boxed();
    while let Some(event) = events.next().await {
        on(event);
    }
}

/// A store that follows a kind, and the task that fills it. `on` hears of every object that came, changed
/// or went, after the store has taken it in, and of errors.
pub fn reflect<K>(
    api: Api<K>,
    config: watcher::Config,
    mut on: impl FnMut(Changed<'_, K>) + Send + 'static,
) -> (Store<K>, impl Future<Output = ()> + Send + 'static)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default + Send + Sync + Unpin,
{
    let (store, mut writer) = kube::runtime::reflector::store();
    let task = follow(api, config, move |event| match event {
        Ok(event) => {
            writer.apply_watcher_event(&event);
            match &event {
                Event::Apply(object) => on(Changed::Applied(object)),
                Event::Delete(object) => on(Changed::Deleted(object)),
                Event::InitDone => on(Changed::Relisted),
                Event::Init | Event::InitApply(_) => {}
            }
        }
        Err(error) => on(Changed::Failed(&error)),
    });
    (store, task)
}

/// What happened to a followed kind.
#[derive(Debug)]
pub enum Changed<'a, K> {
    /// An object came or changed.
    Applied(&'a K),
    /// An object went.
    Deleted(&'a K),
    /// The store holds a fresh list; any object may differ.
    Relisted,
    /// The watch failed and will be tried again.
    Failed(&'a watcher::Error),
}
