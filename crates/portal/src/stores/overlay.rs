//! Answers of writes, for as long as a watch lags behind them: whoever has written sees it in the very next list.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kube::{Resource, ResourceExt as _};
use parking_lot::Mutex;
use portolan_runtime::latest::version;
use tokio::time::Instant;

/// Time that a watch may lag behind a write. That its connection was forgotten is known after 45 seconds.
const LAG: Duration = Duration::from_secs(90);

/// Namespace and name.
type ObjectKey = (String, String);

/// The results of our own writes.
pub struct WriteOverlay<K>(Mutex<HashMap<ObjectKey, (WriteOutcome<K>, Instant)>>);

enum WriteOutcome<K> {
    /// An object came or changed.
    Is(Arc<K>),
    /// The object of this uid went.
    Gone(String),
}

impl<K> Default for WriteOverlay<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource> WriteOverlay<K> {
    pub fn wrote(&self, object: Arc<K>) {
        self.put(place(&*object), WriteOutcome::Is(object));
    }

    pub fn deleted(&self, object: &K) {
        self.put(place(object), WriteOutcome::Gone(object.uid().unwrap_or_default()));
    }

    fn put(&self, place: ObjectKey, written: WriteOutcome<K>) {
        let mut all = self.0.lock();
        all.retain(|_, (_, at)| at.elapsed() < LAG);
        let is_old = |written: &WriteOutcome<K>| match (written, all.get(&place)) {
            (WriteOutcome::Is(new), Some((WriteOutcome::Is(known), _))) => {
                new.uid() == known.uid() && version(new.meta()) < version(known.meta())
            }
            (WriteOutcome::Is(new), Some((WriteOutcome::Gone(uid), _))) => new.uid().as_deref() == Some(uid),
            _ => false,
        };
        if !is_old(&written) {
            all.insert(place, (written, Instant::now()));
        }
    }

    /// A watch has shown an object.
    pub fn shown(&self, object: &K) {
        let place = place(object);
        let mut all = self.0.lock();
        let is_caught_up = match all.get(&place) {
            Some((WriteOutcome::Is(written), _)) => {
                written.uid() != object.uid() || version(object.meta()) >= version(written.meta())
            }
            Some((WriteOutcome::Gone(uid), _)) => object.uid().as_deref() != Some(uid),
            None => false,
        };
        if is_caught_up {
            all.remove(&place);
        }
    }

    /// A watch has shown the end of an object.
    pub fn gone(&self, object: &K) {
        let place = place(object);
        let mut all = self.0.lock();
        let is_the_same = match all.get(&place) {
            Some((WriteOutcome::Is(written), _)) => written.uid() == object.uid(),
            Some((WriteOutcome::Gone(uid), _)) => object.uid().as_deref() == Some(uid),
            None => false,
        };
        if is_the_same {
            all.remove(&place);
        }
    }

    /// Returns `true` if a write has returned an object of this version.
    pub fn has(&self, wanted: u128) -> bool {
        let is_it = |written: &WriteOutcome<K>| match written {
            WriteOutcome::Is(object) => version(object.meta()) == wanted,
            WriteOutcome::Gone(_) => false,
        };
        self.0.lock().values().any(|(written, at)| at.elapsed() < LAG && is_it(written))
    }

    /// A list, with what writes have changed in it.
    pub fn over(&self, seen: Vec<Arc<K>>) -> Vec<Arc<K>> {
        let all = self.0.lock();
        if all.is_empty() {
            return seen;
        }
        let mut left: HashMap<&ObjectKey, &WriteOutcome<K>> = all
            .iter()
            .filter(|(_, (_, at))| at.elapsed() < LAG)
            .map(|(place, (written, _))| (place, written))
            .collect();
        let mut list = Vec::with_capacity(seen.len());
        for object in seen {
            let written = left.remove(&place(&*object));
            list.extend(newest(Some(object), written));
        }
        list.extend(left.into_values().filter_map(|written| newest(None, Some(written))));
        list
    }

