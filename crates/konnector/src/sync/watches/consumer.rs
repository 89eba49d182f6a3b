//! The watch on the consumer's objects.

use std::{collections::HashSet, sync::Arc};

use kube::{
    Api,
    api::DynamicObject,
    runtime::watcher::{self, Event},
};
use portolan_runtime::{tasks::Tasks, watch};
use tokio::time::Instant;

use super::provider::ProviderWatch;
use crate::sync::{
    agenda::SyncAgenda,
    health::WatchedSide,
    key::{ObjectKey, key_of},
    latency::CopyLatency,
};

/// Follows the objects on the consumer.
pub struct ConsumerWatch {
    pub agenda: Arc<SyncAgenda>,
    pub provider: Arc<ProviderWatch>,
    pub latency: Arc<CopyLatency>,
}

/// Objects that the watch has seen since it began to list, and the number of the list.
type ConsumerListing = (HashSet<ObjectKey>, u64);

impl ConsumerWatch {
    pub fn spawn(self, tasks: &Tasks) {
        let places = &self.agenda.places;
        let api: Api<DynamicObject> = Api::all_with(places.consumer.clone(), &places.spec.resource);
        tasks.spawn("consumer objects", async move {
            let mut listing = ConsumerListing::default();
            let on = |event: watcher::Result<Event<DynamicObject>>| self.on(event, &mut listing);
            watch::follow(api, watcher::Config::default(), on).await;
        });
    }

    fn on(&self, event: watcher::Result<Event<DynamicObject>>, (listing, list): &mut ConsumerListing) {
        match event {
            Ok(Event::Init) => {
                listing.clear();
                *list = self.agenda.index.lock().begins_origins();
            }
            Ok(Event::InitApply(object)) => {
                listing.insert(key_of(&object));
                self.saw(&object, *list);
            }
            Ok(Event::Apply(object)) => self.changed(&object),
            Ok(Event::Delete(object)) => self.went(key_of(&object)),
            Ok(Event::InitDone) => {
                self.end_list(listing, *list);
                listing.clear();
            }
            Err(error) => self.agenda.health.note(WatchedSide::Consumer, Err(&error)),
        }
    }

    fn changed(&self, object: &DynamicObject) {
        self.saw(object, 0);
        if object.metadata.deletion_timestamp.is_none() {
            let key = key_of(object);
            let next = self.agenda.step(&self.agenda.index.lock(), &key);
            self.latency.changed(&key, &next, Instant::now());
        }
    }

    fn saw(&self, object: &DynamicObject, list: u64) {
        let key = key_of(object);
        if self.agenda.index.lock().saw_origin_in(&key, object, list) {
            self.provider.watch_namespace(&key.namespace);
            self.agenda.look_at(key);
        }
    }

    fn went(&self, key: ObjectKey) {
        self.agenda.index.lock().lost_origin(&key);
        self.latency.rests(&key);
        self.agenda.forget(&key);
        self.agenda.look_at(key);
    }

    fn end_list(&self, listing: &HashSet<ObjectKey>, list: u64) {
        let gone = self.agenda.index.lock().keep_origins(listing, list);
        for key in gone {
            self.agenda.look_at(key);
        }
        self.agenda.health.note(WatchedSide::Consumer, Ok(()));
        self.agenda.count_orphans(&self.agenda.index.lock());
    }
}
