//! The observed state of a key, and the plan for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use portolan_core::api::devportal::{APIKey, APIKeyStatus, APIProduct};
use serde_json::Value;

use crate::{context::SecretMeta, news::KeyFact};

/// Delay of the next look at what nobody watches, such as a foreign Secret that stands in the way.
pub(super) const RESYNC: Duration = Duration::from_secs(30);

/// A Secret of a certain name.
#[derive(Clone, Debug)]
pub enum SecretState {
    Absent,
    /// It belongs to this key.
    Ours(Arc<SecretMeta>),
    /// It belongs to a former key of this name, which is gone.
    Former(Arc<SecretMeta>),
    /// It is somebody else's.
    Foreign,
}

/// Everything that bears on a key.
#[derive(Clone, Debug)]
pub struct ObservedKey {
    pub key: Arc<APIKey>,
    pub product: Option<Arc<APIProduct>>,
    /// The product that it was granted for is provably gone.
    pub is_orphan: bool,
    pub secret: SecretState,
    pub previous: SecretState,
    /// Number of keys of the same user and product that come before this one.
    pub ahead: usize,
    pub max_keys: usize,
    pub overlap: Duration,
    pub now: Timestamp,
}

/// One of the two Secrets of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichSecret {
    Current,
    Previous,
}

/// Metadata of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretMarks {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// A step on a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretStep {
    /// Deletes the Secret with this UID, or where it is not known the one that turns out to be ours.
    Delete { which: WhichSecret, uid: Option<String> },
    /// Makes the Secret with a fresh key.
    Create(SecretMarks),
    /// Changes labels and annotations, of which `None` removes one, and the owners if there are others.
    Mark {
        which: WhichSecret,
        uid: String,
        labels: BTreeMap<String, Option<String>>,
        annotations: BTreeMap<String, Option<String>>,
        owners: Option<Value>,
    },
    /// Keeps a copy of the key under the other name.
    Keep(SecretMarks),
    /// Replaces the key by a fresh one.
    Renew { uid: String, request: String },
}

/// An Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedEvent {
    pub warns: bool,
    pub reason: &'static str,
    pub note: String,
}

/// The steps for a key, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyPlan {
    /// The product that is to own the key.
    pub adopt: Option<(String, String)>,
    pub steps: Vec<SecretStep>,
    pub status: APIKeyStatus,
    pub told: Vec<PlannedEvent>,
    pub facts: Vec<KeyFact>,
    /// Time until the next look if nothing changes before.
    pub again: Option<Duration>,
}
