//! One object that a claim concerns, as each side has it: whose it is, what we have done to it, what it says.

use kube::api::DynamicObject;
use portolan_core::digest::Digest;
use serde_json::Value;

use super::{
    fate::{Fate, Fates, Original},
    side::Side,
};

/// An object on one side.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) uid: String,
    pub(super) version: u128,
    /// The number of the last list that had begun when this was seen.
    pub(super) since: u64,
    /// The side that its label says the original is on.
    pub(crate) owner: Option<Side>,
    pub(crate) touch: Touch,
    /// The binding that an [`Touch::OthersCopy`] names.
    pub(super) keeper: Option<Box<str>>,
    /// The uid of its original, where all marks of a copy are on it and somebody else has put them there: a backup
    /// that was restored.
    pub(super) restored_for: Option<Box<str>>,
    pub(crate) deleting: bool,
    pub(super) choice: Choice,
    /// What a copy says of its original.
    pub(super) original: Original,
    /// What its copy on the other side has to say.
    pub(crate) desired: Digest,
    /// What is ours of it.
    pub(crate) owned: Digest,
    /// The digest that was desired when it became what it is, where the API server stores it differently.
    pub(crate) settled_for: Option<Digest>,
    pub(crate) form: Form,
}

/// What we have done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Nothing.
    None,
    /// The owner label is there for this binding, and it alone.
    Stamped,
    /// We have made it, as a copy.
    Copy,
    /// A copy for the same contract that names no binding. Who claims its original adopts it.
    UnnamedCopy,
    /// We have made it for another binding of the same contract, which looks after it as long as there is one.
    OthersCopy,
}

/// Whether an object is chosen, as far as it says so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing can choose it.
    Never,
    /// Its name may.
    ByName,
    /// Its labels do.
    ByLabels,
}

impl Seen {
    /// Whether it is the copy of this original, restored from a backup.
    pub(super) fn is_restored_for(&self, original: &Self) -> bool {
        self.touch == Touch::None && self.restored_for.as_deref() == Some(&original.uid)
    }

    pub(crate) fn is_copy(&self) -> bool {
        self.touch == Touch::Copy
    }

    /// Whether it is marked as a copy whose original went with a backup.
    pub(super) fn has_lost_original(&self) -> bool {
        self.original == Original::Lost
    }
}

/// What cannot be changed in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    kind: Digest,
    content: Digest,
    immutable: bool,
}

impl Form {
    pub(super) fn of(object: &DynamicObject) -> Self {
        let field = |name: &str| object.data.get(name);
        let content = Value::from(vec![field("data").cloned(), field("binaryData").cloned()]);
        Self {
            kind: Digest::of_option(field("type")),
            content: Digest::of(&content),
            immutable: field("immutable").is_some_and(|value| value == true),
        }
    }

    /// Whether a copy of this form cannot become like an original of that form.
    pub(super) fn is_fixed_against(&self, original: &Self) -> bool {
        let differs = self.content != original.content || !original.immutable;
        self.kind != original.kind || (self.immutable && differs)
    }
}

/// Both sides of one object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides<'a> {
    pub(crate) consumer: Option<&'a Seen>,
    pub(crate) provider: Option<&'a Seen>,
    pub(super) place: Place,
    pub(super) fates: Fates,
    /// The binding that the provider's copy names is no more.
    pub(super) is_forsaken: bool,
    pub(crate) on_consumer: Knowledge,
    /// The provider's objects of the namespace have been listed.
    pub(crate) provider_known: bool,
}

/// What is to be said of an object because of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Plain,
    /// The claim names it, or a bound object does.
    Named,
    /// Nobody may claim it: it holds a kubeconfig of the konnector.
    Protected,
}

/// What is known of the consumer's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knowledge {
    /// Not everything has been listed.
    Partial,
    /// The object has to be read, on both sides.
    Unread,
    Full,
}

impl<'a> Sides<'a> {
    pub(super) const fn on(&self, side: Side) -> Option<&'a Seen> {
        match side {
            Side::Consumer => self.consumer,
            Side::Provider => self.provider,
        }
    }

    /// What has become of the original on a side that does not have it.
    pub(super) const fn fate(&self, owner: Side) -> Fate {
        match owner {
            Side::Consumer => self.fates.on_consumer,
            Side::Provider => self.fates.on_provider,
        }
    }

    /// With the knowledge of which bindings there are.
    pub(super) fn among(mut self, is_bound: impl Fn(&str) -> bool) -> Self {
        let keeper = self.provider.and_then(|seen| seen.keeper.as_deref());
        self.is_forsaken = keeper.is_some_and(|binding| !is_bound(binding));
        self
    }

    /// Whether an object is claimed.
    pub(super) fn claims(&self, seen: &Seen) -> bool {
        match (self.place, seen.choice) {
            (Place::Protected, _) | (_, Choice::Never) | (Place::Plain, Choice::ByName) => false,
            (Place::Named, Choice::ByName) | (_, Choice::ByLabels) => true,
        }
    }
}