    /// The same for one object.
    pub fn over_one(&self, seen: Option<Arc<K>>, namespace: &str, name: &str) -> Option<Arc<K>> {
        let all = self.0.lock();
        let written = all.get(&(namespace.to_owned(), name.to_owned()));
        newest(seen, written.filter(|(_, at)| at.elapsed() < LAG).map(|(written, _)| written))
    }
}

fn place<K: Resource>(object: &K) -> ObjectKey {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn newest<K: Resource>(seen: Option<Arc<K>>, written: Option<&WriteOutcome<K>>) -> Option<Arc<K>> {
    match (seen, written) {
        (seen, None) => seen,
        (None, Some(WriteOutcome::Gone(_))) => None,
        (None, Some(WriteOutcome::Is(written))) => Some(Arc::clone(written)),
        (Some(seen), Some(WriteOutcome::Gone(uid))) => (seen.uid().as_deref() != Some(uid)).then_some(seen),
        (Some(seen), Some(WriteOutcome::Is(written))) => {
            let is_behind = seen.uid() != written.uid() || version(seen.meta()) < version(written.meta());
            Some(if is_behind { Arc::clone(written) } else { seen })
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(name: &str, uid: &str, version: &str) -> ConfigMap {
        let text = |text: &str| Some(text.to_owned());
        let metadata = ObjectMeta {
            name: text(name),
            namespace: text("n"),
            uid: text(uid),
            resource_version: text(version),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn listed(overlay: &WriteOverlay<ConfigMap>, seen: &[ConfigMap]) -> Vec<String> {
        let seen = seen.iter().cloned().map(Arc::new).collect();
        let show =
            |object: &Arc<ConfigMap>| format!("{}{}", object.name_any(), object.resource_version().unwrap());
        let mut list: Vec<_> = overlay.over(seen).iter().map(show).collect();
        list.sort();
        list
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_in_the_very_next_list() {
        let overlay = WriteOverlay::default();
        let seen = [object("a", "1", "1"), object("b", "2", "2")];
        overlay.wrote(Arc::new(object("c", "3", "3")));
        overlay.wrote(Arc::new(object("a", "1", "4")));
        overlay.deleted(&object("b", "2", "2"));
        assert_eq!(listed(&overlay, &seen), ["a4", "c3"]);
        assert!(overlay.over_one(None, "n", "c").is_some());
        assert!(overlay.over_one(Some(Arc::new(object("b", "2", "2"))), "n", "b").is_none());
        let later = [object("a", "1", "9"), object("b", "5", "6"), object("c", "3", "3")];
        assert_eq!(listed(&overlay, &later), ["a9", "b6", "c3"], "another b is another object");
        tokio::time::advance(LAG).await;
        assert_eq!(listed(&overlay, &seen), ["a1", "b2"], "what no watch has shown is not believed for long");
    }

    #[tokio::test]
    async fn what_the_watch_has_shown_is_forgotten() {
        let overlay = WriteOverlay::default();
        overlay.wrote(Arc::new(object("a", "1", "4")));
        overlay.shown(&object("a", "1", "3"));
        assert_eq!(listed(&overlay, &[]), ["a4"]);
        overlay.shown(&object("a", "1", "4"));
        assert_eq!(listed(&overlay, &[]), Vec::<String>::new());
        overlay.wrote(Arc::new(object("a", "1", "5")));
        overlay.gone(&object("a", "1", "6"));
        assert_eq!(listed(&overlay, &[]), Vec::<String>::new());
        overlay.deleted(&object("a", "1", "6"));
        overlay.wrote(Arc::new(object("a", "1", "5")));
        assert_eq!(
            listed(&overlay, &[object("a", "1", "5")]),
            Vec::<String>::new(),
            "a late answer revives nothing"
        );
    }
}
