//! Fate of originals that are absent: deleted by somebody, or lost when a cluster was restored from a backup. Pure.
//!
//! Claimed objects have no finalizer of ours, so a list without an original does not tell. A watch that shows its end
//! does. Where none has, versions tell: a cluster that has never been restored has a newer one than any of its
//! objects ever had.

use std::collections::HashSet;

use kube::{ResourceExt as _, api::DynamicObject};
use portolan_core::api::kubebind::{ANNOTATION_ORIGIN_VERSION, ORIGIN_LOST};

use super::side::ClaimSide;
use crate::sync::ObjectKey;

/// The fate of an original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginalFate {
    /// Nobody knows yet.
    Unknown,
    Deleted,
    /// Its cluster was restored from a backup that does not have it.
    Lost,
}

/// The fate of the original of one place, if it was on the one side or on the other.
#[derive(Clone, Copy, Debug)]
pub struct OriginalFates {
    pub(super) on_consumer: OriginalFate,
    pub(super) on_provider: OriginalFate,
}

/// The original as a copy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedOriginal {
    Unsaid,
    /// It had this version when the copy was written.
    Version(u128),
    Lost,
}

impl NamedOriginal {
    pub(super) fn of(copy: &DynamicObject) -> Self {
        match copy.annotations().get(ANNOTATION_ORIGIN_VERSION).map(String::as_str) {
            Some(ORIGIN_LOST) => Self::Lost,
            Some(version) => version.parse().map_or(Self::Unsaid, Self::Version),
            None => Self::Unsaid,
        }
    }

    pub(super) const fn version(self) -> Option<u128> {
        match self {
            Self::Version(version) => Some(version),
            Self::Unsaid | Self::Lost => None,
        }
    }
}

/// Facts about the originals that one side does not have.
#[derive(Debug, Default)]
pub(super) struct DepartedOriginals {
    deleted: HashSet<ObjectKey>,
    lost: HashSet<ObjectKey>,
    /// The newest version that this side is known to have had: a watch has shown it, or a copy on the other side
    /// tells.
    newest: Option<u128>,
}

impl DepartedOriginals {
    /// Notes that an object of this version exists.
    pub(super) fn is_there(&mut self, key: &ObjectKey, version: u128) {
        self.forget(key);
        // What is no number says nothing.
        self.had(Some(version).filter(|version| *version != u128::MAX));
    }

    /// Takes in that this side has had a version.
    pub(super) fn had(&mut self, version: Option<u128>) {
        self.newest = self.newest.max(version);
    }

    /// Takes in which version this side has now, where it does not have an original. One that is older than what it
    /// had before is that of a backup.
    pub(super) fn asked(&mut self, key: &ObjectKey, version: Option<u128>) {
        if version.zip(self.newest).is_some_and(|(now, newest)| now < newest) {
            self.lost.insert(key.clone());
        } else {
            self.was_deleted(key);
        }
    }

    pub(super) fn was_deleted(&mut self, key: &ObjectKey) {
        self.lost.remove(key);
        self.deleted.insert(key.clone());
    }

    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.deleted.remove(key);
        self.lost.remove(key);
    }

    /// The fate of the original of a copy that says this.
    pub(super) fn fate(&self, key: &ObjectKey, told: Option<NamedOriginal>) -> OriginalFate {
        if self.deleted.contains(key) {
            OriginalFate::Deleted
        } else if self.lost.contains(key) || told == Some(NamedOriginal::Lost) {
            OriginalFate::Lost
        } else {
            OriginalFate::Unknown
        }
    }
}

/// One of each for both sides.
#[derive(Debug, Default)]
pub(super) struct DepartedBySide {
    consumer: DepartedOriginals,
    provider: DepartedOriginals,
}

impl DepartedBySide {
    /// With the versions that the sides have had, as far as the engine before this one knew. `is_same_provider`: a
    /// version of another cluster says nothing.
    pub(super) fn inherit(&mut self, former: &Self, is_same_provider: bool) {
        self.consumer.had(former.consumer.newest);
        self.provider.had(former.provider.newest.filter(|_| is_same_provider));
    }

    pub(super) const fn on(&self, side: ClaimSide) -> &DepartedOriginals {
        match side {
            ClaimSide::Consumer => &self.consumer,
            ClaimSide::Provider => &self.provider,
        }
    }

    pub(super) const fn on_mut(&mut self, side: ClaimSide) -> &mut DepartedOriginals {
        match side {
            ClaimSide::Consumer => &mut self.consumer,
            ClaimSide::Provider => &mut self.provider,
        }
    }
}
