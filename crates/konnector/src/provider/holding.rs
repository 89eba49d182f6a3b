//! Whose the contract is, and who has agreed to it.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::claim::HolderKnowledge;

#[derive(Default)]
pub(super) struct ContractHolding {
    pub(super) claimed: Mutex<HolderKnowledge>,
    /// It may have changed.
    pub(super) due: Notify,
}
