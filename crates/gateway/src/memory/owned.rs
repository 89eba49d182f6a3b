//! Objects by those whom they name as owners, so that what somebody owns is found without a look at all the others.

use std::collections::{HashMap, hash_map::Entry};

use serde::Deserialize;

use super::object::KeptObject;
use crate::scan::at;

/// Bytes of an owner beside its identity.
const OWNER: usize = size_of::<(Box<str>, Vec<KeptObject>)>();
/// Bytes of each object that it owns.
const OBJECT: u64 = size_of::<KeptObject>() as u64;

/// The objects of a kind that have owners, by identities of these, in the order of the API server.
#[derive(Debug, Default)]
pub struct OwnedObjects(HashMap<Box<str>, Vec<KeptObject>>);

#[derive(Deserialize)]
struct OwnerReference {
    #[serde(default)]
    uid: Box<str>,
}

impl OwnedObjects {
    /// Adds an object, in the place of the one before, and what that takes.
    pub fn add(&mut self, object: &KeptObject, weight: &mut u64) {
        for uid in owners(object) {
            let added = own(&uid);
            let all = self.0.entry(uid).or_insert_with(|| {
                *weight += added;
                // Most own one, and room for more is not counted.
                Vec::with_capacity(1)
            });
            match place(all, object) {
                Ok(index) => all[index] = object.clone(),
                Err(index) => {
                    all.insert(index, object.clone());
                    *weight += OBJECT;
                }
            }
        }
    }

    /// Forgets an object, but no later one of its name, and what it takes.
    pub fn remove(&mut self, object: &KeptObject, weight: &mut u64) {
        for uid in owners(object) {
            let removed = own(&uid);
            let Entry::Occupied(mut entry) = self.0.entry(uid) else { continue };
            let all = entry.get_mut();
            if let Some(index) = place(all, object).ok().filter(|index| all[*index].is(object)) {
                all.remove(index);
                *weight -= OBJECT;
            }
            if all.is_empty() {
                entry.remove();
                *weight -= removed;
            }
        }
    }

    /// Objects that some owners own, owner by owner.
    pub fn by(&self, owners: &[String]) -> impl Iterator<Item = &KeptObject> {
        owners.iter().filter_map(|uid| self.0.get(uid.as_str())).flatten()
    }
}

/// Bytes of an owner.
fn own(uid: &str) -> u64 {
    (OWNER + uid.len()) as u64
}

fn place(all: &[KeptObject], object: &KeptObject) -> Result<usize, usize> {
    all.binary_search_by(|known| known.key().cmp(object.key()))
}

/// The identities of the owners of an object. What is no list of references names nobody.
fn owners(object: &KeptObject) -> impl Iterator<Item = Box<str>> {
    let written = at(object.json(), &["metadata", "ownerReferences"]).ok().flatten().unwrap_or(b"null");
    let references: Option<Vec<OwnerReference>> = serde_json::from_slice(written).unwrap_or_default();
    references.into_iter().flatten().map(|reference| reference.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(owners: &str) -> Vec<String> {
        owners.split_whitespace().map(str::to_owned).collect()
    }

    /// An object that these own.
    fn owned(name: &str, owners: &str) -> KeptObject {
        let references = split(owners).into_iter().map(|uid| serde_json::json!({"uid": uid, "kind": "K"}));
        let references: Vec<_> = references.collect();
        let json = serde_json::json!({"metadata": {
            "name": name, "namespace": "n", "resourceVersion": "1", "ownerReferences": references,
        }});
        KeptObject::of(json.to_string().as_bytes(), &mut Vec::new()).unwrap()
    }

    fn names(all: &OwnedObjects, owners: &str) -> String {
        let owners = split(owners);
        let names = all.by(&owners).map(|object| std::str::from_utf8(object.name()).unwrap());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_somebody_owns_is_found_until_it_changes_or_goes() {
        let (mut all, mut weight) = (OwnedObjects::default(), 7);
        let objects = [("c", "x"), ("a", "x y"), ("b", "y y"), ("d", "")];
        let objects = objects.map(|(name, owners)| owned(name, owners));
        for object in &objects {
            all.add(object, &mut weight);
        }
        assert_eq!(weight, 7 + 2 * own("x") + 4 * OBJECT);
        assert_eq!([names(&all, "x"), names(&all, "z y x")], ["a c", "a b a c"]);
        // It is handed on to another owner. What it was before goes later.
        let changed = owned("a", "z y");
        all.add(&changed, &mut weight);
        all.remove(&objects[1], &mut weight);
        assert_eq!(["x", "y", "z"].map(|owner| names(&all, owner)), ["c", "a b", "a"]);
        for object in [&objects[0], &changed, &objects[2], &objects[3], &objects[2]] {
            all.remove(object, &mut weight);
        }
        assert_eq!((weight, all.0.len()), (7, 0));
    }

    #[test]
    fn there_is_no_room_for_more_than_one_until_it_comes() {
        let (mut all, mut weight) = (OwnedObjects::default(), 0);
        for (name, room) in [("a", 1..2), ("b", 2..5)] {
            all.add(&owned(name, "x"), &mut weight);
            assert!(room.contains(&all.0["x"].capacity()), "{name}");
        }
    }

    #[test]
    fn whoever_is_not_named_owns_nothing() {
        for references in ["null", "[]", "{}", "7", "[7]", r#"[{"uid":7}]"#] {
            let json = format!(
                r#"{{"metadata":{{"name":"a","resourceVersion":"1","ownerReferences":{references}}}}}"#
            );
            let object = KeptObject::of(json.as_bytes(), &mut Vec::new()).unwrap();
            assert_eq!(owners(&object).count(), 0, "{references}");
        }
    }
}
