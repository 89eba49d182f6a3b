//! Namespace and rights that a request gets. Pure and infallible.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::Namespace,
    rbac::v1::{Role, RoleBinding},
};
use kube::api::ObjectMeta;
use portolan_core::{
    api::kubebind::{ANNOTATION_API_SERVICE_NAMESPACE, APIServiceNamespace, LABEL_CONTRACT},
    names,
};

use crate::{
    is_ours,
    queues::{QueueKey, answered_by},
    rights,
};

/// The message where the consumer's selector cannot be read.
const UNCLEAR: &str = "Nobody can tell which rights the consumer gets, because the annotation kube-bind.io/exports of its \
 contract namespace is not a label selector. Mend it.";

/// A request and everything that bears on it.
pub(super) struct ObservedRequest {
    pub(super) request: Arc<APIServiceNamespace>,
    /// The namespace that the status names already.
    pub(super) answered: Option<(String, Look)>,
    pub(super) candidates: Candidates,
    /// A namespace that answers has been terminating for longer than it should take.
    pub(super) end_lasts: bool,
    /// The rights in the namespace that is ours, if one is.
    pub(super) role: Option<Arc<Role>>,
    pub(super) binding: Option<Arc<RoleBinding>>,
    /// The rights that the consumer should have; `None` where nobody can tell.
    pub(super) desired_role: Option<Role>,
    pub(super) desired_binding: RoleBinding,
}

/// The state of a namespace with regard to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Absent,
    /// It answers exactly this request.
    Ours,
    /// It did, and is terminating.
    OursTerminating,
    /// It is somebody else's.
    Foreign,
}

/// The names that may answer a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidates {
    /// The name that people expect.
    pub(super) plain: (String, Look),
    /// The name that nobody else has.
    pub(super) hashed: (String, Look),
}

/// The next action.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestPlan {
    /// Something is terminating first.
    Wait,
    /// Nothing can be given before somebody does something: the message says what.
    Blocked(String),
    /// Answer with this namespace.
    Answer { namespace: String, create: bool, role: RequestStep, binding: RequestStep },
}

/// The action on one of the objects that give rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestStep {
    Keep,
    Write,
}

/// The two names that may answer a request.
pub(super) fn names(key: &QueueKey) -> (String, String) {
    let name = |taken| names::mapped_namespace(&key.namespace, &key.name, taken);
    (name(false), name(true))
}

/// Judges a namespace with regard to a request.
pub(super) fn look(namespace: Option<&Namespace>, key: &QueueKey) -> Look {
    let Some(namespace) = namespace else { return Look::Absent };
    if answered_by(namespace).as_ref() != Some(key) {
        return Look::Foreign;
    }
    if namespace.metadata.deletion_timestamp.is_some() { Look::OursTerminating } else { Look::Ours }
}

pub(super) fn plan(observed: &ObservedRequest) -> RequestPlan {
    let (namespace, create) = match place(observed) {
        Ok(place) => place,
        Err(plan) => return plan,
    };
    let role = match (&observed.role, &observed.desired_role) {
        (Some(role), _) if !is_ours(&**role) => return blocked("Role", &namespace),
        (Some(role), Some(desired)) if rights::grants(role, desired) => RequestStep::Keep,
        (_, Some(_)) => RequestStep::Write,
        (Some(_), None) => RequestStep::Keep,
        // A consumer without any rights gets no answer until it is clear which it gets.
        (None, None) => return RequestPlan::Blocked(UNCLEAR.to_owned()),
    };
    let binding = match &observed.binding {
        Some(binding) if !is_ours(&**binding) => return blocked("RoleBinding", &namespace),
        Some(binding) if rights::binds(binding, &observed.desired_binding) => RequestStep::Keep,
        _ => RequestStep::Write,
    };
    RequestPlan::Answer { namespace, create, role, binding }
}

/// The namespace to answer with, and whether it has to be made.
fn place(observed: &ObservedRequest) -> Result<(String, bool), RequestPlan> {
    let Candidates { plain, hashed } = &observed.candidates;
    if let Some((name, look)) = &observed.answered {
        match look {
            Look::Ours => return Ok((name.clone(), false)),
            Look::OursTerminating => return Err(ending(name, observed)),
            // The consumer's objects may be there. Nobody but a person can tell.
            Look::Foreign => return Err(foreign(name, observed)),
            Look::Absent if [plain, hashed].iter().any(|(candidate, _)| candidate == name) => {
                return Ok((name.clone(), true));
            }
            Look::Absent => {}
        }
    }
    match (plain.1, hashed.1) {
        (Look::Ours, _) => Ok((plain.0.clone(), false)),
        (_, Look::Ours) => Ok((hashed.0.clone(), false)),
        (Look::OursTerminating, _) => Err(ending(&plain.0, observed)),
        (_, Look::OursTerminating) => Err(ending(&hashed.0, observed)),
        (Look::Absent, _) => Ok((plain.0.clone(), true)),
        (Look::Foreign, Look::Absent) => Ok((hashed.0.clone(), true)),
        (Look::Foreign, Look::Foreign) => Err(foreign(&hashed.0, observed)),
    }
}

/// A namespace goes in seconds, or something in it keeps it.
fn ending(namespace: &str, observed: &ObservedRequest) -> RequestPlan {
    if !observed.end_lasts {
        return RequestPlan::Wait;
    }
    RequestPlan::Blocked(format!(
        "Namespace {namespace} is terminating, and is created again once it is gone. Its conditions say what keeps it."
    ))
}

fn foreign(namespace: &str, observed: &ObservedRequest) -> RequestPlan {
    let request = QueueKey::of(&*observed.request);
    RequestPlan::Blocked(format!(
        "Namespace {namespace} exists and is not for this request, so it is not used. Delete it, or if it is meant, \
        annotate it with {ANNOTATION_API_SERVICE_NAMESPACE}={request}."
    ))
}

fn blocked(kind: &str, namespace: &str) -> RequestPlan {
    let name = rights::NAME;
    RequestPlan::Blocked(format!(
        "{kind} {name} in namespace {namespace} was not made by this provider, so the consumer's rights cannot be \
        given. Delete it."
    ))
}

/// The namespace to make for a request.
pub(super) fn namespace(name: &str, key: &QueueKey) -> Namespace {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some([(LABEL_CONTRACT.to_owned(), key.namespace.clone())].into()),
        annotations: Some([(ANNOTATION_API_SERVICE_NAMESPACE.to_owned(), key.to_string())].into()),
        ..ObjectMeta::default()
    };
    Namespace { metadata, ..Namespace::default() }
}

#[cfg(test)]
mod tests;
