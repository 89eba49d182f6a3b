//! News about a key, for those who are notified.

use jiff::Timestamp;

/// A kind of fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    Requested,
    Approved,
    Rejected,
    Expiring,
    Expired,
    Rotated,
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFact {
    pub kind: FactKind,
    pub at: Timestamp,
    /// The reason given with a decision.
    pub reason: Option<String>,
    /// The end of the key, if it has one.
    pub until: Option<Timestamp>,
}
