//! Whom a change concerns.

use kube::ResourceExt as _;

use crate::{
    context::ProviderContext,
    queues::{ClusterChange, QueueKey, answered_by},
};

impl ProviderContext {
    /// Adds to the queues whatever a change concerns.
    pub fn trigger(&self, change: ClusterChange) {
        let queues = &self.queues;
        match change {
            ClusterChange::Everything => self.trigger_everything(),
            ClusterChange::Source(name) => self.trigger_for_source(&name),
            ClusterChange::Contract(namespace) => {
                self.trigger_approvals(Some(&namespace));
                self.trigger_in_contract(&namespace);
            }
            ClusterChange::ClusterBinding(namespace) => {
                queues.heartbeats.add(namespace.clone());
                queues.contracts.add(namespace);
            }
            ClusterChange::Export(key) => {
                self.trigger_approvals(Some(&key.namespace));
                queues.grants.add(key.namespace.clone());
                queues.exports.add(key);
            }
            ClusterChange::ExportGone(key) => {
                self.trigger_approvals(Some(&key.namespace));
                self.trigger_requests_of(&key.namespace);
                queues.grants.add(key.namespace.clone());
                queues.exports.add(key);
            }
            ClusterChange::Request(key) => self.trigger_for_request(key),
            ClusterChange::ExportRequest(key) => {
                self.trigger_in_contract(&key.namespace);
                queues.approvals.add(key);
            }
            ClusterChange::Grant(contract) => queues.grants.add(contract),
            ClusterChange::Guard => self.trigger_contracts(),
            ClusterChange::Kubeconfig(contract) => queues.renewals.add(contract),
            ClusterChange::Rights(namespace) => {
                let mapped = self.mapped.get(&namespace);
                let request = mapped.and_then(|mapped| answered_by(&mapped));
                match request {
                    Some(key) => queues.requests.add(key),
                    None => queues.grants.add(namespace),
                }
            }
        }
    }

    fn trigger_everything(&self) {
        self.crds.all().iter().for_each(|crd| self.trigger_for_source(&crd.name_any()));
        self.exports.all().iter().for_each(|export| self.queues.exports.add(QueueKey::of(&**export)));
        self.contracts.all().iter().for_each(|contract| self.queues.contracts.add(contract.name_any()));
        self.requests.all().iter().for_each(|request| self.queues.requests.add(QueueKey::of(&**request)));
        self.mapped.all().iter().for_each(|mapped| self.queues.sweeps.add(mapped.name_any()));
        self.trigger_approvals(None);
        self.trigger_contracts();
    }

    /// A request, and the namespaces that may have become superfluous with it.
    fn trigger_for_request(&self, key: QueueKey) {
        for mapped in self.mapped.all() {
            if answered_by(&mapped).as_ref() == Some(&key) {
                self.queues.sweeps.add(mapped.name_any());
            }
        }
        self.queues.requests.add(key);
    }

    /// The requests for exports in a contract, or all of them.
    fn trigger_approvals(&self, namespace: Option<&str>) {
        let requests = self.export_requests.all().into_iter().map(|request| QueueKey::of(&*request));
        let concerned = |key: &QueueKey| namespace.is_none_or(|namespace| key.namespace == namespace);
        requests.filter(concerned).for_each(|key| self.queues.approvals.add(key));
    }

    /// The rights and the heartbeat of each contract, and each kubeconfig.
    fn trigger_contracts(&self) {
        for contract in self.contracts.all() {
            self.queues.grants.add(contract.name_any());
            self.queues.heartbeats.add(contract.name_any());
        }
        // Those whose namespace has lost its label, too.
        let kubeconfigs = self.kubeconfigs.all().into_iter().filter_map(|secret| secret.namespace());
        kubeconfigs.for_each(|contract| self.queues.renewals.add(contract));
    }

    /// The export of a CRD in each contract, and the rights that go with it.
    fn trigger_for_source(&self, name: &str) {
        self.queues.sources.add(name.to_owned());
        self.trigger_approvals(None);
        for contract in self.contracts.all() {
            self.queues.exports.add(QueueKey::new(contract.name_any(), name));
        }
        // Those whose namespace has lost its label, too.
        let exports = self.exports.all().into_iter().filter(|export| export.name_any() == name);
        exports.for_each(|export| self.queues.exports.add(QueueKey::of(&*export)));
        self.requests.all().iter().for_each(|request| self.queues.requests.add(QueueKey::of(&**request)));
    }

    pub fn trigger_in_contract(&self, namespace: &str) {
        self.queues.contracts.add(namespace.to_owned());
        for crd in self.crds.all() {
            self.queues.exports.add(QueueKey::new(namespace, crd.name_any()));
        }
        let of_contract = |key: &QueueKey| key.namespace == namespace;
        let exports = self.exports.all().into_iter().map(|export| QueueKey::of(&*export));
        exports.filter(of_contract).for_each(|key| self.queues.exports.add(key));
        self.trigger_requests_of(namespace);
    }

    fn trigger_requests_of(&self, namespace: &str) {
        let requests = self.requests.all().into_iter().map(|request| QueueKey::of(&*request));
        requests.filter(|key| key.namespace == namespace).for_each(|key| self.queues.requests.add(key));
    }
}
