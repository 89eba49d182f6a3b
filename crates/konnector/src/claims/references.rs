//! References from bound objects to claimed ones. Pure: it holds names, never objects.

use std::collections::{BTreeSet, HashMap, HashSet};

use kube::{ResourceExt as _, api::DynamicObject};
use portolan_core::claims::ClaimReference;
use serde_json::json;

use crate::sync::ObjectKey;

/// A referring object: the number of the watch that shows it, and its place.
type Referrer = (usize, ObjectKey);

/// Names in referring objects, each with the number of references.
#[derive(Debug, Default)]
pub(super) struct ReferencedNames {
    named_by: HashMap<Referrer, BTreeSet<ObjectKey>>,
    counts: HashMap<ObjectKey, usize>,
}

impl ReferencedNames {
    pub(super) fn contains(&self, key: &ObjectKey) -> bool {
        self.counts.contains_key(key)
    }

    /// Takes in what an object names. Gives what was not named before, and what is not named any more.
    pub(super) fn set(&mut self, referrer: Referrer, names: &BTreeSet<ObjectKey>) -> ChangedReferences {
        let mut changed = ChangedReferences::default();
        let before = if names.is_empty() {
            self.named_by.remove(&referrer)
        } else {
            self.named_by.insert(referrer, names.clone())
        };
        let before = before.unwrap_or_default();
        for key in names.difference(&before) {
            let count = self.counts.entry(key.clone()).or_default();
            *count += 1;
            if *count == 1 {
                changed.added.push(key.clone());
            }
        }
        for key in before.difference(names) {
            let count = self.counts.entry(key.clone()).or_default();
            *count -= 1;
            if *count == 0 {
                self.counts.remove(key);
                changed.removed.push(key.clone());
            }
        }
        changed
    }

    /// The objects of a watch that a fresh list does not hold.
    pub(super) fn missing(&self, watch: usize, listed: &HashSet<ObjectKey>) -> Vec<ObjectKey> {
        let of_watch = self.named_by.keys().filter(|(number, key)| *number == watch && !listed.contains(key));
        of_watch.map(|(_, key)| key.clone()).collect()
    }
}

/// Names that a change of a referring object has added and removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ChangedReferences {
    pub(super) added: Vec<ObjectKey>,
    pub(super) removed: Vec<ObjectKey>,
}

/// The objects that a bound object names. One that is terminating counts until it is gone: what it needs may
/// be needed for its end.
pub(super) fn named(reference: &ClaimReference, object: &DynamicObject) -> BTreeSet<ObjectKey> {
    let mut whole = object.data.clone();
    // Paths may lead into the metadata as well.
    if let Some(fields) = whole.as_object_mut() {
        fields.insert("metadata".to_owned(), json!(object.metadata));
    }
    let own = object.namespace();
    let names = reference.name.texts(&whole);
    let namespaces = reference.namespace.as_ref().map(|path| path.texts(&whole)).unwrap_or_default();
    let namespace_of = |place: usize| match namespaces.as_slice() {
        [one] => *one,
        many => many.get(place).copied().flatten(),
    };
    let keys = names.iter().enumerate().filter_map(|(place, name)| {
        let namespace = namespace_of(place).or(own.as_deref())?.to_owned();
        Some(ObjectKey { namespace, name: (*name)?.to_owned() })
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use portolan_core::claims::FieldPath;
    use serde_json::Value;

    use super::*;

    fn key(namespace: &str, name: &str) -> ObjectKey {
        ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn names(name: &str, namespace: Option<&str>, spec: &Value, own: Option<&str>) -> Vec<ObjectKey> {
        let reference = ClaimReference {
            group: String::new(),
            resource: String::new(),
            version: None,
            name: FieldPath::parse(name).unwrap(),
            namespace: namespace.map(|path| FieldPath::parse(path).unwrap()),
        };
        let object = json!({"metadata": {"name": "billy", "namespace": own}, "spec": spec});
        named(&reference, &serde_json::from_value(object).unwrap()).into_iter().collect()
    }

    #[test]
    fn names_stand_in_their_own_namespace_or_in_that_of_the_object() {
        let spec = json!({"one": {"name": "a", "namespace": "n"},
            "refs": [{"name": "b"}, {"name": "c", "namespace": "n"}, {"namespace": "n"}, {"name": ""}]});
        let own = Some("west");
        assert_eq!(names("spec.one.name", None, &spec, own), [key("west", "a")]);
        assert_eq!(names("spec.one.name", Some("spec.one.namespace"), &spec, own), [key("n", "a")]);
        let many = names("spec.refs.#.name", Some("spec.refs.#.namespace"), &spec, own);
        assert_eq!(many, [key("n", "c"), key("west", "b")]);
        assert_eq!(names("metadata.name", None, &spec, own), [key("west", "billy")]);
        assert_eq!(names("spec.refs.#.name", None, &spec, None), []);
    }

    #[test]
    fn a_name_counts_until_the_last_referrer_is_gone() {
        let mut references = ReferencedNames::default();
        let set = |keys: &[&ObjectKey]| keys.iter().map(|key| (*key).clone()).collect::<BTreeSet<_>>();
        let (a, b) = (key("n", "a"), key("n", "b"));
        let (first, second) = ((0, key("n", "x")), (1, key("n", "x")));
        assert_eq!(references.set(first.clone(), &set(&[&a, &b])).added.len(), 2);
        assert_eq!(references.set(second.clone(), &set(&[&a])), ChangedReferences::default());
        assert_eq!(references.set(first.clone(), &set(&[&b])), ChangedReferences::default());
        assert_eq!(references.set(second, &BTreeSet::new()).removed, std::slice::from_ref(&a));
        assert!(references.contains(&b) && !references.contains(&a));
        assert_eq!(references.missing(0, &HashSet::new()), [key("n", "x")]);
        assert_eq!(references.missing(0, &[first.1].into()), []);
    }
}
