//! The claim engines that run, by binding and claimed resource.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use portolan_core::claims::Claimed;
use portolan_runtime::tasks::Tasks;

use super::{
    engine::{ClaimContext, ClaimSpec, Engine},
    health::ClaimState,
};
use crate::sync::Mode;

/// The binding and the claimed resource that an engine works for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClaimKey {
    pub(crate) binding: String,
    pub(crate) resource: Claimed,
}

/// All claim engines of the konnector.
pub(crate) struct ClaimEngines {
    tasks: Tasks,
    engines: Mutex<HashMap<ClaimKey, Arc<Engine>>>,
}

impl ClaimEngines {
    pub(crate) fn new(tasks: &Tasks) -> Self {
        Self { tasks: tasks.clone(), engines: Mutex::default() }
    }

    /// Makes sure that an engine runs with this spec, and gives its state.
    pub(crate) fn ensure(
        &self,
        key: &ClaimKey,
        spec: &ClaimSpec,
        mode: Mode,
        context: impl FnOnce() -> ClaimContext,
    ) -> ClaimState {
        let mut engines = self.engines.lock();
        if let Some(running) =
            engines.get(key).filter(|engine| engine.mode == mode && engine.spec.is_same(spec))
        {
            return running.state();
        }
        let former = engines.get(key).map(Arc::as_ref);
        let engine = Engine::start(&self.tasks, spec.clone(), context(), mode, former);
        let state = engine.state();
        if let Some(replaced) = engines.insert(key.clone(), engine) {
            replaced.stop();
        }
        state
    }

    /// Whether an engine that ends has nothing left to do.
    pub(crate) fn is_drained(&self, key: &ClaimKey) -> bool {
        let engine = self.engines.lock().get(key).cloned();
        engine.is_some_and(|engine| engine.mode != Mode::Sync && engine.is_drained())
    }

    /// How many copies of claimed objects a binding has on the provider whose originals went with a backup.
    pub(crate) fn orphaned(&self, binding: &str) -> usize {
        let engines = self.engines.lock();
        engines.iter().filter(|(key, _)| key.binding == binding).map(|(_, engine)| engine.orphaned()).sum()
    }

    /// Has every engine look again at what is there: what another binding kept may have to be kept by one of them.
    pub(crate) fn look_again(&self) {
        let engines: Vec<_> = self.engines.lock().values().map(Arc::clone).collect();
        for engine in engines {
            engine.look_at_all();
        }
    }

    /// Stops the engines of a binding, other than those in `keep`.
    pub(crate) fn stop(&self, binding: &str, keep: &[Claimed]) {
        self.engines.lock().retain(|key, engine| {
            let stays = key.binding != binding || keep.contains(&key.resource);
            if !stays {
                engine.stop();
            }
            stays
        });
    }
}
