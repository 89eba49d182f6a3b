//! The provider side as the konnector sees it: one session per referenced kubeconfig.

mod absence;
mod contact;
mod contract;
mod heartbeat;
mod hub;
mod namespaces;
mod poll;
mod reflecting;
mod rotation;
mod session;
mod view;

pub(crate) use absence::Absence;
pub(crate) use contact::Contact;
pub(crate) use contract::{Doubt, Why};
pub(crate) use heartbeat::Heartbeat;
pub(crate) use hub::{Intervals, SessionHub};
pub(crate) use namespaces::NamespaceAnswer;
pub(crate) use rotation::Rotation;
pub(crate) use session::Session;
