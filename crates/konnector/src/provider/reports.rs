//! The reports to a provider: when one is due, how the last one went, and what it says of renewed kubeconfigs.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{contact::HeartbeatOutcome, offered::OfferedKubeconfig};

#[derive(Default)]
pub(super) struct ProviderReports {
    pub(super) due: Notify,
    last: Mutex<HeartbeatOutcome>,
    offered: Mutex<OfferedKubeconfig>,
}

impl ProviderReports {
    pub(super) fn last(&self) -> HeartbeatOutcome {
        self.last.lock().clone()
    }

    /// Takes in how the last report went. Returns `true` if that is news.
    pub(super) fn went(&self, heartbeat: HeartbeatOutcome) -> bool {
        let mut last = self.last.lock();
        let is_news = *last != heartbeat;
        *last = heartbeat;
        is_news
    }

    pub(super) fn offered(&self) -> OfferedKubeconfig {
        self.offered.lock().clone()
    }

    /// Takes in what the provider offers as a renewed kubeconfig.
    pub(super) fn set_offered(&self, offered: OfferedKubeconfig) {
        *self.offered.lock() = offered;
        self.due.notify_one();
    }
}
