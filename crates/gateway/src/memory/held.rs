//! The objects of one kind, in the order of the API server, and the version up to which they are known.
//!
//! They are kept in parts, which readers share. To count a reference to each object up and down again costs more than to
//! write its name, above all where several processors do so.

use std::sync::Arc;

use super::{
    object::KeptObject,
    owned::OwnedObjects,
    run::{ObjectPart, ObjectRun},
};

/// Objects of a part. A change copies the references of one part, if somebody reads it.
const PART: usize = 256;

/// The objects of a kind.
#[derive(Debug, Default)]
pub struct HeldObjects {
    /// None of them is empty.
    parts: Vec<ObjectPart>,
    owned: OwnedObjects,
    /// Everything up to this version is in it.
    pub version: u64,
    /// The version of the last change: from there on, all versions look alike.
    pub changed: u64,
    /// The memory that it takes.
    pub weight: u64,
}

impl HeldObjects {
    /// Adds an object of a list. They come in order, unless they change meanwhile.
    pub fn list(&mut self, object: KeptObject) {
        let last = self.parts.last().and_then(|part| part.last());
        if last.is_some_and(|last| last.key() >= object.key()) {
            return self.put(object);
        }
        self.count(&object);
        self.push(object);
    }

    /// The list is complete, and of this version.
    pub fn listed(&mut self, version: u64) {
        (self.version, self.changed) = (version, version);
    }

    /// Takes an object as it is now.
    pub fn put(&mut self, object: KeptObject) {
        self.count(&object);
        let (number, index) = self.place(object.key());
        let Some(part) = self.parts.get_mut(number) else { return self.push(object) };
        let part = Arc::make_mut(part);
        if part[index].key() == object.key() {
            let before = std::mem::replace(&mut part[index], object);
            return self.discount(&before);
        }
        part.insert(index, object);
        if part.len() > PART {
            let after = part.split_off(PART / 2);
            // What comes in order does not go into the first half any more.
            part.shrink_to_fit();
            self.parts.insert(number + 1, Arc::new(after));
        }
    }

    /// Forgets an object.
    pub fn remove(&mut self, key: &[u8]) {
        let (number, index) = self.place(key);
        let part = self.parts.get_mut(number).filter(|part| part[index].key() == key);
        let Some(part) = part.map(Arc::make_mut) else { return };
        let gone = part.remove(index);
        if part.is_empty() {
            self.parts.remove(number);
        } else if part.len() < part.capacity() / 4 {
            // What is left weighs less than the room that it had.
            part.shrink_to_fit();
        }
        self.discount(&gone);
    }

    /// A change of this version has been taken in.
    pub fn change(&mut self, version: u64) {
        (self.version, self.changed) = (version, version);
    }

    /// One object.
    pub fn get(&self, key: &[u8]) -> Option<&KeptObject> {
        let (number, index) = self.place(key);
        self.parts.get(number)?.get(index).filter(|object| object.key() == key)
    }

    /// The objects of a namespace or all of them, from a key on.
    pub fn within(&self, namespace: Option<&str>, from: &[u8]) -> ObjectRun {
        let (start, end) = match namespace {
            Some(namespace) => {
                // `0` is what follows `/`.
                let [first, behind] = ["/", "0"].map(|sign| [namespace, sign].concat().into_bytes());
                (self.place(from.max(first.as_slice())), self.place(&behind))
            }
            None => (self.place(from), (self.parts.len(), 0)),
        };
        let mut run = ObjectRun::default();
        for (number, part) in self.parts.iter().enumerate().take(end.0 + 1).skip(start.0) {
            let from = if number == start.0 { start.1 } else { 0 };
            let to = if number == end.0 { end.1 } else { part.len() };
            run.push(part, from..to);
        }
        run
    }

    /// Objects that some owners own, in one namespace or in all.
    pub fn owned_by(&self, owners: &[String], namespace: Option<&str>) -> ObjectRun {
        let is_there = |object: &&KeptObject| {
            namespace.is_none_or(|namespace| {
                let below = object.key().strip_prefix(namespace.as_bytes());
                below.is_some_and(|below| below.starts_with(b"/"))
            })
        };
        let mut found: Vec<_> = self.owned.by(owners).filter(is_there).cloned().collect();
        found.sort_by(|a, b| a.key().cmp(b.key()));
        found.dedup_by(|a, b| a.is(b));
        found.into()
    }

    fn count(&mut self, object: &KeptObject) {
        self.weight += object.weight();
        self.owned.add(object, &mut self.weight);
    }

    fn discount(&mut self, object: &KeptObject) {
        self.weight -= object.weight();
        self.owned.remove(object, &mut self.weight);
    }

    /// Adds an object behind all others.
    fn push(&mut self, object: KeptObject) {
        match self.parts.last_mut().filter(|part| part.len() < PART) {
            Some(part) => Arc::make_mut(part).push(object),
            None => self.parts.push(Arc::new(vec![object])),
        }
    }

    /// The first object that does not come before a key: its part, and its index there.
    fn place(&self, key: &[u8]) -> (usize, usize) {
        let is_before = |object: &KeptObject| object.key() < key;
        let number = self.parts.partition_point(|part| part.last().is_some_and(is_before));
        let index = self.parts.get(number).map_or(0, |part| part.partition_point(is_before));
        (number, index)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::object, *};

