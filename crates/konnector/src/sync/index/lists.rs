//! What lists say, and when they are newer than what is known.

use kube::api::DynamicObject;
use portolan_runtime::latest::version;

use super::Index;
use crate::sync::known::{Copy, Lists, ObjectKey, Origin};

impl Index {
    /// Takes in that a list begins.
    pub(crate) fn begins_list(&mut self) -> Lists {
        self.lists = self.lists.next();
        self.lists
    }

    /// Takes in a consumer object of a list. What was known when the list began is older than it, whatever the
    /// versions say: they run backwards where a backup was restored.
    pub(crate) fn listed_origin(&mut self, began: Lists, key: &ObjectKey, object: &DynamicObject) {
        let is_outdated = |known: &Origin| known.learnt < began && known.version > version(&object.metadata);
        if self.origins.get(key).is_some_and(is_outdated) {
            self.drop_bodies(key);
            self.origins.remove(key);
        }
        self.saw_origin(key, object);
    }

    /// Takes in a provider object of a list, in the same way.
    pub(crate) fn listed_copy(&mut self, began: Lists, key: &ObjectKey, object: &DynamicObject) {
        let is_outdated = |known: &Copy| known.learnt < began && known.version > version(&object.metadata);
        if self.copies.get(key).is_some_and(is_outdated) {
            self.drop_status_body(key);
            self.copies.remove(key);
        }
        self.saw_copy(key, object);
    }

    /// Forgets that a namespace was listed. False where anything is known of an object in it.
    pub(crate) fn forget(&mut self, namespace: &str) -> bool {
        let is_empty = self.keys_in(namespace).is_empty();
        if is_empty {
            self.listed_namespaces.remove(namespace);
        }
        is_empty
    }
}
