//! The watches of a claim's engine, and what their events mean for the index.

use std::{collections::HashSet, sync::Arc};

use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    runtime::watcher::{self, Event},
};
use portolan_runtime::{tasks::Tasks, watch};

use super::{engine::ClaimEngine, health::ClaimWatch, scope::WatchScope, side::ClaimSide};
use crate::sync::{EngineMode, ObjectKey};

/// One watch of claimed objects.
struct ClaimedListing {
    watch: ClaimWatch,
    scope: WatchScope,
    /// The namespace on the provider; empty for a watch on the consumer.
    mapped: String,
    listing: HashSet<ObjectKey>,
    /// The number of the list.
    number: u64,
}

impl ClaimedListing {
    fn new(watch: ClaimWatch, scope: WatchScope) -> Self {
        Self { watch, scope, mapped: String::new(), listing: HashSet::new(), number: 0 }
    }

    const fn side(&self) -> ClaimSide {
        match self.watch {
            ClaimWatch::Provider(..) => ClaimSide::Provider,
            ClaimWatch::Consumer(_) | ClaimWatch::Referrers(_) => ClaimSide::Consumer,
        }
    }

    /// The place on the consumer of an object.
    fn key_of(&self, object: &DynamicObject) -> ObjectKey {
        match self.watch.namespace() {
            Some(namespace) => ObjectKey { namespace: namespace.to_owned(), name: object.name_any() },
            None => key_of(object),
        }
    }
}

impl ClaimEngine {
    pub(super) fn watch_consumer(self: &Arc<Self>, number: usize, scope: WatchScope) {
        let (client, resource) = (self.context.engine.consumer.clone(), self.resource());
        let api = match scope.namespace() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        self.watch_objects(
            &self.tasks,
            "claimed objects",
            api,
            ClaimedListing::new(ClaimWatch::Consumer(number), scope),
        );
    }

    fn watch_objects(
        self: &Arc<Self>,
        tasks: &Tasks,
        name: &'static str,
        api: Api<DynamicObject>,
        mut lens: ClaimedListing,
    ) {
        let engine = Arc::clone(self);
        tasks.spawn(name, async move {
            let config = lens.scope.config();
            watch::follow(api, config, |event| engine.on_objects(&mut lens, event)).await;
        });
    }

    fn on_objects(&self, lens: &mut ClaimedListing, event: watcher::Result<Event<DynamicObject>>) {
        if !self.is_followed(lens) {
            return;
        }
        let side = lens.side();
        match event {
            Ok(Event::Init) => {
                lens.listing.clear();
                lens.number = self.index.lock().begins_list();
            }
            Ok(Event::InitApply(object)) => {
                let (key, mut index) = (lens.key_of(&object), self.index.lock());
                if index.saw_in(side, &key, &object, lens.number) || index.version(side, &key).is_some() {
                    lens.listing.insert(key);
                }
            }
            Ok(Event::Apply(object)) => {
                let key = lens.key_of(&object);
                let concerns = self.index.lock().saw(side, &key, &object);
                if concerns {
                    self.look_at(key);
                }
            }
            Ok(Event::Delete(object)) => {
                let key = lens.key_of(&object);
                self.index.lock().was_deleted(side, &key);
                self.lose(lens, key);
            }
            Ok(Event::InitDone) => self.end_list(lens),
            Err(error) => self.note(|health| health.failed(lens.watch.clone(), &error)),
        }
    }

    fn end_list(&self, lens: &mut ClaimedListing) {
        let listed = (&lens.listing, lens.number);
        let missing = self.index.lock().missing(lens.side(), lens.watch.namespace(), &lens.scope, listed);
        for key in missing {
            self.lose(lens, key);
        }
        for key in lens.listing.drain() {
            self.look_at(key);
        }
        self.listed(&lens.watch);
    }

    fn lose(&self, lens: &ClaimedListing, key: ObjectKey) {
        {
            let mut index = self.index.lock();
            if lens.side() == ClaimSide::Consumer && lens.scope.may_lose_sight() {
                index.lost_sight(&key);
            } else {
                index.lost(lens.side(), &key);
            }
        }
        self.look_at(key);
    }

    pub(super) fn watch_referrers(self: &Arc<Self>, number: usize, kind: &ApiResource) {
        let api = Api::all_with(self.context.engine.consumer.clone(), kind);
        let engine = Arc::clone(self);
        self.tasks.spawn("referring objects", async move {
            let mut listing = HashSet::new();
            let on = |event| engine.on_referrer(number, event, &mut listing);
            watch::follow(api, watcher::Config::default(), on).await;
        });
    }