    fn keys(run: &ObjectRun) -> Vec<&str> {
        run.all().map(|object| std::str::from_utf8(object.key()).unwrap()).collect()
    }

    #[test]
    fn objects_are_in_the_order_of_the_api_server() {
        let mut held = HeldObjects::default();
        // `-` comes before `/`: a namespace is not sorted by its name alone.
        for key in ["a-b/x", "a/x", "a/z", "b/x"] {
            held.list(object(key, 1, ""));
        }
        held.listed(9);
        held.put(object("a/y", 10, ""));
        held.put(object("a/x", 11, ""));
        held.remove(b"b/x");
        held.remove(b"b/none");
        held.change(12);
        for (namespace, from, expected) in [
            (None, "", "a-b/x a/x a/y a/z"),
            (None, "a/y", "a/y a/z"),
            (None, "b", ""),
            (Some("a"), "", "a/x a/y a/z"),
            (Some("a"), "a/x\0", "a/y a/z"),
            (Some("a"), "b", ""),
            (Some("a-b"), "", "a-b/x"),
            (Some("c"), "", ""),
            (Some(""), "", ""),
        ] {
            let found = held.within(namespace, from.as_bytes());
            assert_eq!(keys(&found).join(" "), expected, "{namespace:?} from {from:?}");
        }
        assert_eq!(held.get(b"a/x").map(KeptObject::version), Some(11));
        assert_eq!((held.version, held.changed, held.get(b"b/x").is_none()), (12, 12, true));
        let weight: u64 = held.within(None, b"").all().map(KeptObject::weight).sum();
        assert_eq!(held.weight, weight);
    }

    #[test]
    fn what_somebody_owns_is_in_order() {
        let mut held = HeldObjects::default();
        let by = |key: &str, owner: &str| {
            let (namespace, name) = key.split_once('/').unwrap();
            let json = serde_json::json!({"metadata": {
                "namespace": namespace, "name": name, "resourceVersion": "1",
                "ownerReferences": [{"uid": owner}, {"uid": "all"}],
            }});
            KeptObject::of(json.to_string().as_bytes(), &mut Vec::new()).unwrap()
        };
        for (key, owner) in [("a-b/x", "x"), ("a/x", "x"), ("a/y", "y"), ("b/x", "x")] {
            held.list(by(key, owner));
        }
        held.put(by("a/z", "x"));
        held.put(by("b/x", "y"));
        held.put(object("c/x", 1, ""));
        for (owners, namespace, expected) in [
            ("x", None, "a-b/x a/x a/z"),
            ("x", Some("a"), "a/x a/z"),
            ("y all", Some("a"), "a/x a/y a/z"),
            ("none y", None, "a/y b/x"),
            ("x", Some("b"), ""),
        ] {
            let owners: Vec<_> = owners.split(' ').map(str::to_owned).collect();
            assert_eq!(keys(&held.owned_by(&owners, namespace)).join(" "), expected, "{owners:?}");
        }
        for key in ["a-b/x", "a/x", "a/y", "a/z", "b/x", "c/x"] {
            held.remove(key.as_bytes());
        }
        assert_eq!((held.weight, keys(&held.owned_by(&["all".to_owned()], None)).len()), (0, 0));
    }

    #[test]
    fn what_a_page_repeats_counts_once() {
        let mut held = HeldObjects::default();
        for (key, version) in [("a", 1), ("b", 1), ("a", 2)] {
            held.list(object(key, version, ""));
        }
        assert_eq!(keys(&held.within(None, b"")), ["a", "b"]);
        assert_eq!(held.get(b"a").map(KeptObject::version), Some(2));
    }

    #[test]
    fn parts_of_which_little_is_left_give_their_room_back() {
        let mut held = HeldObjects::default();
        let all: Vec<_> = (0..PART).map(|number| format!("n/{number:03}")).collect();
        for key in &all {
            held.list(object(key, 1, ""));
        }
        for key in &all[3..] {
            held.remove(key.as_bytes());
            let part = &held.parts[0];
            assert!(part.len() >= part.capacity() / 4, "{} of {}", part.len(), part.capacity());
        }
        assert_eq!(keys(&held.within(None, b"")), all[..3]);
    }

    #[test]
    fn a_reader_keeps_what_it_has_seen() {
        let mut held = HeldObjects::default();
        let all: Vec<_> = (0..1_000).map(|number| format!("n/{number:04}")).collect();
        // The second half goes between the others, so that parts are split.
        for key in all.iter().step_by(2).chain(all.iter().skip(1).step_by(2)) {
            held.put(object(key, 1, ""));
        }
        let sizes: Vec<_> = held.parts.iter().map(|part| part.len()).collect();
        assert!(sizes.len() > 3 && sizes.iter().all(|size| (1..=PART).contains(size)), "{sizes:?}");
        let seen = held.within(None, b"");
        assert_eq!(keys(&seen), all);
        assert_eq!(keys(&held.within(Some("n"), b"n/0400")), all[400..]);
        held.put(object("n/0500", 2, ""));
        assert_eq!(held.get(b"n/0500").map(KeptObject::version), Some(2));
        for key in &all {
            held.remove(key.as_bytes());
        }
        assert_eq!((held.parts.len(), held.weight), (0, 0));
        assert_eq!(keys(&seen), all);
        assert!(seen.all().all(|object| object.version() == 1));
    }
}
