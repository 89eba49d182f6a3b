//! The provider side as the konnector sees it: one session per referenced kubeconfig.

mod absence;
mod claim;
mod consumer;
mod contact;
mod contents;
mod contract;
mod doubt;
mod events;
mod gate;
mod heartbeat;
mod holding;
mod identity;
mod leftover;
mod namespaces;
mod offered;
mod pages;
mod poll;
mod pulse;
mod reading;
mod reflecting;
mod reports;
mod rotation;
mod seeded;
mod session;
mod sessions;
mod standing;
mod unseen;

pub use absence::ExportAbsence;
pub use claim::{Holder, give_back};
pub use contact::{HeartbeatOutcome, ProviderContact, in_time};
pub use contract::ContractDoubt;
#[cfg(test)]
pub use contract::DoubtReason;
pub use identity::{ANOTHER_CONTRACT, PROVIDER_SUSPECT};
pub use namespaces::NamespaceAnswer;
pub use rotation::RotationContext;
pub use session::Session;
pub use sessions::{ProviderIntervals, Sessions};
pub use standing::{CONTRACT_IN_USE, ContractStanding};
pub use unseen::UnseenKind;
