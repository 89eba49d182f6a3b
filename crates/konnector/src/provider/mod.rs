//! The provider side as the konnector sees it: one session per referenced kubeconfig.

mod hub;
mod namespaces;
mod session;

pub(crate) use hub::SessionHub;
pub(crate) use namespaces::NamespaceAnswer;
pub(crate) use session::{Contact, Session};
