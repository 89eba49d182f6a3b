//! The objects of one kind, in the order of the API server, and the version up to which they are known.

use super::object::Object;

/// The objects of a kind.
#[derive(Debug, Default)]
pub struct Held {
    objects: Vec<Object>,
    /// Everything up to this version is in it.
    pub version: u64,
    /// The version of the last change: from there on, all versions look alike.
    pub changed: u64,
    /// The memory that it takes.
    pub weight: u64,
}

impl Held {
    /// Adds an object of a list. They come in order, unless they change meanwhile.
    pub fn list(&mut self, object: Object) {
        match self.objects.last() {
            Some(last) if last.key() >= object.key() => self.put(object),
            _ => {
                self.weight += object.weight();
                self.objects.push(object);
            }
        }
    }

    /// The list is complete, and of this version.
    pub fn listed(&mut self, version: u64) {
        self.objects.shrink_to_fit();
        (self.version, self.changed) = (version, version);
    }

    /// Takes an object as it is now.
    pub fn put(&mut self, object: Object) {
        self.weight += object.weight();
        match self.find(object.key()) {
            Ok(index) => {
                let before = std::mem::replace(&mut self.objects[index], object);
                self.weight -= before.weight();
            }
            Err(index) => self.objects.insert(index, object),
        }
    }

    /// Forgets an object.
    pub fn remove(&mut self, key: &[u8]) {
        if let Ok(index) = self.find(key) {
            self.weight -= self.objects.remove(index).weight();
        }
    }

    /// A change of this version has been taken in.
    pub fn change(&mut self, version: u64) {
        (self.version, self.changed) = (version, version);
    }

    /// One object.
    pub fn get(&self, key: &[u8]) -> Option<&Object> {
        self.find(key).ok().map(|index| &self.objects[index])
    }

    /// The objects of a namespace, or all of them.
    pub fn within(&self, namespace: Option<&str>) -> &[Object] {
        let Some(namespace) = namespace else { return &self.objects };
        let start = [namespace, "/"].concat().into_bytes();
        let from = self.objects.partition_point(|object| object.key() < &start[..]);
        let count = self.objects[from..].partition_point(|object| object.key().starts_with(&start));
        &self.objects[from..from + count]
    }

    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.objects.binary_search_by(|object| object.key().cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::object, *};

    fn keys(objects: &[Object]) -> Vec<&str> {
        objects.iter().map(|object| std::str::from_utf8(object.key()).unwrap()).collect()
    }

    #[test]
    fn objects_are_in_the_order_of_the_api_server() {
        let mut held = Held::default();
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
        assert_eq!(keys(held.within(None)), ["a-b/x", "a/x", "a/y", "a/z"]);
        assert_eq!(keys(held.within(Some("a"))), ["a/x", "a/y", "a/z"]);
        assert_eq!(keys(held.within(Some("a-b"))), ["a-b/x"]);
        assert!(held.within(Some("c")).is_empty() && held.within(Some("")).is_empty());
        assert_eq!(held.get(b"a/x").map(Object::version), Some(11));
        assert_eq!((held.version, held.changed, held.get(b"b/x").is_none()), (12, 12, true));
        let weight: u64 = held.within(None).iter().map(Object::weight).sum();
        assert_eq!(held.weight, weight);
    }

    #[test]
    fn what_a_page_repeats_counts_once() {
        let mut held = Held::default();
        for (key, version) in [("a", 1), ("b", 1), ("a", 2)] {
            held.list(object(key, version, ""));
        }
        assert_eq!(keys(held.within(None)), ["a", "b"]);
        assert_eq!(held.get(b"a").map(Object::version), Some(2));
    }
}
