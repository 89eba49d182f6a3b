//! The reports to a provider: when one is due, how the last one went, and what it says of renewed kubeconfigs.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{contact::Heartbeat, offered::Offered};

#[derive(Default)]
pub(super) struct Reports {
    pub(super) due: Notify,
    last: Mutex<Heartbeat>,
    offered: Mutex<Offered>,
}

impl Reports {
    pub(super) fn last(&self) -> Heartbeat {
        self.last.lock().clone()
    }

    /// Takes in how the last report went. Returns `true` if that is news.
    pub(super) fn went(&self, heartbeat: Heartbeat) -> bool {
        let mut last = self.last.lock();
        let is_news = *last != heartbeat;
        *last = heartbeat;
        is_news
    }

    pub(super) fn offered(&self) -> Offered {
        self.offered.lock().clone()
    }

    /// Takes in what the provider offers as a renewed kubeconfig.
    pub(super) fn set_offered(&self, offered: Offered) {
        *self.offered.lock() = offered;
        self.due.notify_one();
    }
}
