//! Ownership of an object on the provider. Pure.
//!
//! Controllers copy annotations to what they make, some with the managed fields, and people and backup tools take
//! either away. So annotations alone say nothing. What our field manager has set says something at the place that it
//! names, and a uid that one side has recorded of the other says whose it is without any of that.

use kube::{ResourceExt as _, api::DynamicObject};
use portolan_core::api::kubebind::{
    ANNOTATION_CLUSTER_NAMESPACE, ANNOTATION_CONSUMER_NAMESPACE, ANNOTATION_CONSUMER_UID,
    ANNOTATION_ORIGIN_NAME, ANNOTATION_PROVIDER_UID,
};
use serde_json::Value;

use super::{
    key::ObjectKey,
    known::OriginState,
    owned::{is_set_by_us, owned, we_write},
};

/// The verdict of the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MarksVerdict {
    /// Nothing.
    Silent,
    /// It is a copy of ours for this place.
    Fit,
    /// It is a copy for another contract or another place.
    Contradict,
}

/// Evidence for and against an object on the provider being our copy for one place.
#[derive(Clone, Debug)]
pub struct CopyEvidence {
    /// The marks that our field manager has set.
    by_us: MarksVerdict,
    /// The marks, whoever has set them.
    by_anybody: MarksVerdict,
    /// Our field manager has set the name of the origin, and it is that of this place.
    names_the_place: bool,
    /// Something of it was set by our field manager.
    is_written_by_us: bool,
    /// The uid of the origin that it was last written for, if our field manager has set that.
    written_for: Option<Box<str>>,
    /// The uid of the origin, whoever has set it.
    annotated_for: Option<Box<str>>,
}

impl CopyEvidence {
    /// `ours` is what our field manager owns of the object.
    pub fn of(object: &DynamicObject, ours: &Value, contract: &str, place: &ObjectKey) -> Self {
        let set = |key: &str| ours["metadata"]["annotations"][key].as_str();
        let annotated = |key: &str| object.annotations().get(key).map(String::as_str);
        Self {
            by_us: marks(set, contract, place),
            by_anybody: marks(annotated, contract, place),
            names_the_place: set(ANNOTATION_ORIGIN_NAME) == Some(&place.name),
            is_written_by_us: we_write(object),
            written_for: set(ANNOTATION_CONSUMER_UID).map(Into::into),
            annotated_for: annotated(ANNOTATION_CONSUMER_UID).map(Into::into),
        }
    }

    /// The uid of the origin that it was written for.
    pub(super) fn written_for(&self) -> Option<&str> {
        self.written_for.as_deref()
    }

    /// The uid that its annotations name, where they are those of a copy at this place, whoever has set them.
    pub(super) fn annotated_for(&self) -> Option<&str> {
        self.annotated_for.as_deref().filter(|_| self.by_anybody == MarksVerdict::Fit)
    }

    /// Returns `true` if the object, of this uid, is our copy for the place. `was_ours` where that was known of the
    /// same object before.
    pub(super) fn speaks_for(&self, uid: &str, origin: Option<&OriginState>, was_ours: bool) -> bool {
        if self.by_us == MarksVerdict::Contradict {
            return false;
        }
        let Some(origin) = origin else { return was_ours || self.by_us == MarksVerdict::Fit };
        was_ours || self.is_recorded(uid, origin) || self.is_marked_for(&origin.uid)
    }

    /// The origin has recorded the uid. People may copy that, too: where we have not set it ourselves, the
    /// object has to have marks. Where we have, it may have nothing of us any more: others have taken its marks off, and
    /// set each field that was ours.
    fn is_recorded(&self, uid: &str, origin: &OriginState) -> bool {
        let is_left_to_us = self.is_written_by_us || self.by_anybody == MarksVerdict::Silent;
        origin.provider_uid.as_deref() == Some(uid)
            && (self.by_anybody == MarksVerdict::Fit || (is_left_to_us && origin.records_by_us))
    }

    fn is_marked_for(&self, origin: &str) -> bool {
        match (self.by_us, self.by_anybody) {
            // Former releases do not name the place, and those of the Go konnector only the contract.
            (MarksVerdict::Fit, _) => {
                self.names_the_place || self.written_for.as_deref().is_none_or(|uid| uid == origin)
            }
            // Restored from a backup at its own place, for the very object that exists.
            (_, MarksVerdict::Fit) => self.annotated_for.as_deref() == Some(origin),
            _ => false,
        }
    }
}

fn marks<'a>(value: impl Fn(&str) -> Option<&'a str>, contract: &str, place: &ObjectKey) -> MarksVerdict {
    let said = [
        (ANNOTATION_CLUSTER_NAMESPACE, contract),
        (ANNOTATION_CONSUMER_NAMESPACE, &place.namespace),
        (ANNOTATION_ORIGIN_NAME, &place.name),
    ];
    let contradicts = said.iter().any(|(key, expected)| value(key).is_some_and(|value| value != *expected));
    match (contradicts, value(ANNOTATION_CLUSTER_NAMESPACE)) {
        (true, _) => MarksVerdict::Contradict,
        (false, Some(_)) => MarksVerdict::Fit,
        (false, None) => MarksVerdict::Silent,
    }
}

/// Returns `true` if an object on the provider is a copy of ours, as far as it tells that itself.
pub fn is_left_of_ours(object: &DynamicObject, contract: &str, place: &ObjectKey) -> bool {
    CopyEvidence::of(object, &owned(object), contract, place).speaks_for("", None, false)
}

/// Returns `true` if we have recorded the uid of the copy on a consumer object, and not somebody who has copied it.
pub(super) fn records_by_us(origin: &DynamicObject) -> bool {
    is_set_by_us(origin, ANNOTATION_PROVIDER_UID)
}

#[cfg(test)]
mod tests;
