//! What the events of a session's watches mean.

use kube::ResourceExt as _;
use portolan_runtime::clock;
use tokio::time::Instant;

use super::{contact::Contact, reflecting::Change, session::Session};

impl Session {
    pub(super) fn on_exports(&self, change: &Change) {
        let names: Vec<_> = self.exports.state().iter().map(|export| export.name_any()).collect();
        self.absences.present(names.iter().map(String::as_str));
        if !matches!(change, Change::Failed(_)) {
            self.last_contact.set(clock::now().as_second());
        }
        match change {
            Change::Relisted => self.update(|state| {
                state.exports_listed = true;
                state.contact = Contact::Up;
            }),
            Change::Failed(contact) => self.set_contact(contact.clone()),
            Change::Deleted { name, is_replaced } => {
                // It may be back already, as another, or is about to be.
                if !is_replaced && !names.contains(name) {
                    self.absences.withdrawn(name);
                }
                self.tell();
            }
            Change::Applied => self.tell(),
        }
        // Where there is no ClusterBinding, exports say whose the contract is.
        self.claim_due.notify_one();
    }

    pub(super) fn on_cluster_bindings(&self, change: &Change) {
        match change {
            Change::Relisted => {
                let mut state = self.state.write();
                state.cluster_binding_listed = true;
                state.cluster_binding_refused = None;
            }
            Change::Failed(Contact::Refused { .. }) => {
                self.state.write().cluster_binding_refused.get_or_insert_with(Instant::now);
            }
            Change::Failed(_) | Change::Applied | Change::Deleted { .. } => {}
        }
        self.claim_due.notify_one();
        self.report_due.notify_one();
        self.tell();
    }

    pub(super) fn on_namespaces(&self, change: &Change) {
        match change {
            Change::Deleted { name, .. } => self.namespaces.dropped(name),
            Change::Relisted => self.namespaces.were_listed(),
            Change::Applied | Change::Failed(_) => {}
        }
    }

    pub(super) fn on_schemas(&self, change: &Change) {
        match change {
            Change::Relisted => self.update(|state| state.schemas_listed = true),
            Change::Failed(_) => {}
            Change::Applied | Change::Deleted { .. } => self.tell(),
        }
    }
}
