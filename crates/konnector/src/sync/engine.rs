//! One engine per bound resource: the watches on both sides, the queue between them, and its state.

use std::{collections::HashSet, sync::Arc};

use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    runtime::watcher::{self, Event},
};
use parking_lot::Mutex;
use portolan_runtime::{controller, events::Reporter, metrics::Gauge, queue::WorkQueue, tasks::Tasks, watch};

use super::{
    defaults::Defaults,
    health::{EngineState, Health, Side},
    index::{Index, ObjectKey},
    keys::KeyRules,
    placement::Placement,
    plan::{Mode, Right, Step, plan},
};
use crate::{metrics::KonnectorMetrics, provider::Session};

/// How many objects of one resource are worked on at a time.
const WORKERS: usize = 16;

/// What an engine keeps in sync. An engine whose spec changes is replaced.
#[derive(Clone)]
pub(crate) struct SyncSpec {
    /// The resource on the consumer, in the version to write it in.
    pub(crate) resource: ApiResource,
    /// The same on the provider.
    pub(crate) remote: ApiResource,
    /// Whether status is a subresource on the consumer.
    pub(crate) has_status_subresource: bool,
    pub(crate) placement: Placement,
    /// What the consumer's API server fills in.
    pub(crate) defaults: Arc<Defaults>,
    /// The versions of the schema on both sides. What either stores of an object depends on it.
    pub(crate) schema: SchemaVersions,
    /// Uid of the export; another export of the same name is another engine.
    pub(crate) export_uid: String,
    pub(crate) session: Arc<Session>,
}

/// The versions of a resource's schema: of the provider's BoundSchema and of the consumer's CRD, by uid and
/// generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchemaVersions(pub(crate) [Option<(String, i64)>; 2]);

impl SyncSpec {
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.resource == other.resource
            && self.remote == other.remote
            && self.placement == other.placement
            && self.schema == other.schema
            && self.has_status_subresource == other.has_status_subresource
            && self.export_uid == other.export_uid
            && Arc::ptr_eq(&self.session, &other.session)
    }
}

/// What engines need from the konnector.
#[derive(Clone)]
pub(crate) struct EngineContext {
    pub(crate) consumer: Client,
    pub(crate) metrics: KonnectorMetrics,
    pub(crate) reporter: Reporter,
    pub(crate) keys: KeyRules,
    /// Told when the state of an engine changes.
    pub(crate) on_state: Arc<dyn Fn() + Send + Sync>,
}

pub(super) struct Engine {
    pub(super) spec: SyncSpec,
    pub(super) context: EngineContext,
    pub(super) index: Mutex<Index>,
    pub(super) mode: Mode,
    pub(super) tasks: Tasks,
    pub(super) queue: Arc<WorkQueue<ObjectKey>>,
    health: Mutex<Health>,
    objects: Gauge,
    /// Consumer namespaces whose objects on the provider are followed.
    pub(super) watched: Mutex<HashSet<String>>,
}

impl Engine {
    pub(super) fn start(tasks: &Tasks, spec: SyncSpec, context: EngineContext, mode: Mode) -> Arc<Self> {
        let index = Index::new(&spec.session.namespace, context.keys.clone(), spec.has_status_subresource);
        let index = index.knowing(Arc::clone(&spec.defaults));
        let awaits_provider =
            mode == Mode::Sync && spec.placement != Placement::Mapped { cluster_wide: false };
        let engine = Arc::new(Self {
            index: Mutex::new(index),
            mode,
            tasks: tasks.child(),
            queue: Arc::default(),
            health: Mutex::new(Health::new(awaits_provider)),
            objects: context.metrics.objects(&spec.resource),
            spec,
            context,
            watched: Mutex::default(),
        });
        engine.spawn_consumer_watch();
        engine.spawn_wide_watch();
        engine.spawn_namespace_listener();
        let worker = Arc::clone(&engine);
        let reconcile = move |key| Arc::clone(&worker).reconcile(key);
        let metrics = &engine.context.metrics.controllers;
        controller::run(&engine.tasks, "sync", WORKERS, &engine.queue, metrics, reconcile);
        engine
    }

