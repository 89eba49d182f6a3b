//! Signs of life of a provider, and what its lists say of its watches.

use std::collections::BTreeSet;

use parking_lot::RwLock;
use portolan_runtime::{clock, metrics::Gauge};

use super::contact::ProviderContact;

pub(super) struct ProviderPulse {
    /// When it last answered, as a metric.
    last_contact: Gauge,
    seen: RwLock<PulseState>,
}

#[derive(Default)]
struct PulseState {
    contact: ProviderContact,
    /// The last poll had no answer at all.
    silent: bool,
    /// Uids of exports that the last poll and the watch disagree on.
    missed: BTreeSet<String>,
    /// The version of the newest list that a poll has brought.
    newest_list: Option<u128>,
}

impl ProviderPulse {
    pub(super) fn new(last_contact: Gauge) -> Self {
        Self { last_contact, seen: RwLock::default() }
    }

    pub(super) fn contact(&self) -> ProviderContact {
        self.seen.read().contact.clone()
    }

    pub(super) fn set(&self, contact: ProviderContact) {
        self.seen.write().contact = contact;
    }

    /// Notes that the provider has answered.
    pub(super) fn answered(&self) {
        self.last_contact.set(clock::now().as_second());
    }

    /// Takes in whether a poll had no answer. Returns `true` if the one before had none.
    pub(super) fn was_silent(&self, silent: bool) -> bool {
        std::mem::replace(&mut self.seen.write().silent, silent)
    }

    /// Returns `true` if a list is older than one before it, or than what a watch has shown before it was asked for.
    pub(super) fn runs_backwards(&self, version: Option<&String>, shown: Option<u128>) -> bool {
        let Some(version) = number(version) else { return false };
        let before = self.seen.write().newest_list.replace(version);
        before.max(shown).is_some_and(|known| version < known)
    }

    /// Takes in what a poll and the watch disagree on. Returns `true` if the poll before has missed some of it, too.
    pub(super) fn missed_again(&self, missed: BTreeSet<String>) -> bool {
        let mut seen = self.seen.write();
        let again = missed.intersection(&seen.missed).next().is_some();
        seen.missed = missed;
        again
    }
}

/// A version as a number, where it is one.
pub(super) fn number(version: Option<&String>) -> Option<u128> {
    version.and_then(|version| version.parse().ok())
}
