//! What is known of one object and of its copy.

use std::sync::Arc;

use portolan_core::digest::Digest;
use serde_json::Value;

use super::generations::{Generations, StatusDigest};

/// The place of an object on the consumer. The namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A time that is counted in lists that have begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lists(u64);

impl Lists {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// An object on the consumer.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is read off the object by itself")]
pub(crate) struct Origin {
    pub(crate) uid: String,
    pub(super) version: u128,
    /// When this version was learnt.
    pub(super) learnt: Lists,
    pub(crate) generation: i64,
    pub(crate) desired: Digest,
    pub(crate) status: StatusDigest,
    /// The copy's status whose writing led to `status`, where the consumer stores it differently.
    pub(crate) settled_status: Option<Box<StatusDigest>>,
    pub(crate) has_finalizer: bool,
    /// The Go konnector has left entries in its managed fields.
    pub(crate) has_former: bool,
    pub(crate) provider_namespace: Option<String>,
    pub(crate) provider_uid: Option<String>,
    pub(crate) deleting: bool,
    /// Its copy stays when it goes.
    pub(crate) orphans: bool,
    pub(super) body: Option<Arc<Value>>,
}

/// An object on the provider.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) uid: String,
    pub(super) version: u128,
    /// When this version was learnt.
    pub(super) learnt: Lists,
    pub(crate) owned: Digest,
    /// The digest that was desired when the copy became what it is; equal to `owned` unless the provider
    /// stores it differently from how we spelled it.
    pub(crate) settled_for: Option<Digest>,
    /// As `owned`, with every map empty of which we own no field: others may have filled those that the consumer
    /// has left empty. `None` where that is the same.
    pub(crate) hollow: Option<Digest>,
    /// As `owned`, without the defaults that we have not applied. `None` where that is the same.
    pub(crate) bare: Option<Digest>,
    /// The digest that the provider did not take when it was applied last.
    pub(crate) refused: Option<Digest>,
    pub(crate) generation: i64,
    /// The generation that our last change of its content led to.
    pub(crate) settled_generation: Option<i64>,
    pub(crate) status: StatusDigest,
    /// The Go konnector has left entries in its managed fields.
    pub(crate) has_former: bool,
    pub(crate) deleting: bool,
    pub(crate) mark: Mark,
    pub(super) status_body: Option<Arc<Value>>,
}

/// Whose object on the provider it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The copy of a consumer object of ours.
    Ours,
    /// Somebody else's.
    Foreign,
}

/// The status of a copy, as far as it was kept.
pub(crate) enum KeptStatus {
    Body(Arc<Value>),
    /// It says nothing.
    Empty,
    /// It has to be read.
    NotKept,
}

/// Both sides of one object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides<'a> {
    pub(crate) origin: Option<&'a Origin>,
    pub(crate) copy: Option<&'a Copy>,
    /// The consumer object was there in this process's life and is gone: its copy goes too.
    pub(crate) vanished: bool,
    /// Whether the provider's objects of the namespace have been listed.
    pub(crate) provider_listed: bool,
    pub(super) has_status_subresource: bool,
}

impl Copy {
    /// Whether it says what is desired.
    pub(crate) fn says(&self, desired: Digest) -> bool {
        self.owned == desired || [self.settled_for, self.hollow, self.bare].contains(&Some(desired))
    }
}

impl Sides<'_> {
    /// How the generations of both sides are related.
    pub(crate) fn generations(&self) -> Generations {
        match (self.origin, self.copy) {
            (Some(origin), Some(copy)) => Generations::Translated {
                // The copy speaks of a former generation as long as it does not say what the origin says.
                origin: (origin.generation - i64::from(!copy.says(origin.desired))).max(0),
                copy: copy.generation,
                since: copy.settled_generation,
                per_status: i64::from(!self.has_status_subresource),
            },
            _ => Generations::Plain,
        }
    }
}
