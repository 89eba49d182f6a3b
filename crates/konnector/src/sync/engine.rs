//! One engine per bound resource: it starts and ends what watches, plans and writes.

use std::sync::Arc;

use parking_lot::Mutex;
use portolan_runtime::{controller::Controller, tasks::Tasks};

use super::{
    agenda::SyncAgenda,
    health::{EngineHealth, EngineState},
    index::SyncIndex,
    latency::CopyLatency,
    orphans::OrphanCount,
    perform::SyncWorker,
    placement::Placement,
    places::SyncPlaces,
    plan::EngineMode,
    report::SyncReporter,
    spec::{EngineContext, SyncSpec},
    watches::{ConsumerWatch, ProviderWatch},
};
use crate::metrics::KonnectorMetrics;

/// Number of objects of one resource that are worked on at a time.
const WORKERS: usize = 16;

pub(super) struct SyncEngine {
    agenda: Arc<SyncAgenda>,
    tasks: Tasks,
    metrics: KonnectorMetrics,
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
        let EngineContext { metrics, reporter, .. } = context.clone();
        let tasks = tasks.child();
        let latency = Arc::new(CopyLatency::new(metrics.copy_latency(&spec.resource)));
        let agenda = Arc::new(agenda(spec, context, mode, former));
        let provider = ProviderWatch::new(&agenda, &tasks);
        ConsumerWatch {
            agenda: Arc::clone(&agenda),
            provider: Arc::clone(&provider),
            latency: Arc::clone(&latency),
        }
        .spawn(&tasks);
        provider.spawn_wide_watch();
        provider.spawn_namespace_listener();
        let telling = Arc::clone(&agenda);
        tasks.spawn("orphans", async move { telling.orphans.tell().await });
        let reporter =
            SyncReporter { agenda: Arc::clone(&agenda), metrics: metrics.clone(), events: reporter };
        let worker = Arc::new(SyncWorker::new(&agenda, reporter, &latency, metrics.clone()));
        Controller { name: "sync", workers: WORKERS, queue: &agenda.queue, metrics: &metrics.controllers }
            .run(&tasks, &worker, SyncWorker::reconcile);
        Arc::new(Self { agenda, tasks, metrics })
    }

    pub(super) fn stop(&self) {
        self.tasks.cancel();
    }

    /// Stops counting: nothing takes the place of this engine.
    pub(super) fn forget(&self) {
        self.metrics.forget(&self.spec().resource);
    }

    pub(super) fn spec(&self) -> &SyncSpec {
        &self.agenda.places.spec
    }

    pub(super) fn mode(&self) -> EngineMode {
        self.agenda.mode
    }

    pub(super) fn state(&self) -> EngineState {
        self.agenda.health.state()
    }

    /// Returns `true` if nothing of ours is left on either side.
    pub(super) fn is_drained(&self) -> bool {
        self.agenda.is_drained()
    }

    /// Number of copies whose origins are absent, once that is known.
    pub(super) fn orphaned(&self) -> usize {
        self.agenda.orphaned()
    }
}

fn agenda(
    spec: SyncSpec,
    context: EngineContext,
    mode: EngineMode,
    former: Option<&SyncEngine>,
) -> SyncAgenda {
    let EngineContext { consumer, metrics, keys, on_state, .. } = context;
    let index = SyncIndex::new(&spec.session.namespace, keys, spec.has_status_subresource);
    let index = index.knowing(Arc::clone(&spec.defaults));
    let former = former.map(|former| &former.agenda);
    let index = match former.filter(|f| f.mode == mode && f.places.spec.placement == spec.placement) {
        Some(former) => index.inheriting(&former.index.lock()),
        None => index,
    };
    let awaits_provider =
        mode == EngineMode::Sync && spec.placement != Placement::Mapped { cluster_wide: false };
    SyncAgenda {
        index: Mutex::new(index),
        mode,
        queue: Arc::default(),
        pace: Mutex::default(),
        told: Mutex::default(),
        health: EngineHealth::new(awaits_provider, Arc::clone(&on_state)),
        orphans: OrphanCount::new(metrics.orphans(&spec.resource), on_state),
        objects: metrics.objects(&spec.resource),
        places: SyncPlaces { spec, consumer },
    }
}
