//! The two clusters.

/// A cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimSide {
    Consumer,
    Provider,
}

impl ClaimSide {
    /// The value of the owner label for objects whose original is on this side.
    pub(super) const fn owner(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Provider => "provider",
        }
    }

    pub(super) fn of_owner(label: &str) -> Option<Self> {
        [Self::Consumer, Self::Provider].into_iter().find(|side| side.owner() == label)
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Consumer => Self::Provider,
            Self::Provider => Self::Consumer,
        }
    }
}
