//! Tally of things by their state: a gauge per state that something is in.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use portolan_runtime::metrics::Gauges;

/// Counts named things by their state.
#[derive(Clone, Debug)]
pub(super) struct StateTally {
    gauges: Gauges,
    states: Arc<Mutex<HashMap<String, String>>>,
}

impl StateTally {
    /// Over gauges with one label, the state.
    pub(super) fn new(gauges: Gauges) -> Self {
        Self { gauges, states: Arc::default() }
    }

    pub(super) fn set(&self, name: &str, state: &str) {
        let mut states = self.states.lock();
        let before = states.insert(name.to_owned(), state.to_owned());
        if before.as_deref() == Some(state) {
            return;
        }
        self.gauges.with_label_values(&[state]).inc();
        if let Some(before) = before {
            self.leaves(&before);
        }
    }

    pub(super) fn forget(&self, name: &str) {
        let mut states = self.states.lock();
        if let Some(before) = states.remove(name) {
            self.leaves(&before);
        }
    }

    fn leaves(&self, state: &str) {
        let gauge = self.gauges.with_label_values(&[state]);
        gauge.dec();
        if gauge.get() <= 0 {
            // It exists, since it was just counted down.
            let _ = self.gauges.remove_label_values(&[state]);
        }
    }
}
