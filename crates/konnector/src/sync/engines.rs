//! The engines that run, by binding and resource.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use portolan_runtime::tasks::Tasks;

use super::{
    engine::SyncEngine,
    health::EngineState,
    placement::Placement,
    plan::EngineMode,
    spec::{EngineContext, SyncSpec},
};

/// The binding and the CRD that an engine works for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineKey {
    pub binding: String,
    pub crd: String,
}

/// All engines of the konnector.
pub struct SyncEngines {
    tasks: Tasks,
    engines: Mutex<HashMap<EngineKey, Arc<SyncEngine>>>,
    /// Engines that were stopped for a while. The next one has to know what they knew. Taken after `engines`, where both
    /// are needed.
    paused: Mutex<HashMap<EngineKey, Arc<SyncEngine>>>,
}

impl SyncEngines {
    pub fn new(tasks: &Tasks) -> Self {
        Self { tasks: tasks.clone(), engines: Mutex::default(), paused: Mutex::default() }
    }

    /// Makes sure that an engine runs with this spec, and gives its state.
    pub fn ensure(
        &self,
        key: &EngineKey,
        spec: &SyncSpec,
        mode: EngineMode,
        context: impl FnOnce() -> EngineContext,
    ) -> EngineState {
        let mut engines = self.engines.lock();
        let current = engines.get(key).filter(|e| e.mode() == mode && e.spec().is_same(spec));
        if let Some(running) = current {
            return running.state();
        }
        let paused = self.paused.lock().remove(key);
        let former = engines.get(key).or(paused.as_ref()).map(Arc::as_ref);
        let engine = SyncEngine::start(&self.tasks, spec.clone(), context(), mode, former);
        let state = engine.state();
        if let Some(replaced) = engines.insert(key.clone(), engine) {
            replaced.stop();
        }
        state
    }

    /// Stops one engine, until what it writes in is known again.
    pub fn pause(&self, binding: &str, crd: &str) {
        let key = EngineKey { binding: binding.to_owned(), crd: crd.to_owned() };
        if let Some(paused) = self.engines.lock().remove(&key) {
            paused.stop();
            self.paused.lock().insert(key, paused);
        }
    }

    /// The state of the engine that runs.
    pub fn state(&self, key: &EngineKey) -> Option<EngineState> {
        self.engines.lock().get(key).map(|running| running.state())
    }

    /// The mode of the engine that runs or is paused, and the place of its copies.
    pub fn current(&self, key: &EngineKey) -> Option<(EngineMode, Placement)> {
        let (engines, paused) = (self.engines.lock(), self.paused.lock());
        let engine = engines.get(key).or_else(|| paused.get(key));
        engine.map(|engine| (engine.mode(), engine.spec().placement))
    }

    /// Returns `true` if one of its watches fails for good.
    pub fn is_failing(&self, key: &EngineKey) -> bool {
        let engines = self.engines.lock();
        engines.get(key).is_some_and(|running| matches!(running.state(), EngineState::Failing(_)))
    }

    /// Returns `true` if a draining engine has nothing left to do.
    pub fn is_drained(&self, key: &EngineKey) -> bool {
        let engines = self.engines.lock();
        engines.get(key).is_some_and(|running| running.mode() != EngineMode::Sync && running.is_drained())
    }

    /// Number of a binding's copies whose objects are absent.
    pub fn orphaned(&self, binding: &str) -> usize {
        let (engines, paused) = (self.engines.lock(), self.paused.lock());
        let all = engines.iter().chain(paused.iter());
        all.filter(|(key, _)| key.binding == binding).map(|(_, engine)| engine.orphaned()).sum()
    }

    /// Stops the engines of a binding, other than those for the CRDs in `keep`.
    pub fn stop(&self, binding: &str, keep: &[String]) {
        let mut engines = self.engines.lock();
        let stays = |key: &EngineKey| key.binding != binding || keep.contains(&key.crd);
        let mut stopped: Vec<_> = engines.extract_if(|key, _| !stays(key)).collect();
        stopped.extend(self.paused.lock().extract_if(|key, _| !stays(key)));
        for (stopped, engine) in stopped {
            engine.stop();
            // One that takes its place counts on.
            if engines.keys().all(|key| key.crd != stopped.crd) {
                engine.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests;
