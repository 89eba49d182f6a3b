//! Memory of what people have been told, so that it is not repeated with each event and for each object. Pure.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::key::ObjectKey;

/// Events are kept for an hour: what lasts is reported again within it.
pub(super) const AGAIN: Duration = Duration::from_secs(1800);

/// The notices that people have been given, with their times.
#[derive(Debug, Default)]
pub(super) struct GivenNotices {
    /// Of an object: what, and of which object on the other side.
    objects: HashMap<ObjectKey, (&'static str, String, Instant)>,
    /// Of all objects of a consumer namespace at once.
    namespaces: HashMap<String, Instant>,
}

impl GivenNotices {
    /// Returns `true` if people have to hear this of an object, about one of that uid on the other side.
    pub(super) fn is_news(&mut self, key: &ObjectKey, what: &'static str, about: &str, now: Instant) -> bool {
        let known = self.objects.get(key);
        let is_known = known.is_some_and(|(said, of, at)| *said == what && of == about && now - *at < AGAIN);
        if !is_known {
            self.objects.insert(key.clone(), (what, about.to_owned(), now));
        }
        !is_known
    }

    /// Returns `true` if people have to hear of trouble that a whole namespace has.
    pub(super) fn is_news_of_namespace(&mut self, namespace: &str, now: Instant) -> bool {
        let is_known = self.namespaces.get(namespace).is_some_and(|at| now - *at < AGAIN);
        if !is_known {
            self.namespaces.insert(namespace.to_owned(), now);
        }
        !is_known
    }

    /// Takes in that a copy was written in a namespace: its trouble is over.
    pub(super) fn namespace_works(&mut self, namespace: &str) {
        self.namespaces.remove(namespace);
    }

    /// Forgets an object: it is gone, or the report no longer applies.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.objects.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_per_object_and_once_per_namespace() {
        let (mut told, now) = (GivenNotices::default(), Instant::now());
        let key = |name: &str| ObjectKey { namespace: "west".to_owned(), name: name.to_owned() };
        assert!(told.is_news(&key("a"), "ForeignObject", "u", now));
        assert!(!told.is_news(&key("a"), "ForeignObject", "u", now));
        assert!(told.is_news(&key("b"), "ForeignObject", "u", now));
        assert!(told.is_news(&key("a"), "ForeignObject", "another", now));
        assert!(told.is_news(&key("a"), "ForeignObject", "another", now + AGAIN));
        told.forget(&key("a"));
        assert!(told.is_news(&key("a"), "ForeignObject", "another", now));
        assert!(told.is_news_of_namespace("west", now) && !told.is_news_of_namespace("west", now));
        assert!(told.is_news_of_namespace("east", now));
        told.namespace_works("west");
        assert!(told.is_news_of_namespace("west", now));
    }
}
