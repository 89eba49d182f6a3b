//! One engine per claim: the watches on both sides, the queue between them, and its state.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::api::ApiResource;
use parking_lot::Mutex;
use portolan_core::{
    claims::{Claim, Claimed},
    digest::Digest,
};
use portolan_runtime::{controller::Controller, metrics::Gauge, queue::WorkQueue, tasks::Tasks};
use serde_json::json;
use tokio::time::Instant;

use super::{
    body::Terms,
    health::{ClaimState, Health},
    index::Index,
    plan::{Step, plan},
    scope::Scope,
    seen::Sides,
};
use crate::{
    pace::Pace,
    provider::Session,
    sync::{EngineContext, Mode, ObjectKey},
};

/// How many objects of one claim are worked on at a time.
const WORKERS: usize = 8;

/// What an engine keeps in sync. An engine whose spec changes is replaced.
#[derive(Clone)]
pub(crate) struct ClaimSpec {
    pub(crate) binding: String,
    pub(crate) claim: Claim,
    /// The referring kinds, one for each reference of the claim.
    pub(crate) referring: Vec<ApiResource>,
    /// Uid of the export; another export of the same name is another engine.
    pub(crate) export_uid: String,
    pub(crate) session: Arc<Session>,
}

impl ClaimSpec {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.claim == other.claim
            && self.referring == other.referring
            && self.export_uid == other.export_uid
            && Arc::ptr_eq(&self.session, &other.session)
    }
}

/// What claim engines need from the konnector.
#[derive(Clone)]
pub(crate) struct ClaimContext {
    pub(crate) engine: EngineContext,
    /// Whether a Secret holds a kubeconfig of the konnector, which nobody may claim.
    pub(crate) holds_kubeconfig: Arc<dyn Fn(&ObjectKey) -> bool + Send + Sync>,
    /// Whether there is a binding of this name.
    pub(crate) is_bound: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

pub(super) struct Engine {
    pub(super) spec: ClaimSpec,
    pub(super) context: ClaimContext,
    pub(super) mode: Mode,
    pub(super) tasks: Tasks,
    pub(super) index: Mutex<Index>,
    /// Field manager of the owner label on originals.
    pub(super) stamper: String,
    queue: Arc<WorkQueue<ObjectKey>>,
    /// What people have been told of objects, so that it is not said again.
    pub(super) told: Mutex<HashMap<ObjectKey, Step>>,
    /// Consumer namespaces of which people were told that the provider has no place for them.
    pub(super) unplaced: Mutex<HashMap<String, Instant>>,
    /// Taken after `index`, where both are needed.
    pub(super) pace: Mutex<Pace<ObjectKey>>,
    pub(super) health: Mutex<Health>,
    orphans: Gauge,
    /// What of the gauge is from this engine.
    counted: Mutex<i64>,
    /// Consumer namespaces whose objects on the provider are followed.
    pub(super) watched: Mutex<HashMap<String, Tasks>>,
}

impl Engine {
    /// `former` is the engine that this one replaces.
    pub(super) fn start(
        tasks: &Tasks,
        spec: ClaimSpec,
        context: ClaimContext,
        mode: Mode,
        former: Option<&Self>,
    ) -> Arc<Self> {
        let terms = Terms {
            claim: spec.claim.clone(),
            keys: context.engine.keys.clone(),
            contract: spec.session.namespace.clone(),
            binding: spec.binding.clone(),
        };
        let stamper = terms.stamper();
        let scopes = Scope::on_consumer(&spec.claim);
        // At the end nobody asks who refers to what.
        let referring = if mode == Mode::Sync { spec.referring.clone() } else { Vec::new() };
        let mut index = Index::new(terms);
        index.consumer_known = scopes.is_empty() && referring.is_empty();
        if let Some(former) = former {
            index.inherit(&former.index.lock(), former.spec.export_uid == spec.export_uid);
        }
        let engine = Arc::new(Self {
            index: Mutex::new(index),
            health: Mutex::new(Health::new(scopes.len() + referring.len())),
            tasks: tasks.child(),
            queue: Arc::default(),
            told: Mutex::default(),
            unplaced: Mutex::default(),
            pace: Mutex::default(),
            orphans: context.engine.metrics.claimed_orphans(spec.claim.resource),
            counted: Mutex::default(),
            stamper,
            watched: Mutex::default(),
            mode,
            spec,
            context,
        });
        scopes.into_iter().enumerate().for_each(|(number, scope)| engine.watch_consumer(number, scope));
        referring.iter().enumerate().for_each(|(number, kind)| engine.watch_referrers(number, kind));
        if mode != Mode::Withdraw {
            engine.follow_answers();
        }
        let metrics = &engine.context.engine.metrics.controllers;
        Controller { name: "claim", workers: WORKERS, queue: &engine.queue, metrics }.run(
            &engine.tasks,
            &engine,
            Self::reconcile,
        );
        engine
    }

