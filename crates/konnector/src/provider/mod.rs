//! The provider side as the konnector sees it: one session per referenced kubeconfig.

mod absence;
mod claim;
mod consumer;
mod contact;
mod contract;
mod doubt;
mod events;
mod gate;
mod heartbeat;
mod identity;
mod leftover;
mod namespaces;
mod offered;
mod pages;
mod poll;
mod reflecting;
mod rotation;
mod seeded;
mod session;
mod sessions;
mod standing;
mod view;

pub(crate) use absence::ExportAbsence;
pub(crate) use claim::{Holder, give_back};
pub(crate) use contact::{Contact, Heartbeat};
pub(crate) use contract::ContractDoubt;
#[cfg(test)]
pub(crate) use contract::Why;
pub(crate) use identity::{ANOTHER_CONTRACT, PROVIDER_SUSPECT};
pub(crate) use namespaces::NamespaceAnswer;
pub(crate) use rotation::Rotation;
pub(crate) use session::Session;
pub(crate) use sessions::{Intervals, Sessions};
pub(crate) use standing::{CONTRACT_IN_USE, ContractStanding};
