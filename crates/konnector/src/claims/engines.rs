//! The claim engines that run, by binding and claimed resource.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use portolan_core::claims::ClaimedResource;
use portolan_runtime::tasks::Tasks;

use super::{
    engine::{ClaimContext, ClaimEngine, ClaimSpec},
    health::ClaimState,
};
use crate::sync::EngineMode;

/// The binding and the claimed resource that an engine works for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    pub binding: String,
    pub resource: ClaimedResource,
}

/// All claim engines of the konnector.
pub struct ClaimEngines {
    tasks: Tasks,
    engines: Mutex<HashMap<ClaimKey, Arc<ClaimEngine>>>,
}

impl ClaimEngines {
    pub fn new(tasks: &Tasks) -> Self {
        Self { tasks: tasks.clone(), engines: Mutex::default() }
    }

    /// Makes sure that an engine runs with this spec, and gives its state.
    pub fn ensure(
        &self,
        key: &ClaimKey,
        spec: &ClaimSpec,
        mode: EngineMode,
        context: impl FnOnce() -> ClaimContext,
    ) -> ClaimState {
        let mut engines = self.engines.lock();
        if let Some(running) =
            engines.get(key).filter(|engine| engine.mode == mode && engine.spec.is_same(spec))
        {
            return running.state();
        }
        let former = engines.get(key).map(Arc::as_ref);
        let engine = ClaimEngine::start(&self.tasks, spec.clone(), context(), mode, former);
        let state = engine.state();
        if let Some(replaced) = engines.insert(key.clone(), engine) {
            replaced.stop();
        }
        state
    }

    /// Returns `true` if a terminating engine has nothing left to do.
    pub fn is_drained(&self, key: &ClaimKey) -> bool {
        let engine = self.engines.lock().get(key).cloned();
        engine.is_some_and(|engine| engine.mode != EngineMode::Sync && engine.is_drained())
    }

    /// Number of a binding's copies of claimed objects on the provider whose originals were lost in a restore.
    pub fn orphaned(&self, binding: &str) -> usize {
        let engines = self.engines.lock();
        engines.iter().filter(|(key, _)| key.binding == binding).map(|(_, engine)| engine.orphaned()).sum()
    }

    /// Resyncs every engine: an object that another binding kept may have to be kept by one of them.
    pub fn resync(&self) {
        let engines: Vec<_> = self.engines.lock().values().map(Arc::clone).collect();
        for engine in engines {
            engine.look_at_all();
        }
    }

    /// Stops the engines of a binding, other than those in `keep`.
    pub fn stop(&self, binding: &str, keep: &[ClaimedResource]) {
        self.engines.lock().retain(|key, engine| {
            let stays = key.binding != binding || keep.contains(&key.resource);
            if !stays {
                engine.stop();
            }
            stays
        });
    }
}
