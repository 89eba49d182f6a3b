//! Effects of the events of a session's watches.

use tracing::warn;

use super::{contact::ProviderContact, reflecting::ProviderChange, session::Session, unseen::UnseenKind};

impl Session {
    pub(super) fn on_exports(&self, change: &ProviderChange) {
        self.contents.saw_exports(change);
        match change {
            ProviderChange::Relisted => self.pulse.set(ProviderContact::Up),
            ProviderChange::Failed(contact) => self.pulse.set(contact.clone()),
            ProviderChange::Deleted { .. } | ProviderChange::Applied => {}
        }
        if !matches!(change, ProviderChange::Failed(_)) {
            self.pulse.answered();
        }
        // Where there is no ClusterBinding, exports say whose the contract is.
        self.holding.due.notify_one();
        self.tell();
    }

    pub(super) fn on_cluster_bindings(&self, change: &ProviderChange) {
        self.contents.saw_cluster_bindings(change);
        self.holding.due.notify_one();
        self.reports.due.notify_one();
        self.tell();
    }

    pub(super) fn on_namespaces(&self, change: &ProviderChange) {
        self.watches(UnseenKind::Namespaces, change);
        match change {
            ProviderChange::Deleted { name, .. } => self.namespaces.dropped(name),
            ProviderChange::Relisted => self.namespaces.were_listed(),
            ProviderChange::Applied | ProviderChange::Failed(_) => {}
        }
    }

    pub(super) fn on_schemas(&self, change: &ProviderChange) {
        self.contents.saw_schemas(change);
        self.watches(UnseenKind::Schemas, change);
        if !matches!(change, ProviderChange::Failed(_)) {
            self.tell();
        }
    }

    /// Notes whether a kind can be watched.
    fn watches(&self, kind: UnseenKind, change: &ProviderChange) {
        if !self.unseen.take_in(kind, change) {
            return;
        }
        if let ProviderChange::Failed(contact) = change {
            warn!(namespace = self.namespace, ?contact, "cannot watch the provider's {}", kind.name());
        }
        self.tell();
    }
}
