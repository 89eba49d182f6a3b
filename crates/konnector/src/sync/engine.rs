//! One engine per bound resource: the watches on both sides, the queue between them, and its state.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject},
    runtime::watcher::{self, Event},
};
use parking_lot::Mutex;
use portolan_core::digest::Digest;
use portolan_runtime::{
    controller::Controller, events::Reporter, metrics::Gauge, queue::WorkQueue, tasks::Tasks, watch,
};
use serde_json::json;
use tokio::{sync::Notify, time::Instant};

use super::{
    defaults::Defaults,
    health::{EngineState, Health, Side},
    index::Index,
    key::ObjectKey,
    keys::KeyRules,
    known::{Held, Sides},
    latency::Latency,
    placement::Placement,
    plan::{Mode, Right, Step, plan},
    told::Told,
};
use crate::{metrics::KonnectorMetrics, pace::Pace, provider::Session};

/// How many objects of one resource are worked on at a time.
const WORKERS: usize = 16;
/// Copies without an origin that are found within this time are told of together.
const TOGETHER: Duration = Duration::from_secs(1);

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
    /// Taken after `index`, where both are needed.
    pub(super) pace: Mutex<Pace<ObjectKey>>,
    pub(super) told: Mutex<Told>,
    objects: Gauge,
    orphans: Gauge,
    orphans_changed: Notify,
    pub(super) latency: Latency,
    /// Consumer namespaces whose objects on the provider are followed.
    pub(super) watched: Mutex<HashMap<String, Tasks>>,
}

impl Engine {
    /// `former` is the engine that this one replaces.
    pub(super) fn start(
        tasks: &Tasks,
        spec: SyncSpec,
        context: EngineContext,
        mode: Mode,
        former: Option<&Self>,
    ) -> Arc<Self> {
        let index = Index::new(&spec.session.namespace, context.keys.clone(), spec.has_status_subresource);
        let former = former.filter(|former| former.spec.placement == spec.placement);
        let inherited = former.map(|former| former.index.lock().exact()).unwrap_or_default();
        let index = index.knowing(Arc::clone(&spec.defaults)).inheriting(inherited);
        let awaits_provider =
            mode == Mode::Sync && spec.placement != Placement::Mapped { cluster_wide: false };
        let engine = Arc::new(Self {
            index: Mutex::new(index),
            mode,
            tasks: tasks.child(),
            queue: Arc::default(),
            health: Mutex::new(Health::new(awaits_provider)),
            pace: Mutex::default(),
            told: Mutex::default(),
            objects: context.metrics.objects(&spec.resource),
            orphans: context.metrics.orphans(&spec.resource),
            orphans_changed: Notify::new(),
            latency: Latency::new(context.metrics.copy_latency(&spec.resource)),
            spec,
            context,
            watched: Mutex::default(),
        });
        engine.spawn_consumer_watch();
        engine.spawn_wide_watch();
        engine.spawn_namespace_listener();
        engine.spawn_orphan_teller();
        let metrics = &engine.context.metrics.controllers;
        Controller { name: "sync", workers: WORKERS, queue: &engine.queue, metrics }.run(
            &engine.tasks,
            &engine,
            Self::reconcile,
        );
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
        self.next(index, key).0
    }

    /// The next step, and how long one that has to wait for its time has to wait.
    pub(super) fn next(&self, index: &Index, key: &ObjectKey) -> (Step, Option<Duration>) {
        let (pace, now) = (self.pace.lock(), Instant::now());
        let namespace = self.answer(&key.namespace);
        let sides = index.sides(key);
        let wait = |step: &Step| pace.wait(key, step.label(), what(step, sides), now);
        let [update, annotation, status] =
            [Step::UpdateCopy, Step::Annotate, Step::WriteStatus].map(|step| wait(&step));
        let held = Held {
            update: update.is_some(),
            update_fails: pace.is_failing(key, Step::UpdateCopy.label(), what(&Step::UpdateCopy, sides)),
            annotation: annotation.is_some(),
            status: status.is_some(),
        };
        match plan(Sides { held, ..sides }, namespace.as_plan(), self.mode) {
            Step::Wait => (Step::Wait, [update, annotation, status].into_iter().flatten().min()),
            step => match wait(&step) {
                Some(left) => (Step::Wait, Some(left)),
                None => (step, None),
            },
        }
    }

