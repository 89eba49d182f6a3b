//! One object that a claim concerns, as each side has it: whose it is, what we have done to it, what it says.

use kube::api::DynamicObject;
use portolan_core::digest::Digest;
use serde_json::Value;

use super::{
    fate::{NamedOriginal, OriginalFate, OriginalFates},
    side::ClaimSide,
};

/// An object on one side.
#[derive(Clone, Debug)]
pub struct SeenObject {
    pub uid: String,
    pub(super) version: u128,
    /// The number of the last list that had begun when this was seen.
    pub(super) since: u64,
    /// The side that its label says the original is on.
    pub owner: Option<ClaimSide>,
    pub touch: ObjectMarking,
    /// The binding that an [`ObjectMarking::OthersCopy`] names.
    pub(super) keeper: Option<Box<str>>,
    /// The uid of its original, where all marks of a copy are on it and somebody else has put them there: a backup
    /// that was restored.
    pub(super) restored_for: Option<Box<str>>,
    pub is_terminating: bool,
    pub(super) choice: SelectionBasis,
    /// The original that a copy names.
    pub(super) original: NamedOriginal,
    /// Digest of the desired copy on the other side.
    pub desired: Digest,
    /// Digest of the part that we own.
    pub owned: Digest,
    /// The digest that was desired when it became what it is, where the API server stores it differently.
    pub settled_for: Option<Digest>,
    pub form: ImmutableParts,
}

/// Our part in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectMarking {
    /// Nothing.
    None,
    /// The owner label is set for this binding, and it alone.
    Stamped,
    /// We have made it, as a copy.
    Copy,
    /// A copy for the same contract that names no binding. Who claims its original adopts it.
    UnnamedCopy,
    /// We have made it for another binding of the same contract, which looks after it as long as there is one.
    OthersCopy,
}

/// The answers to whether an object is chosen, as far as it tells itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SelectionBasis {
    /// Nothing can choose it.
    Never,
    /// Its name may.
    ByName,
    /// Its labels do.
    ByLabels,
}

impl SeenObject {
    /// Returns `true` if it is the copy of this original, restored from a backup.
    pub(super) fn is_restored_for(&self, original: &Self) -> bool {
        self.touch == ObjectMarking::None && self.restored_for.as_deref() == Some(&original.uid)
    }

    pub fn is_copy(&self) -> bool {
        self.touch == ObjectMarking::Copy
    }

    /// Returns `true` if it is marked as a copy whose original was lost in a restore.
    pub(super) fn has_lost_original(&self) -> bool {
        self.original == NamedOriginal::Lost
    }
}

/// The immutable parts of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImmutableParts {
    kind: Digest,
    content: Digest,
    immutable: bool,
}

impl ImmutableParts {
    pub(super) fn of(object: &DynamicObject) -> Self {
        let field = |name: &str| object.data.get(name);
        let content = Value::from(vec![field("data").cloned(), field("binaryData").cloned()]);
        Self {
            kind: Digest::of_option(field("type")),
            content: Digest::of(&content),
            immutable: field("immutable").is_some_and(|value| value == true),
        }
    }

    /// Returns `true` if a copy of this form cannot become like an original of that form.
    pub(super) fn is_fixed_against(&self, original: &Self) -> bool {
        let differs = self.content != original.content || !original.immutable;
        self.kind != original.kind || (self.immutable && differs)
    }
}

/// Both sides of one object.
#[derive(Clone, Copy, Debug)]
pub struct ClaimSides<'a> {
    pub consumer: Option<&'a SeenObject>,
    pub provider: Option<&'a SeenObject>,
    pub(super) place: NameRule,
    pub(super) fates: OriginalFates,
    /// The binding that the provider's copy names is gone.
    pub(super) is_orphaned: bool,
    pub on_consumer: ConsumerKnowledge,
    /// The provider's objects of the namespace have been listed.
    pub provider_known: bool,
}

/// The rules for an object because of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameRule {
    Plain,
    /// The claim names it, or a bound object does.
    Named,
    /// Nobody may claim it: it holds a kubeconfig of the konnector.
    Protected,
}

/// Knowledge about the consumer's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerKnowledge {
    /// Not everything has been listed.
    Partial,
    /// The object has to be read, on both sides.
    Unread,
    Full,
}

impl<'a> ClaimSides<'a> {
    pub(super) const fn on(&self, side: ClaimSide) -> Option<&'a SeenObject> {
        match side {
            ClaimSide::Consumer => self.consumer,
            ClaimSide::Provider => self.provider,
        }
    }

    /// Fate of the original on a side that does not have it.
    pub(super) const fn fate(&self, owner: ClaimSide) -> OriginalFate {
        match owner {
            ClaimSide::Consumer => self.fates.on_consumer,
            ClaimSide::Provider => self.fates.on_provider,
        }
    }

    /// With the knowledge of which bindings there are.
    pub(super) fn among(mut self, is_bound: impl Fn(&str) -> bool) -> Self {
        let keeper = self.provider.and_then(|seen| seen.keeper.as_deref());
        self.is_orphaned = keeper.is_some_and(|binding| !is_bound(binding));
        self
    }

    /// Returns `true` if an object is claimed.
    pub(super) fn claims(&self, seen: &SeenObject) -> bool {
        match (self.place, seen.choice) {
            (NameRule::Protected, _)
            | (_, SelectionBasis::Never)
            | (NameRule::Plain, SelectionBasis::ByName) => false,
            (NameRule::Named, SelectionBasis::ByName) | (_, SelectionBasis::ByLabels) => true,
        }
    }
}
