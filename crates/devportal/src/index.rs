//! Groups of objects that a change concerns together, so that a change costs what it concerns and not a look at all.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use parking_lot::Mutex;

/// Members by group, and groups by member.
#[derive(Debug)]
pub struct GroupIndex<G, M>(Mutex<IndexMaps<G, M>>);

#[derive(Debug)]
struct IndexMaps<G, M> {
    members: HashMap<G, BTreeSet<M>>,
    groups: HashMap<M, Vec<G>>,
}

impl<G, M> Default for GroupIndex<G, M> {
    fn default() -> Self {
        Self(Mutex::new(IndexMaps { members: HashMap::new(), groups: HashMap::new() }))
    }
}

impl<G: Clone + Eq + Hash, M: Clone + Eq + Hash + Ord> GroupIndex<G, M> {
    /// Puts a member into these groups and no others, and returns those that it has left or joined.
    pub fn set(&self, member: &M, groups: Vec<G>) -> Vec<G> {
        let mut inner = self.0.lock();
        let before = if groups.is_empty() {
            inner.groups.remove(member).unwrap_or_default()
        } else {
            inner.groups.insert(member.clone(), groups.clone()).unwrap_or_default()
        };
        let mut changed = Vec::new();
        for left in before.iter().filter(|group| !groups.contains(group)) {
            if let Some(members) = inner.members.get_mut(left) {
                members.remove(member);
                if members.is_empty() {
                    inner.members.remove(left);
                }
            }
            changed.push(left.clone());
        }
        for joined in groups.into_iter().filter(|group| !before.contains(group)) {
            inner.members.entry(joined.clone()).or_default().insert(member.clone());
            changed.push(joined);
        }
        changed
    }

    /// The members of a group, in order.
    pub fn of(&self, group: &G) -> Vec<M> {
        self.0.lock().members.get(group).map(|members| members.iter().cloned().collect()).unwrap_or_default()
    }

    /// The first members of a group, in order.
    pub fn first(&self, group: &G, number: usize) -> Vec<M> {
        let inner = self.0.lock();
        inner.members.get(group).into_iter().flatten().take(number).cloned().collect()
    }

    /// Number of members of a group that come before one, counted to a limit.
    pub fn before(&self, group: &G, member: &M, limit: usize) -> usize {
        let inner = self.0.lock();
        inner.members.get(group).map_or(0, |members| members.range::<M, _>(..member).take(limit).count())
    }

    /// The groups of a member.
    pub fn groups(&self, member: &M) -> Vec<G> {
        self.0.lock().groups.get(member).cloned().unwrap_or_default()
    }

    /// Everything that is a member of a group.
    pub fn all(&self) -> Vec<M> {
        self.0.lock().groups.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_leave_and_join() {
        let index = GroupIndex::<&str, u8>::default();
        assert_eq!(index.set(&1, vec!["a", "b"]), ["a", "b"]);
        assert_eq!(index.set(&2, vec!["b"]), ["b"]);
        assert_eq!(index.of(&"b"), [1, 2]);
        assert_eq!(index.set(&1, vec!["b", "c"]), ["a", "c"]);
        assert_eq!((index.of(&"a"), index.of(&"b"), index.groups(&1)), (vec![], vec![1, 2], vec!["b", "c"]));
        assert_eq!(index.set(&1, vec!["b", "c"]), Vec::<&str>::new());
        assert_eq!((index.first(&"b", 1), index.first(&"b", 9)), (vec![1], vec![1, 2]));
        assert_eq!([1, 2, 3, 4].map(|member| index.before(&"b", &member, 2)), [0, 1, 2, 2]);
        assert_eq!(index.set(&1, vec![]), ["b", "c"]);
        assert_eq!(index.all(), [2]);
    }
}
