//! The set of namespaces that are about to be deleted.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::queues::QueueKey;

/// The requests whose namespaces are about to be deleted: they are not answered meanwhile.
#[derive(Debug, Default)]
pub struct Sweeping(Mutex<HashSet<QueueKey>>);

impl Sweeping {
    pub fn holds(&self, key: &QueueKey) -> bool {
        self.0.lock().contains(key)
    }

    pub fn begin(&self, key: &QueueKey) -> Swept<'_> {
        self.0.lock().insert(key.clone());
        Swept { all: self, key: key.clone() }
    }
}

pub struct Swept<'a> {
    all: &'a Sweeping,
    key: QueueKey,
}

impl Drop for Swept<'_> {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.key);
    }
}
