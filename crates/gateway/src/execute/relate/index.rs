//! Pure: finds objects by what leads to them.

use std::collections::{BTreeMap, HashMap};

use super::{leads::WantedObjects, of::ObjectFacts};
use crate::memory::ObjectSelector;

/// A list is far shorter than this.
pub(super) fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Finds objects by what leads to them.
pub(super) struct ObjectIndex<'c> {
    children: &'c [ObjectFacts],
    by_name: HashMap<&'c str, u32>,
    by_owner: HashMap<&'c str, Vec<u32>>,
    by_subject: HashMap<&'c str, Vec<u32>>,
    /// By key, then by value.
    by_label: HashMap<&'c str, HashMap<&'c str, Vec<u32>>>,
}

impl<'c> ObjectIndex<'c> {
    /// An index of what objects say.
    pub(super) fn of(children: &'c [ObjectFacts], which: &[WantedObjects]) -> Self {
        let mut index = Self {
            children,
            by_name: HashMap::new(),
            by_owner: HashMap::new(),
            by_subject: HashMap::new(),
            by_label: HashMap::new(),
        };
        let has_selectors = which.iter().any(|which| matches!(which, WantedObjects::Labelled(_)));
        for (place, child) in children.iter().enumerate() {
            index.add(narrow(place), child, has_selectors);
        }
        index
    }

    fn add(&mut self, place: u32, child: &'c ObjectFacts, has_selectors: bool) {
        self.by_name.extend(child.name().map(|name| (name, place)));
        for uid in child.owners() {
            self.by_owner.entry(uid).or_default().push(place);
        }
        if let Some(uid) = child.subject() {
            self.by_subject.entry(uid).or_default().push(place);
        }
        for (key, value) in child.labels().filter(|_| has_selectors).into_iter().flatten() {
            self.by_label.entry(key).or_default().entry(value).or_default().push(place);
        }
    }

    /// The objects, and how many steps that took.
    pub(super) fn find(&self, which: &WantedObjects) -> (Vec<u32>, usize) {
        let mut found: Vec<u32> = match which {
            WantedObjects::Names(names, uid) => return (self.named(names, uid.as_deref()), names.len()),
            WantedObjects::Labelled(text) => return self.labelled(text),
            WantedObjects::OwnedBy(uid) => self.by_owner.get(uid.as_str()).cloned().unwrap_or_default(),
            WantedObjects::About(uid) => self.by_subject.get(uid.as_str()).cloned().unwrap_or_default(),
            WantedObjects::AboutNode(uid, name) => {
                let of = |subject: &str| self.by_subject.get(subject).into_iter().flatten().copied();
                of(uid).chain(of(name)).collect()
            }
        };
        found.sort_unstable();
        found.dedup();
        let steps = found.len() + 1;
        (found, steps)
    }

    /// Those of these names, in their order.
    fn named(&self, names: &[String], uid: Option<&str>) -> Vec<u32> {
        let found = names.iter().filter_map(|name| self.by_name.get(name.as_str()).copied());
        let is_same = |place: &u32| uid.is_none_or(|uid| self.children[*place as usize].uid() == Some(uid));
        found.filter(is_same).collect()
    }

    /// A label that must have a certain value leaves few to look at.
    fn labelled(&self, text: &str) -> (Vec<u32>, usize) {
        let Some(selector) = ObjectSelector::of_labels(text) else { return (Vec::new(), 1) };
        let few = selector.one_of().map(|(key, values)| {
            let by_value = self.by_label.get(key);
            let of =
                |value: &String| by_value.and_then(|places| places.get(value.as_str())).into_iter().flatten();
            let mut few: Vec<u32> = values.iter().flat_map(of).copied().collect();
            few.sort_unstable();
            few.dedup();
            few
        });
        let mut few = few.unwrap_or_else(|| (0..narrow(self.children.len())).collect());
        let (steps, none) = (few.len() + 1, BTreeMap::new());
        few.retain(|place| selector.takes_labels(self.children[*place as usize].labels().unwrap_or(&none)));
        (few, steps)
    }
}
