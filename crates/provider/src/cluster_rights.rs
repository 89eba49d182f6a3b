//! Stores of the kinds that give a consumer rights in the whole cluster, and guard what consumers share.

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};

use portolan_runtime::cache::Cache;

const PREFIX: &str = "kube-binder:";

/// Stores that exist only where consumers may share kinds: without leave, there is no right to watch them.
pub struct Shared {
    pub roles: Cache<ClusterRole>,
    pub role_bindings: Cache<ClusterRoleBinding>,
    pub policies: Cache<ValidatingAdmissionPolicy>,
    pub policy_bindings: Cache<ValidatingAdmissionPolicyBinding>,
}

impl Shared {
    pub async fn synced(&self) {
        self.roles.synced().await;
        self.role_bindings.synced().await;
        self.policies.synced().await;
        self.policy_bindings.synced().await;
    }
}

/// The contract namespace that a ClusterRole or its binding is for.
pub fn contract_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)
}

pub fn name(contract: &str) -> String {
    format!("{PREFIX}{contract}")
}
