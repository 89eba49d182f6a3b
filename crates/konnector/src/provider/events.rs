//! Effects of the events of a session's watches.

use kube::ResourceExt as _;
use portolan_runtime::clock;
use tokio::time::Instant;

use super::{contact::Contact, reflecting::ProviderChange, session::Session};

impl Session {
    pub(super) fn on_exports(&self, change: &ProviderChange) {
        let names: Vec<_> = self.exports.all().iter().map(|export| export.name_any()).collect();
        self.absences.present(names.iter().map(String::as_str));
        if !matches!(change, ProviderChange::Failed(_)) {
            self.last_contact.set(clock::now().as_second());
        }
        match change {
            ProviderChange::Relisted => self.update(|state| {
                state.exports_listed = true;
                state.contact = Contact::Up;
            }),
            ProviderChange::Failed(contact) => self.set_contact(contact.clone()),
            ProviderChange::Deleted { name, is_replaced } => {
                // It may be back already, as another, or is about to be.
                if !is_replaced && !names.contains(name) {
                    self.absences.withdrawn(name);
                }
                self.tell();
            }
            ProviderChange::Applied => self.tell(),
        }
        // Where there is no ClusterBinding, exports say whose the contract is.
        self.claim_due.notify_one();
    }

    pub(super) fn on_cluster_bindings(&self, change: &ProviderChange) {
        match change {
            ProviderChange::Relisted => {
                let mut state = self.state.write();
                state.cluster_binding_listed = true;
                state.cluster_binding_refused = None;
            }
            ProviderChange::Failed(Contact::Refused { .. }) => {
                self.state.write().cluster_binding_refused.get_or_insert_with(Instant::now);
            }
            ProviderChange::Failed(_) | ProviderChange::Applied | ProviderChange::Deleted { .. } => {}
        }
        self.claim_due.notify_one();
        self.report_due.notify_one();
        self.tell();
    }

    pub(super) fn on_namespaces(&self, change: &ProviderChange) {
        match change {
            ProviderChange::Deleted { name, .. } => self.namespaces.dropped(name),
            ProviderChange::Relisted => self.namespaces.were_listed(),
            ProviderChange::Applied | ProviderChange::Failed(_) => {}
        }
    }

    pub(super) fn on_schemas(&self, change: &ProviderChange) {
        match change {
            ProviderChange::Relisted => self.update(|state| state.schemas_listed = true),
            ProviderChange::Failed(_) => {}
            ProviderChange::Applied | ProviderChange::Deleted { .. } => self.tell(),
        }
    }
}
