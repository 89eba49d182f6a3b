//! The provider's namespaces that are followed, each for the one of the consumer that it stands for.

use std::collections::{HashMap, hash_map::Entry};

use parking_lot::Mutex;
use portolan_runtime::tasks::Tasks;

/// The provider's namespace and the tasks that follow it, by consumer namespace.
#[derive(Default)]
pub struct FollowedNamespaces(Mutex<HashMap<String, (String, Tasks)>>);

impl FollowedNamespaces {
    /// The tasks, children of `tasks`, to follow a namespace of the provider with; `None` where it is followed already.
    /// One that was answered before is followed no longer, and `on_replaced` forgets what it has shown.
    pub fn anew(
        &self,
        tasks: &Tasks,
        namespace: &str,
        mapped: &str,
        on_replaced: impl FnOnce(),
    ) -> Option<Tasks> {
        let mut all = self.0.lock();
        let tasks = tasks.child();
        let followed = (mapped.to_owned(), tasks.clone());
        match all.entry(namespace.to_owned()) {
            Entry::Occupied(place) if place.get().0 == mapped => return None,
            Entry::Occupied(mut place) => {
                place.insert(followed).1.cancel();
                on_replaced();
            }
            Entry::Vacant(place) => {
                place.insert(followed);
            }
        }
        Some(tasks)
    }

    /// Takes in consumer namespaces whose counterparts are followed together, by one watch.
    pub fn extend(&self, tasks: &Tasks, all: impl IntoIterator<Item = (String, String)>) {
        let followed = |(namespace, mapped)| (namespace, (mapped, tasks.child()));
        self.0.lock().extend(all.into_iter().map(followed));
    }

    /// Returns `true` if this namespace of the provider, and not one that was answered before, is followed.
    pub fn follows(&self, namespace: &str, mapped: &str) -> bool {
        self.0.lock().get(namespace).is_some_and(|(followed, _)| followed == mapped)
    }

    /// Follows no longer what does not stay, and calls `on_end` for it.
    pub fn retain(&self, stays: impl Fn(&str) -> bool, on_end: impl Fn(&str)) {
        self.0.lock().retain(|namespace, (_, tasks)| {
            let stays = stays(namespace);
            if !stays {
                tasks.cancel();
                on_end(namespace);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn one_namespace_of_the_provider_is_followed_for_each_of_the_consumer() {
        let (followed, tasks, replaced) = (FollowedNamespaces::default(), Tasks::default(), RefCell::new(0));
        let anew = |namespace: &str, mapped: &str| {
            followed.anew(&tasks, namespace, mapped, || *replaced.borrow_mut() += 1)
        };
        let west = anew("west", "a-west").unwrap();
        assert!(anew("west", "a-west").is_none() && followed.follows("west", "a-west"));
        let east = anew("east", "a-east").unwrap();
        assert_eq!(*replaced.borrow(), 0);
        let another = anew("west", "b-west").unwrap();
        assert!(west.is_cancelled() && !another.is_cancelled() && !tasks.is_cancelled());
        assert!(followed.follows("west", "b-west") && !followed.follows("west", "a-west"));
        assert_eq!(*replaced.borrow(), 1);
        followed.extend(&tasks, [("north".to_owned(), "a-north".to_owned())]);
        assert!(anew("north", "a-north").is_none());

        let ended = RefCell::new(Vec::new());
        followed.retain(
            |namespace| namespace != "east",
            |namespace| ended.borrow_mut().push(namespace.to_owned()),
        );
        assert_eq!(*ended.borrow(), ["east"]);
        assert!(east.is_cancelled() && !another.is_cancelled() && !followed.follows("east", "a-east"));
        assert!(anew("east", "a-east").is_some());
    }
}
