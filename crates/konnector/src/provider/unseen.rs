//! Watches on the contract namespace that fail. That on exports is not among them: it tells the contact.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::{contact::ProviderContact, reflecting::ProviderChange};

/// Number of failures in a row after which people hear of a watch: new rights take a moment.
const TOLERATED: u32 = 4;

/// Kinds whose watch may fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnseenKind {
    Namespaces,
    Schemas,
}

impl UnseenKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "APIServiceNamespaces",
            Self::Schemas => "BoundSchemas",
        }
    }
}

/// The watches that fail: how often in a row, and why.
#[derive(Default)]
pub struct FailingWatches(Mutex<BTreeMap<UnseenKind, (u32, String)>>);

impl FailingWatches {
    /// Takes in a change. Returns `true` if people have to hear of the watch now, or need not any more.
    pub(super) fn take_in(&self, kind: UnseenKind, change: &ProviderChange) -> bool {
        let mut all = self.0.lock();
        let ProviderChange::Failed(contact) = change else {
            return all.remove(&kind).is_some_and(|(in_a_row, _)| in_a_row >= TOLERATED);
        };
        let why = match contact {
            ProviderContact::Down { message } | ProviderContact::Refused { message } => message.clone(),
            ProviderContact::Pending | ProviderContact::Up | ProviderContact::Closed(_) => String::new(),
        };
        let (in_a_row, known) = all.entry(kind).or_default();
        *in_a_row = in_a_row.saturating_add(1);
        *known = why;
        *in_a_row == TOLERATED
    }

    /// The first kind that cannot be watched, and why.
    pub fn first(&self) -> Option<(UnseenKind, String)> {
        let all = self.0.lock();
        let lasting = all.iter().find(|(_, (in_a_row, _))| *in_a_row >= TOLERATED);
        lasting.map(|(kind, (_, why))| (*kind, why.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_fails_is_named_until_it_works_again() {
        let unseen = FailingWatches::default();
        let failed = || ProviderChange::Failed(ProviderContact::Refused { message: "no".to_owned() });
        for number in 1..=6 {
            assert_eq!(unseen.take_in(UnseenKind::Schemas, &failed()), number == TOLERATED, "{number}");
        }
        assert_eq!(unseen.first(), Some((UnseenKind::Schemas, "no".to_owned())));
        assert!(unseen.take_in(UnseenKind::Schemas, &ProviderChange::Relisted));
        assert_eq!(unseen.first(), None);
        assert!(!unseen.take_in(UnseenKind::Schemas, &ProviderChange::Applied), "no news");
    }
}