    fn spawn_consumer_watch(self: &Arc<Self>) {
        let api: Api<DynamicObject> = Api::all_with(self.context.consumer.clone(), &self.spec.resource);
        let engine = Arc::clone(self);
        self.tasks.spawn("consumer objects", async move {
            let mut listing = (HashSet::new(), 0);
            let on = |event: watcher::Result<Event<DynamicObject>>| engine.on_consumer(event, &mut listing);
            watch::follow(api, watcher::Config::default(), on).await;
        });
    }

    fn on_consumer(
        self: &Arc<Self>,
        event: watcher::Result<Event<DynamicObject>>,
        (listing, list): &mut (HashSet<ObjectKey>, u64),
    ) {
        match event {
            Ok(Event::Init) => {
                listing.clear();
                *list = self.index.lock().begins_list();
            }
            Ok(Event::InitApply(object)) => {
                listing.insert(key_of(&object));
                self.saw_origin(&object, *list);
            }
            Ok(Event::Apply(object)) => {
                let key = key_of(&object);
                self.saw_origin(&object, 0);
                if object.metadata.deletion_timestamp.is_none() {
                    let next = self.step(&self.index.lock(), &key);
                    self.latency.changed(&key, &next, Instant::now());
                }
            }
            Ok(Event::Delete(object)) => {
                let key = key_of(&object);
                self.index.lock().lost_origin(&key);
                self.latency.rests(&key);
                self.forget_object(&key);
                self.look_at(key);
            }
            Ok(Event::InitDone) => {
                let gone = self.index.lock().keep_origins(listing);
                for key in gone {
                    self.look_at(key);
                }
                listing.clear();
                self.note(Side::Consumer, Ok(()));
                self.show_orphans(&self.index.lock());
            }
            Err(error) => self.note(Side::Consumer, Err(&error)),
        }
    }

    fn saw_origin(self: &Arc<Self>, object: &DynamicObject, list: u64) {
        let key = key_of(object);
        if self.index.lock().saw_origin_in(&key, object, list) {
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
                engine.forget_namespaces();
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
        match self.next(&index, &key) {
            (Step::Nothing, _) => {
                index.drop_all_bodies(&key);
                if index.is_unknown(&key) {
                    self.forget_object(&key);
                }
            }
            (Step::Wait, Some(left)) => self.queue.add_after(key, left),
            (Step::Wait, None) => {}
            _ => self.queue.add(key),
        }
        self.objects.set(i64::try_from(index.len()).unwrap_or(i64::MAX));
        self.show_orphans(&index);
    }

    /// How many copies there are whose origins are gone, once that is known.
    pub(super) fn orphaned(&self) -> usize {
        let index = self.index.lock();
        if self.mode == Mode::Sync && self.health.lock().consumer_listed() { index.orphaned() } else { 0 }
    }

    /// Shows the number, and tells of it in a moment: many may come at once.
    fn show_orphans(&self, index: &Index) {
        if self.mode != Mode::Sync || !self.health.lock().consumer_listed() {
            return;
        }
        let now = i64::try_from(index.orphaned()).unwrap_or(i64::MAX);
        if self.orphans.get() != now {
            self.orphans.set(now);
            self.orphans_changed.notify_one();
        }
    }

    fn spawn_orphan_teller(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        self.tasks.spawn("orphans", async move {
            loop {
                engine.orphans_changed.notified().await;
                tokio::time::sleep(TOGETHER).await;
                (engine.context.on_state)();
            }
        });
    }

    fn forget_object(&self, key: &ObjectKey) {
        self.pace.lock().forget(key);
        self.told.lock().forget(key);
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

/// What a step writes, so that the same is known when it is written again.
pub(super) fn what(step: &Step, sides: Sides<'_>) -> Digest {
    match step {
        Step::UpdateCopy | Step::CreateCopy => sides.origin.map_or(Digest::ABSENT, |origin| origin.desired),
        Step::WriteStatus => sides.copy.map_or(Digest::ABSENT, |copy| copy.status.whole()),
        // Another object of the name is another.
        _ => Digest::of(&json!([sides.origin.map(|origin| &origin.uid), sides.copy.map(|copy| &copy.uid)])),
    }
}

pub(super) fn key_of(object: &DynamicObject) -> ObjectKey {
    ObjectKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}
