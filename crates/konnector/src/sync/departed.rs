//! The last objects that went. An origin takes its copy with it: a request whose answer was lost may be carried out
//! after its object has gone; the copy that it made is known by its place and by the uid it carries. And what went does
//! not come back, whatever a late answer says.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
};

use super::key::ObjectKey;

/// Limit on what is remembered. A lost answer is made good within seconds.
const MOST: usize = 4096;

/// A set that forgets the oldest.
#[derive(Clone, Debug)]
struct LatestSet<T> {
    order: VecDeque<T>,
    all: HashSet<T>,
}

impl<T> Default for LatestSet<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), all: HashSet::new() }
    }
}

impl<T: Clone + Eq + Hash> LatestSet<T> {
    fn insert(&mut self, item: T) {
        if !self.all.insert(item.clone()) {
            return;
        }
        self.order.push_back(item);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    fn remove(&mut self, item: &T) {
        if self.all.remove(item) {
            self.order.retain(|one| one != item);
        }
    }
}

/// Origins by place and uid: what somebody has made elsewhere with the same marks is none of ours. Copies by uid.
#[derive(Clone, Debug, Default)]
pub(super) struct DepartedObjects {
    origins: LatestSet<(ObjectKey, Box<str>)>,
    copies: LatestSet<Box<str>>,
    /// Copies that went before the watch began: one that is there again came with a backup.
    former: LatestSet<Box<str>>,
}

impl DepartedObjects {
    pub(super) fn remember(&mut self, place: &ObjectKey, uid: &str) {
        self.origins.insert((place.clone(), uid.into()));
    }

    /// Takes in that an origin is there: a backup has brought it back.
    pub(super) fn forget(&mut self, place: &ObjectKey, uid: &str) {
        if !self.origins.all.is_empty() {
            self.origins.remove(&(place.clone(), uid.into()));
        }
    }

    pub(super) fn contains(&self, place: &ObjectKey, uid: &str) -> bool {
        self.origins.all.contains(&(place.clone(), uid.into()))
    }

    pub(super) fn remember_copy(&mut self, uid: &str) {
        self.copies.insert(uid.into());
    }

    pub(super) fn contains_copy(&self, uid: &str) -> bool {
        self.copies.all.contains(uid)
    }

    /// Returns `true` if a copy went once, and is there again.
    pub(super) fn came_back(&self, uid: &str) -> bool {
        self.former.all.contains(uid)
    }

    /// A restored backup brings back what was deleted after it was made.
    pub(super) fn forget_copies(&mut self) {
        for uid in std::mem::take(&mut self.copies).order {
            self.former.insert(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut departed = DepartedObjects::default();
        let place = |name: &str| ObjectKey { namespace: "west".to_owned(), name: name.to_owned() };
        for number in 0..=MOST {
            departed.remember(&place("billy"), &number.to_string());
            departed.remember(&place("billy"), &number.to_string());
        }
        let knows = |name: &str, number: usize| departed.contains(&place(name), &number.to_string());
        assert!(!knows("billy", 0) && knows("billy", 1) && knows("billy", MOST));
        assert!(!knows("child", 1), "another object with the marks of the one that went");
        departed.forget(&place("billy"), "1");
        assert!(!departed.contains(&place("billy"), "1"), "it is there again");
    }

    #[test]
    fn a_copy_that_went_before_the_watch_began_may_come_back() {
        let mut departed = DepartedObjects::default();
        departed.remember_copy("copy");
        assert!(departed.contains_copy("copy") && !departed.came_back("copy"));
        departed.forget_copies();
        assert!(!departed.contains_copy("copy") && departed.came_back("copy"));
    }
}
