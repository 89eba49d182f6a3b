//! Watches that never give up: list, watch, and start anew with backoff after an error.

use std::{fmt::Debug, future::Future, hash::Hash, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    runtime::{
        reflector::Store,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::backoff::Backoff;

/// How many objects to list at a time where each may have a megabyte.
pub const LARGE_PAGE: u32 = 8;
/// The first delay after a failed watch: rights and CRDs often follow within milliseconds.
const MIN_DELAY: Duration = Duration::from_millis(50);
/// The longest delay after a failed watch.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// Follows a kind for ever: hands every event and every error to `on`.
///
/// The wait after an error grows until a list is complete or a change arrives; that a list has begun is no
/// progress.
pub async fn follow<K>(api: Api<K>, config: watcher::Config, mut on: impl FnMut(watcher::Result<Event<K>>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut backoff = Backoff::new(MIN_DELAY, MAX_DELAY);
    let mut events = watcher::watcher(api, config).boxed();
    while let Some(event) = events.next().await {
        let wait = match &event {
            Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_)) => {
                backoff = Backoff::new(MIN_DELAY, MAX_DELAY);
                None
            }
            Ok(Event::Init | Event::InitApply(_)) => None,
            Err(_) => Some(backoff.next_delay()),
        };
        on(event);
        if let Some(wait) = wait {
            sleep(wait).await;
        }
    }
}

/// Follows one object for ever: `Ok(None)` when it does not exist.
pub async fn follow_object<K>(api: Api<K>, name: &str, mut on: impl FnMut(watcher::Result<Option<K>>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut listed = None;
    let on_event = |event| match event {
        Ok(Event::Init) => listed = None,
        Ok(Event::InitApply(object)) => listed = Some(object),
        Ok(Event::InitDone) => on(Ok(listed.take())),
        Ok(Event::Apply(object)) => on(Ok(Some(object))),
        Ok(Event::Delete(_)) => on(Ok(None)),
        Err(error) => on(Err(error)),
    };
    follow(api, config, on_event).await;
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