    fn on_referrer(
        &self,
        number: usize,
        event: watcher::Result<Event<DynamicObject>>,
        listing: &mut HashSet<ObjectKey>,
    ) {
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => {
                listing.insert(key_of(&object));
                self.refer(number, &key_of(&object), Some(&object));
            }
            Ok(Event::Apply(object)) => self.refer(number, &key_of(&object), Some(&object)),
            Ok(Event::Delete(object)) => self.refer(number, &key_of(&object), None),
            Ok(Event::InitDone) => {
                let gone = self.index.lock().missing_referrers(number, listing);
                for referrer in &gone {
                    self.refer(number, referrer, None);
                }
                listing.clear();
                self.listed(&ClaimWatch::Referrers(number));
            }
            Err(error) => self.note(|health| health.failed(ClaimWatch::Referrers(number), &error)),
        }
    }

    fn refer(&self, number: usize, referrer: &ObjectKey, object: Option<&DynamicObject>) {
        let changed = self.index.lock().referred(number, referrer, object);
        for key in changed {
            self.look_at(key);
        }
    }

    /// Follows the provider's answers to requests for namespaces.
    pub(super) fn follow_answers(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        let mut changes = self.spec.session.namespaces.subscribe();
        self.tasks.spawn("namespace answers", async move {
            loop {
                engine.forget_namespaces();
                engine.watch_namespaces();
                engine.look_at_all();
                if engine.mode != EngineMode::Sync {
                    (engine.context.engine.on_state)();
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    fn watch_namespaces(self: &Arc<Self>) {
        for (mapped, namespace) in self.spec.session.namespaces.by_answer() {
            // What is in the one that was answered before stays there.
            let on_replaced = || {
                self.index.lock().forget_provider(&namespace);
                self.note(|health| health.forget(&namespace));
            };
            let tasks = self.watched.anew(&self.tasks, &namespace, &mapped, on_replaced);
            let Some(tasks) = tasks else { continue };
            let scopes = WatchScope::on_provider(&self.spec.claim, &namespace);
            if scopes.is_empty() {
                self.index.lock().know_namespace(&namespace);
            }
            for (number, scope) in scopes.into_iter().enumerate() {
                let api = Api::namespaced_with(self.spec.session.client.clone(), &mapped, &self.resource());
                let watch = ClaimWatch::Provider(namespace.clone(), number);
                let lens = ClaimedListing { mapped: mapped.clone(), ..ClaimedListing::new(watch, scope) };
                self.watch_objects(&tasks, "provider's claimed objects", api, lens);
            }
        }
    }

    /// Returns `true` if a watch shows what is followed, and not a namespace that was answered before.
    fn is_followed(&self, lens: &ClaimedListing) -> bool {
        lens.watch.namespace().is_none_or(|namespace| self.watched.follows(namespace, &lens.mapped))
    }

    /// Ends to follow the provider's namespaces that nobody asks for any more.
    fn forget_namespaces(&self) {
        let namespaces = &self.spec.session.namespaces;
        if !namespaces.are_listed() {
            return;
        }
        let stays =
            |namespace: &str| namespaces.mapped(namespace).is_some() || !self.index.lock().forget(namespace);
        self.watched.retain(stays, |namespace| self.note(|health| health.forget(namespace)));
    }

    fn listed(&self, watch: &ClaimWatch) {
        self.note(|health| health.listed(watch.clone()));
        let news = match watch {
            ClaimWatch::Provider(namespace, _) => self.knows_namespace_now(namespace),
            ClaimWatch::Consumer(_) | ClaimWatch::Referrers(_) => self.knows_consumer_now(),
        };
        if news {
            self.look_at_all();
            if self.mode != EngineMode::Sync {
                (self.context.engine.on_state)();
            }
        }
    }

    fn knows_namespace_now(&self, namespace: &str) -> bool {
        let expected = WatchScope::on_provider(&self.spec.claim, namespace).len();
        let known = self.health.lock().knows_namespace(namespace, expected);
        let mut index = self.index.lock();
        let news = known && !index.knows_namespace(namespace);
        if news {
            index.know_namespace(namespace);
        }
        news
    }

    fn knows_consumer_now(&self) -> bool {
        let known = self.health.lock().knows_consumer();
        let mut index = self.index.lock();
        let news = known && !index.consumer_known;
        index.consumer_known |= news;
        news
    }
}

fn key_of(object: &DynamicObject) -> ObjectKey {
    ObjectKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}