    pub(super) fn state(&self) -> ClaimState {
        self.health.lock().state()
    }

    /// Whether nothing of ours is left, as far as the mode takes it away.
    pub(super) fn is_drained(&self) -> bool {
        let namespaces = &self.spec.session.namespaces;
        // In this order: what is listed in between is not taken for nothing.
        let (listed, answers) = (namespaces.are_listed(), namespaces.by_answer());
        let index = self.index.lock();
        let all_known = || listed && answers.values().all(|namespace| index.knows_namespace(namespace));
        let provider_known = self.mode == Mode::Withdraw || all_known();
        index.consumer_known
            && provider_known
            && index.keys().iter().all(|key| self.step(&index, key) == Step::Nothing)
    }

    /// How many copies there are on the provider whose originals went with a backup of the consumer. Counts them in the
    /// metric, which other bindings share.
    pub(super) fn orphaned(&self) -> usize {
        let orphaned = if self.mode == Mode::Sync { self.index.lock().orphaned() } else { 0 };
        self.count(i64::try_from(orphaned).unwrap_or(i64::MAX));
        orphaned
    }

    /// Ends the work, and what is counted of it.
    pub(super) fn stop(&self) {
        self.tasks.cancel();
        self.count(0);
    }

    fn count(&self, orphaned: i64) {
        let mut counted = self.counted.lock();
        self.orphans.add(orphaned - *counted);
        *counted = orphaned;
    }

    pub(super) fn step(&self, index: &Index, key: &ObjectKey) -> Step {
        self.due(index, key).0
    }

    /// The next step, what it writes, and how long one that has to wait for its time has to wait.
    pub(super) fn due(&self, index: &Index, key: &ObjectKey) -> (Step, Digest, Option<Duration>) {
        let is_protected =
            self.spec.claim.resource == Claimed::Secrets && (self.context.holds_kubeconfig)(key);
        let namespace = self.spec.session.namespaces.state(&key.namespace);
        let sides = index.sides(key, is_protected).among(|binding| (self.context.is_bound)(binding));
        let step = plan(sides, namespace.as_plan(), self.mode);
        let what = what(step, sides);
        match self.pace.lock().wait(key, step.label(), what, Instant::now()) {
            Some(left) => (Step::Wait, what, Some(left)),
            None => (step, what, None),
        }
    }

    pub(super) fn resource(&self) -> ApiResource {
        self.spec.claim.resource.api_resource()
    }

    pub(super) fn look_at_all(&self) {
        let keys = self.index.lock().keys();
        for key in keys {
            self.look_at(key);
        }
    }

    /// Queues an object that needs a step; at the end, also one that needs none any more.
    pub(super) fn look_at(&self, key: ObjectKey) {
        let mut index = self.index.lock();
        match self.due(&index, &key) {
            (Step::Nothing, ..) if self.mode == Mode::Sync => {
                index.forget_idle(&key);
                if index.is_unknown(&key) {
                    self.pace.lock().forget(&key);
                }
            }
            (Step::Wait, _, Some(left)) => self.queue.add_after(key, left),
            (Step::Wait, _, None) => {}
            _ => self.queue.add(key),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.depth() == 0
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Health)) {
        let (before, after) = {
            let mut health = self.health.lock();
            let before = health.state();
            change(&mut health);
            (before, health.state())
        };
        if before != after {
            (self.context.engine.on_state)();
        }
    }
}

/// What a step writes, so that the same is known when it is written again.
fn what(step: Step, sides: Sides<'_>) -> Digest {
    match step {
        Step::CreateCopy(side) | Step::UpdateCopy(side) => {
            sides.on(side.other()).map_or(Digest::ABSENT, |original| original.desired)
        }
        // Another object of the name is another.
        _ => Digest::of(&json!([sides.consumer.map(|seen| &seen.uid), sides.provider.map(|seen| &seen.uid)])),
    }
}
