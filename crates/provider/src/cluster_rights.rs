//! What there is of the kinds that give a consumer rights in the whole cluster, and guard what consumers share.

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};

use crate::store::Kind;

const PREFIX: &str = "kube-binder:";

/// What is watched only where consumers may share kinds: without leave, there is no right to it.
pub(crate) struct Shared {
    pub(crate) roles: Kind<ClusterRole>,
    pub(crate) role_bindings: Kind<ClusterRoleBinding>,
    pub(crate) policies: Kind<ValidatingAdmissionPolicy>,
    pub(crate) policy_bindings: Kind<ValidatingAdmissionPolicyBinding>,
}

impl Shared {
    pub(crate) async fn synced(&self) {
        self.roles.synced().await;
        self.role_bindings.synced().await;
        self.policies.synced().await;
        self.policy_bindings.synced().await;
    }
}

/// The contract namespace that a ClusterRole or its binding is for.
pub(crate) fn contract_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

pub(crate) fn name(contract: &str) -> String {
    format!("{PREFIX}{contract}")
}
