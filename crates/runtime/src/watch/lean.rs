//! Watches for stores of many small objects: without managed fields, which are larger than all else in them.

use std::{fmt::Debug, future::Future, hash::Hash};

use kube::{
    Api, Resource,
    runtime::{
        reflector::Store,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

use super::{WatchChange, follow, keep};

/// As [`super::reflect`], without the managed fields of objects.
pub fn reflect<K>(
    api: Api<K>,
    config: watcher::Config,
    on: impl FnMut(WatchChange<'_, K>) + Send + 'static,
) -> (Store<K>, impl Future<Output = ()> + Send + 'static)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default + Send + Sync + Unpin,
{
    let (store, mut take) = keep(on);
    (store, follow(api, config, move |event| take(event.map(lean))))
}

fn lean<K: Resource>(mut event: Event<K>) -> Event<K> {
    if let Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) = &mut event {
        object.meta_mut().managed_fields = None;
    }
    event
}
