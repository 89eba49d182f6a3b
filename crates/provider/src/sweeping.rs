//! The namespaces that are about to be deleted, and those that stay for now.

mod leftovers;

use std::collections::HashSet;

use parking_lot::Mutex;

use self::leftovers::Leftovers;
use crate::queues::QueueKey;

/// The namespaces that nobody asks for.
#[derive(Debug, Default)]
pub struct Sweeping {
    /// The requests whose namespaces are about to be deleted: they are not answered meanwhile.
    going: Mutex<HashSet<QueueKey>>,
    /// Those in which something is left.
    pub leftovers: Leftovers,
}

impl Sweeping {
    pub fn holds(&self, key: &QueueKey) -> bool {
        self.going.lock().contains(key)
    }

    pub fn begin(&self, key: &QueueKey) -> Swept<'_> {
        self.going.lock().insert(key.clone());
        Swept { all: self, key: key.clone() }
    }
}

pub struct Swept<'a> {
    all: &'a Sweeping,
    key: QueueKey,
}

impl Drop for Swept<'_> {
    fn drop(&mut self) {
        self.all.going.lock().remove(&self.key);
    }
}
