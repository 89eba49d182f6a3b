//! One engine per claim: the watches on both sides, the queue between them, and its state.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::api::ApiResource;
use parking_lot::Mutex;
use portolan_core::{
    claims::{ClaimedResource, ResourceClaim},
    digest::Digest,
};
use portolan_runtime::{controller::Controller, metrics::Gauge, queue::WorkQueue, tasks::Tasks};
use serde_json::json;
use tokio::time::Instant;

use super::{
    body::ClaimTerms,
    health::{ClaimHealth, ClaimState},
    index::ClaimIndex,
    plan::{ClaimStep, plan},
    scope::WatchScope,
    seen::ClaimSides,
};
use crate::{
    followed::FollowedNamespaces,
    pace::WritePace,
    provider::Session,
    sync::{EngineContext, EngineMode, ObjectKey},
};

/// Number of objects of one claim that are worked on at a time.
const WORKERS: usize = 8;

/// The objects that an engine keeps in sync. An engine whose spec changes is replaced.
#[derive(Clone)]
pub struct ClaimSpec {
    pub binding: String,
    pub claim: ResourceClaim,
    /// The referring kinds, one for each reference of the claim.
    pub referring: Vec<ApiResource>,
    /// Uid of the export; another export of the same name is another engine.
    pub export_uid: String,
    pub session: Arc<Session>,
}

impl ClaimSpec {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.claim == other.claim
            && self.referring == other.referring
            && self.export_uid == other.export_uid
            && Arc::ptr_eq(&self.session, &other.session)
    }
}

/// The parts of the konnector that claim engines need.
#[derive(Clone)]
pub struct ClaimContext {
    pub engine: EngineContext,
    /// `true` if a Secret holds a kubeconfig of the konnector, which nobody may claim.
    pub holds_kubeconfig: Arc<dyn Fn(&ObjectKey) -> bool + Send + Sync>,
    /// `true` if there is a binding of this name.
    pub is_bound: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

pub(super) struct ClaimEngine {
    pub(super) spec: ClaimSpec,
    pub(super) context: ClaimContext,
    pub(super) mode: EngineMode,
    pub(super) tasks: Tasks,
    pub(super) index: Mutex<ClaimIndex>,
    /// Field manager of the owner label on originals.
    pub(super) stamper: String,
    queue: Arc<WorkQueue<ObjectKey>>,
    /// The last step of each object that people have been told of, so that it is not repeated.
    pub(super) told: Mutex<HashMap<ObjectKey, ClaimStep>>,
    /// Consumer namespaces of which people were told that the provider has no place for them.
    pub(super) unplaced: Mutex<HashMap<String, Instant>>,
    /// Taken after `index`, where both are needed.
    pub(super) pace: Mutex<WritePace<ObjectKey>>,
    pub(super) health: Mutex<ClaimHealth>,
    orphans: Gauge,
    /// Share of this engine in the gauge.
    counted: Mutex<i64>,
    pub(super) watched: FollowedNamespaces,
}

impl ClaimEngine {
    /// `former` is the engine that this one replaces.
    pub(super) fn start(
        tasks: &Tasks,
        spec: ClaimSpec,
        context: ClaimContext,
        mode: EngineMode,
        former: Option<&Self>,
    ) -> Arc<Self> {
        let terms = ClaimTerms {
            claim: spec.claim.clone(),
            keys: context.engine.keys.clone(),
            contract: spec.session.namespace.clone(),
            binding: spec.binding.clone(),
        };
        let stamper = terms.stamper();
        let scopes = WatchScope::on_consumer(&spec.claim);
        // At the end nobody asks who refers to what.
        let referring = if mode == EngineMode::Sync { spec.referring.clone() } else { Vec::new() };
        let mut index = ClaimIndex::new(terms);
        index.consumer_known = scopes.is_empty() && referring.is_empty();
        if let Some(former) = former {
            index.inherit(&former.index.lock(), former.spec.export_uid == spec.export_uid);
        }
        let engine = Arc::new(Self {
            index: Mutex::new(index),
            health: Mutex::new(ClaimHealth::new(scopes.len() + referring.len())),
            tasks: tasks.child(),
            queue: Arc::default(),
            told: Mutex::default(),
            unplaced: Mutex::default(),
            pace: Mutex::default(),
            orphans: context.engine.metrics.claimed_orphans(spec.claim.resource),
            counted: Mutex::default(),
            stamper,
            watched: FollowedNamespaces::default(),
            mode,
            spec,
            context,
        });
        scopes.into_iter().enumerate().for_each(|(number, scope)| engine.watch_consumer(number, scope));
        referring.iter().enumerate().for_each(|(number, kind)| engine.watch_referrers(number, kind));
        if mode != EngineMode::Withdraw {
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

    /// Returns `true` if nothing of ours is left, as far as the mode takes it away.
    pub(super) fn is_drained(&self) -> bool {
        let namespaces = &self.spec.session.namespaces;
        // In this order: what is listed in between is not taken for nothing.
        let (listed, answers) = (namespaces.are_listed(), namespaces.by_answer());
        let index = self.index.lock();
        let all_known = || listed && answers.values().all(|namespace| index.knows_namespace(namespace));
        let provider_known = self.mode == EngineMode::Withdraw || all_known();
        index.consumer_known
            && provider_known
            && index.keys().iter().all(|key| self.step(&index, key) == ClaimStep::Nothing)
    }

    /// Number of copies on the provider whose originals were lost in a restore of the consumer. Counts them in the
    /// metric, which other bindings share.
    pub(super) fn orphaned(&self) -> usize {
        let orphaned = if self.mode == EngineMode::Sync { self.index.lock().orphaned() } else { 0 };
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

    pub(super) fn step(&self, index: &ClaimIndex, key: &ObjectKey) -> ClaimStep {
        self.due(index, key).0
    }

    /// The next step, what it writes, and how long one that has to wait for its time has to wait.
    pub(super) fn due(&self, index: &ClaimIndex, key: &ObjectKey) -> (ClaimStep, Digest, Option<Duration>) {
        let is_protected =
            self.spec.claim.resource == ClaimedResource::Secrets && (self.context.holds_kubeconfig)(key);
        let namespace = self.spec.session.namespaces.state(&key.namespace);
        let sides = index.sides(key, is_protected).among(|binding| (self.context.is_bound)(binding));
        let step = plan(sides, namespace.as_plan(), self.mode);
        let what = what(step, sides);
        match self.pace.lock().wait(key, step.label(), what, Instant::now()) {
            Some(left) => (ClaimStep::Wait, what, Some(left)),
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
            (ClaimStep::Nothing, ..) if self.mode == EngineMode::Sync => {
                index.forget_idle(&key);
                if index.is_unknown(&key) {
                    self.pace.lock().forget(&key);
                }
            }
            (ClaimStep::Wait, _, Some(left)) => self.queue.add_after(key, left),
            (ClaimStep::Wait, _, None) => {}
            _ => self.queue.add(key),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.depth() == 0
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut ClaimHealth)) {
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

/// Digest of what a step writes, so that the same is recognized when it is written again.
fn what(step: ClaimStep, sides: ClaimSides<'_>) -> Digest {
    match step {
        ClaimStep::CreateCopy(side) | ClaimStep::UpdateCopy(side) => {
            sides.on(side.other()).map_or(Digest::ABSENT, |original| original.desired)
        }
        // Another object of the name is another.
        _ => Digest::of(&json!([sides.consumer.map(|seen| &seen.uid), sides.provider.map(|seen| &seen.uid)])),
    }
}
