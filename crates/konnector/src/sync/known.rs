//! Knowledge about one object and its copy.

use std::sync::Arc;

use portolan_core::digest::Digest;
use serde_json::Value;

use super::{
    generations::{GenerationRelation, StatusDigest},
    turned::OwnedWholes,
    whose::CopyEvidence,
};

/// An object on the consumer.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is read off the object by itself")]
pub struct OriginState {
    pub uid: String,
    pub(super) version: u128,
    /// The number of the last list that had begun when this was seen.
    pub(super) since: u64,
    pub generation: i64,
    pub desired: Digest,
    pub status: StatusDigest,
    /// The copy's status whose writing led to `status`, where the consumer stores it differently.
    pub settled_status: Option<Box<StatusDigest>>,
    pub has_finalizer: bool,
    /// The Go konnector has left entries in its managed fields.
    pub has_former: bool,
    pub provider_namespace: Option<String>,
    pub provider_uid: Option<String>,
    /// It was us who recorded `provider_uid`.
    pub(super) records_by_us: bool,
    pub is_terminating: bool,
    /// Its copy stays when it goes.
    pub orphans: bool,
    pub(super) body: Option<Arc<Value>>,
}

/// An object on the provider.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is found out by itself")]
pub struct CopyState {
    pub uid: String,
    pub(super) version: u128,
    /// The number of the last list that had begun when this was seen.
    pub(super) since: u64,
    pub owned: Digest,
    /// The digest that was desired when the copy became what it is; equal to `owned` unless the provider
    /// stores it differently from how we spelled it.
    pub settled_for: Option<Digest>,
    /// As `owned`, with every map empty of which we own no field: others may have filled those that the consumer
    /// has left empty. `None` where that is the same.
    pub hollow: Option<Digest>,
    /// As `owned`, without the defaults that we have not applied. `None` where that is the same.
    pub bare: Option<Digest>,
    /// The maps and lists that are ours as a whole.
    pub(super) wholes: OwnedWholes,
    /// `true` if our part matched the origin exactly at some time, maps and lists included.
    pub(super) is_exact: bool,
    pub generation: i64,
    /// The generation that our last change of its content led to.
    pub settled_generation: Option<i64>,
    pub status: StatusDigest,
    /// The Go konnector has left entries in its managed fields.
    pub has_former: bool,
    pub is_terminating: bool,
    pub(super) evidence: CopyEvidence,
    /// It was found to be ours before.
    pub(super) was_ours: bool,
    /// The uid of the origin that it was written for last, as far as that is known.
    pub(super) written_for: Option<Box<str>>,
    pub(super) status_body: Option<Arc<Value>>,
}

/// The status of a copy, as far as it was kept.
pub enum KeptStatus {
    Body(Arc<Value>),
    /// It says nothing.
    Empty,
    /// It has to be read.
    NotKept,
}

/// Both sides of one object.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is known by itself")]
pub struct SyncSides<'a> {
    pub origin: Option<&'a OriginState>,
    pub copy: Option<&'a CopyState>,
    /// The consumer object was there in this process's life and is gone: its copy goes too.
    pub vanished: bool,
    /// `true` if the provider's objects of the namespace have been listed.
    pub provider_listed: bool,
    /// `true` if the consumer's objects have been listed.
    pub origins_listed: bool,
    pub(super) has_status_subresource: bool,
    pub held: HeldWrites,
}

/// Writes that have to wait, because they have failed or are undone again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each write waits by itself")]
pub struct HeldWrites {
    pub update: bool,
    /// The last update of the copy has failed, whether it has to wait or not.
    pub update_fails: bool,
    pub annotation: bool,
    pub status: bool,
}

impl CopyState {
    /// Returns `true` if the copy is ours, and not somebody else's of the same name.
    pub fn is_ours(&self, origin: Option<&OriginState>) -> bool {
        self.evidence.speaks_for(&self.uid, origin, self.was_ours)
    }

    /// Returns `true` if the copy matches this origin, or an earlier state of it, and not an earlier one of the same
    /// name.
    pub fn is_for(&self, origin: &OriginState) -> bool {
        match self.written_for() {
            Some(uid) => uid == origin.uid,
            None => origin.provider_uid.as_ref() == Some(&self.uid),
        }
    }

    /// The uid of the origin that it was written for.
    pub fn written_for(&self) -> Option<&str> {
        self.written_for.as_deref()
    }

    /// Returns `true` if the copy belongs to this origin: it was written for it, or the origin has recorded it.
    pub(super) fn belongs_to(&self, origin: &OriginState) -> bool {
        self.written_for.as_deref() == Some(&origin.uid) || origin.provider_uid.as_ref() == Some(&self.uid)
    }

    /// Returns `true` if the copy has the desired content.
    pub fn says(&self, desired: Digest) -> bool {
        self.owned == desired || [self.settled_for, self.hollow, self.bare].contains(&Some(desired))
    }
}

impl SyncSides<'_> {
    /// The copy, if it is ours.
    pub fn ours(&self) -> Option<&CopyState> {
        self.copy.filter(|copy| copy.is_ours(self.origin))
    }

    /// The relation between the generations of both sides.
    pub fn generations(&self) -> GenerationRelation {
        match (self.origin, self.copy) {
            (Some(origin), Some(copy)) => GenerationRelation::Translated {
                // The copy speaks of a former generation as long as it does not say what the origin says.
                origin: (origin.generation - i64::from(!copy.says(origin.desired))).max(0),
                copy: copy.generation,
                since: copy.settled_generation,
                per_status: i64::from(!self.has_status_subresource),
            },
            _ => GenerationRelation::Plain,
        }
    }
}
