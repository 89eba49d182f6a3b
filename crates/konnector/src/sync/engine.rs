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
    controller::Controller, events::EventReporter, metrics::Gauge, queue::WorkQueue, tasks::Tasks, watch,
};
use serde_json::json;
use tokio::{sync::Notify, time::Instant};

use super::{
    defaults::Defaults,
    health::{EngineState, SyncHealth, WatchedSide},
    index::SyncIndex,
    key::ObjectKey,
    keys::KeyRules,
    known::{HeldWrites, SyncSides},
    latency::Latency,
    placement::Placement,
    plan::{EngineMode, Right, SyncStep, plan},
    told::Told,
};
use crate::{metrics::KonnectorMetrics, pace::Pace, provider::Session};

/// Number of objects of one resource that are worked on at a time.
const WORKERS: usize = 16;
/// Copies without an origin that are found within this time are reported together.
const TOGETHER: Duration = Duration::from_secs(1);

/// The objects that an engine keeps in sync. An engine whose spec changes is replaced.
#[derive(Clone)]
pub(crate) struct SyncSpec {
    /// The resource on the consumer, in the version to write it in.
    pub(crate) resource: ApiResource,
    /// The same on the provider.
    pub(crate) remote: ApiResource,
    /// `true` if status is a subresource on the consumer.
    pub(crate) has_status_subresource: bool,
    pub(crate) placement: Placement,
    /// Defaults that the consumer's API server fills in.
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

/// The parts of the konnector that engines need.
#[derive(Clone)]
pub(crate) struct EngineContext {
    pub(crate) consumer: Client,
    pub(crate) metrics: KonnectorMetrics,
    pub(crate) reporter: EventReporter,
    pub(crate) keys: KeyRules,
    /// Told when the state of an engine changes.
    pub(crate) on_state: Arc<dyn Fn() + Send + Sync>,
}

pub(super) struct SyncEngine {
    pub(super) spec: SyncSpec,
    pub(super) context: EngineContext,
    pub(super) index: Mutex<SyncIndex>,
    pub(super) mode: EngineMode,
    pub(super) tasks: Tasks,
    pub(super) queue: Arc<WorkQueue<ObjectKey>>,
    health: Mutex<SyncHealth>,
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

impl SyncEngine {
    /// `former` is the engine that this one replaces.
    pub(super) fn start(
        tasks: &Tasks,
        spec: SyncSpec,
        context: EngineContext,
        mode: EngineMode,
        former: Option<&Self>,
    ) -> Arc<Self> {
        let index =
            SyncIndex::new(&spec.session.namespace, context.keys.clone(), spec.has_status_subresource);
        let index = index.knowing(Arc::clone(&spec.defaults));
        let former = former.filter(|former| former.mode == mode && former.spec.placement == spec.placement);
        let index = match former {
            Some(former) => index.inheriting(&former.index.lock()),
            None => index,
        };
        let awaits_provider =
            mode == EngineMode::Sync && spec.placement != Placement::Mapped { cluster_wide: false };
        let engine = Arc::new(Self {
            index: Mutex::new(index),
            mode,
            tasks: tasks.child(),
            queue: Arc::default(),
            health: Mutex::new(SyncHealth::new(awaits_provider)),
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

    /// Returns `true` if nothing of ours is left on either side.
    pub(super) fn is_drained(&self) -> bool {
        let index = self.index.lock();
        self.health.lock().consumer_listed()
            && index.keys().iter().all(|key| self.step(&index, key) == SyncStep::Nothing)
    }

    pub(super) fn step(&self, index: &SyncIndex, key: &ObjectKey) -> SyncStep {
        self.next(index, key).0
    }

    /// The next step, and how long one that has to wait for its time has to wait.
    pub(super) fn next(&self, index: &SyncIndex, key: &ObjectKey) -> (SyncStep, Option<Duration>) {
        let (pace, now) = (self.pace.lock(), Instant::now());
        let namespace = self.answer(&key.namespace);
        let sides = index.sides(key);
        let wait = |step: &SyncStep| pace.wait(key, step.label(), what(step, sides), now);
        let [update, annotation, status] =
            [SyncStep::UpdateCopy, SyncStep::Annotate, SyncStep::WriteStatus].map(|step| wait(&step));
        let held = HeldWrites {
            update: update.is_some(),
            update_fails: pace.is_failing(
                key,
                SyncStep::UpdateCopy.label(),
                what(&SyncStep::UpdateCopy, sides),
            ),
            annotation: annotation.is_some(),
            status: status.is_some(),
        };
        match plan(SyncSides { held, ..sides }, namespace.as_plan(), self.mode) {
            SyncStep::Wait => (SyncStep::Wait, [update, annotation, status].into_iter().flatten().min()),
            step => match wait(&step) {
                Some(left) => (SyncStep::Wait, Some(left)),
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
                *list = self.index.lock().begins_watch();
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
                let gone = self.index.lock().keep_origins(listing, *list);
                for key in gone {
                    self.look_at(key);
                }
                listing.clear();
                self.note(WatchedSide::Consumer, Ok(()));
                self.show_orphans(&self.index.lock());
            }
            Err(error) => self.note(WatchedSide::Consumer, Err(&error)),
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

    /// Queues an object that needs a step, and drops what is kept for one that does not.
    pub(super) fn look_at(&self, key: ObjectKey) {
        let mut index = self.index.lock();
        match self.next(&index, &key) {
            (SyncStep::Nothing, _) => {
                index.drop_all_bodies(&key);
                if index.is_unknown(&key) {
                    self.forget_object(&key);
                }
            }
            (SyncStep::Wait, Some(left)) => self.queue.add_after(key, left),
            (SyncStep::Wait, None) => {}
            _ => self.queue.add(key),
        }
        self.objects.set(i64::try_from(index.len()).unwrap_or(i64::MAX));
        self.show_orphans(&index);
    }

    /// Number of copies whose origins are absent, once that is known.
    pub(super) fn orphaned(&self) -> usize {
        let index = self.index.lock();
        if self.mode == EngineMode::Sync && self.health.lock().consumer_listed() {
            index.orphaned()
        } else {
            0
        }
    }

    /// Shows the number, and tells of it in a moment: many may come at once.
    fn show_orphans(&self, index: &SyncIndex) {
        if self.mode != EngineMode::Sync || !self.health.lock().consumer_listed() {
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

    pub(super) fn note(&self, side: WatchedSide, outcome: Result<(), &watcher::Error>) {
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

    fn change_health(&self, change: impl FnOnce(&mut SyncHealth)) {
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

/// Digest of what a step writes, so that the same is recognized when it is written again.
pub(super) fn what(step: &SyncStep, sides: SyncSides<'_>) -> Digest {
    match step {
        SyncStep::UpdateCopy | SyncStep::CreateCopy => {
            sides.origin.map_or(Digest::ABSENT, |origin| origin.desired)
        }
        SyncStep::WriteStatus => sides.copy.map_or(Digest::ABSENT, |copy| copy.status.whole()),
        // Another object of the name is another.
        _ => Digest::of(&json!([sides.origin.map(|origin| &origin.uid), sides.copy.map(|copy| &copy.uid)])),
    }
}

pub(super) fn key_of(object: &DynamicObject) -> ObjectKey {
    ObjectKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}
