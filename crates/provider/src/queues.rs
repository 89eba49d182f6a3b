//! The queues of the controllers, and who of them cares for what.

use std::{fmt, sync::Arc};

use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use portolan_core::api::kubebind::ANNOTATION_API_SERVICE_NAMESPACE;
use portolan_runtime::queue::WorkQueue;

/// An object in a contract namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueKey {
    pub namespace: String,
    pub name: String,
}

impl QueueKey {
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The reference for Events about it, whether it exists or not.
    pub fn reference<K: Resource<DynamicType = ()>>(&self) -> ObjectReference {
        ObjectRef::<K>::new(&self.name).within(&self.namespace).into()
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_once('/').map(|(namespace, name)| Self::new(namespace, name))
    }
}

/// The request that a namespace answers.
pub fn answered_by(namespace: &Namespace) -> Option<QueueKey> {
    QueueKey::parse(namespace.annotations().get(ANNOTATION_API_SERVICE_NAMESPACE)?)
}

impl fmt::Display for QueueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A change in the cluster.
#[derive(Clone, Debug)]
pub enum ClusterChange {
    /// A kind was relisted: anything may differ.
    Everything,
    /// The CRD of this name, or its label.
    Source(String),
    /// A contract namespace.
    Contract(String),
    /// The ClusterBinding in this contract namespace.
    ClusterBinding(String),
    /// An export or its schema, which have the same name.
    Export(QueueKey),
    /// An export is gone, and with it the rights for it.
    ExportGone(QueueKey),
    /// An APIServiceNamespace, or the namespace that answers it.
    Request(QueueKey),
    /// An APIServiceExportRequest.
    ExportRequest(QueueKey),
    /// A Role or RoleBinding in this namespace.
    Rights(String),
    /// The ClusterRole of the consumer of this contract namespace, or its binding.
    Grant(String),
    /// The policy that guards shared kinds.
    Guard,
    /// The consumer's kubeconfig in this contract namespace.
    Kubeconfig(String),
}

/// The queues.
#[derive(Debug, Default)]
pub struct Queues {
    /// Names of CRDs.
    pub sources: Arc<WorkQueue<String>>,
    /// Names of contract namespaces.
    pub contracts: Arc<WorkQueue<String>>,
    pub exports: Arc<WorkQueue<QueueKey>>,
    pub requests: Arc<WorkQueue<QueueKey>>,
    /// APIServiceExportRequests.
    pub approvals: Arc<WorkQueue<QueueKey>>,
    /// Names of contract namespaces.
    pub grants: Arc<WorkQueue<String>>,
    /// Names of contract namespaces.
    pub renewals: Arc<WorkQueue<String>>,
    /// Names of contract namespaces.
    pub heartbeats: Arc<WorkQueue<String>>,
    /// Names of namespaces that stand for those of consumers.
    pub sweeps: Arc<WorkQueue<String>>,
}