    /// Stops counting: nothing takes the place of this engine.
    pub(super) fn forget(&self) {
        self.context.metrics.forget(&self.spec.resource);
    }

    pub(super) fn state(&self) -> EngineState {
        self.health.lock().state()
    }

    /// Whether nothing of ours is left on either side.
    pub(super) fn is_drained(&self) -> bool {
        let index = self.index.lock();
        self.health.lock().consumer_listed()
            && index.keys().iter().all(|key| self.step(&index, key) == Step::Nothing)
    }

    pub(super) fn step(&self, index: &Index, key: &ObjectKey) -> Step {
        let namespace = self.answer(&key.namespace);
        plan(index.sides(key), namespace.as_plan(), self.mode)
    }

    fn spawn_consumer_watch(self: &Arc<Self>) {
        let api: Api<DynamicObject> = Api::all_with(self.context.consumer.clone(), &self.spec.resource);
        let engine = Arc::clone(self);
        self.tasks.spawn("consumer objects", async move {
            let mut listing = HashSet::new();
            let on = |event: watcher::Result<Event<DynamicObject>>| engine.on_consumer(event, &mut listing);
            watch::follow(api, watcher::Config::default(), on).await;
        });
    }

    fn on_consumer(
        self: &Arc<Self>,
        event: watcher::Result<Event<DynamicObject>>,
        listing: &mut HashSet<ObjectKey>,
    ) {
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => {
                listing.insert(key_of(&object));
                self.saw_origin(&object);
            }
            Ok(Event::Apply(object)) => self.saw_origin(&object),
            Ok(Event::Delete(object)) => {
                let key = key_of(&object);
                self.index.lock().lost_origin(&key);
                self.look_at(key);
            }
            Ok(Event::InitDone) => {
                let gone = self.index.lock().keep_origins(listing);
                for key in gone {
                    self.look_at(key);
                }
                listing.clear();
                self.note(Side::Consumer, Ok(()));
            }
            Err(error) => self.note(Side::Consumer, Err(&error)),
        }
    }

    fn saw_origin(self: &Arc<Self>, object: &DynamicObject) {
        let key = key_of(object);
        if self.index.lock().saw_origin(&key, object) {
            self.watch_namespace(&key.namespace);
            self.look_at(key);
        }
    }

    /// Follows answers to requests for namespaces.
    fn spawn_namespace_listener(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        let mut changes = self.spec.session.namespaces.subscribe();
        self.tasks.spawn("namespace answers", async move {
            while changes.changed().await.is_ok() {
                engine.watch_namespaces();
                let waiting = engine.index.lock().keys();
                for key in waiting {
                    engine.look_at(key);
                }
            }
        });
    }

    /// Queues an object that needs a step, and lets go of what is kept for one that does not.
    pub(super) fn look_at(&self, key: ObjectKey) {
        let mut index = self.index.lock();
        match self.step(&index, &key) {
            Step::Nothing => index.drop_all_bodies(&key),
            Step::Wait => {}
            _ => self.queue.add(key),
        }
        self.objects.set(i64::try_from(index.len()).unwrap_or(i64::MAX));
    }

    pub(super) fn is_wide_listed(&self) -> bool {
        self.health.lock().provider_listed()
    }

    pub(super) fn note(&self, side: Side, outcome: Result<(), &watcher::Error>) {
        self.change_health(|health| health.note(side, outcome));
    }

    /// Notes whether the consumer's API server has let us write to an object.
    pub(super) fn note_right(&self, right: Right, key: &ObjectKey, allowed: bool) {
        self.change_health(|health| health.wrote(right, key, allowed));
    }

    /// Notes that nothing has to be written to an object.
    pub(super) fn note_rest(&self, key: &ObjectKey) {
        self.change_health(|health| health.rests(key));
    }

    fn change_health(&self, change: impl FnOnce(&mut Health)) {
        let (before, after) = {
            let mut health = self.health.lock();
            let before = health.state();
            change(&mut health);
            (before, health.state())
        };
        if before != after {
            (self.context.on_state)();
        }
    }
}

pub(super) fn key_of(object: &DynamicObject) -> ObjectKey {
    ObjectKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}
