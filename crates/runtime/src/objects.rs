//! Single objects that others refer to: one watch per object, in permitted namespaces only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::{tasks::Tasks, telemetry::ErrorChain, watch::follow_object};

/// The state of a referenced object.
#[derive(Debug)]
pub enum Referred<K> {
    /// It has not been read yet.
    Pending,
    /// It is in a namespace that is not permitted; these are.
    NamespaceNotAllowed(String),
    /// The API server refuses to show it, or does not answer.
    Unreadable(String),
    /// It does not exist.
    Absent,
    /// The object.
    Present(Arc<K>),
}

impl<K> Clone for Referred<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Pending => Self::Pending,
            Self::NamespaceNotAllowed(allowed) => Self::NamespaceNotAllowed(allowed.clone()),
            Self::Unreadable(why) => Self::Unreadable(why.clone()),
            Self::Absent => Self::Absent,
            Self::Present(object) => Self::Present(Arc::clone(object)),
        }
    }
}

/// Namespace and name.
pub type ObjectKey = (String, String);
type Notify = Box<dyn Fn(&ObjectKey) + Send + Sync>;

/// All objects of a kind that somebody refers to.
pub struct ObjectWatches<K> {
    client: Client,
    tasks: Tasks,
    allowed: BTreeSet<String>,
    watched: Mutex<BTreeMap<ObjectKey, Watched<K>>>,
    notify: Notify,
}

struct Watched<K> {
    tasks: Tasks,
    state: Referred<K>,
}

impl<K> ObjectWatches<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    /// No objects yet. `notify` is called for each object that appears, changes or disappears.
    pub fn new(
        client: Client,
        tasks: &Tasks,
        allowed: BTreeSet<String>,
        notify: impl Fn(&ObjectKey) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let notify = Box::new(notify);
        Arc::new(Self { client, tasks: tasks.clone(), allowed, watched: Mutex::default(), notify })
    }

    /// The current state of an object. The first call begins to watch it.
    pub fn state(self: &Arc<Self>, key: &ObjectKey) -> Referred<K> {
        if !self.allowed.contains(&key.0) {
            let allowed: Vec<_> = self.allowed.iter().map(String::as_str).collect();
            return Referred::NamespaceNotAllowed(allowed.join(", "));
        }
        let mut watched = self.watched.lock();
        if let Some(known) = watched.get(key) {
            return known.state.clone();
        }
        let tasks = self.tasks.child();
        self.spawn_watch(&tasks, key.clone());
        watched.insert(key.clone(), Watched { tasks, state: Referred::Pending });
        Referred::Pending
    }

    /// Ends the watches that nobody refers to any more.
    pub fn retain(&self, is_referenced: impl Fn(&ObjectKey) -> bool) {
        self.watched.lock().retain(|key, watched| {
            let keep = is_referenced(key);
            if !keep {
                watched.tasks.cancel();
            }
            keep
        });
    }

    fn spawn_watch(self: &Arc<Self>, tasks: &Tasks, key: ObjectKey) {
        let api: Api<K> = Api::namespaced(self.client.clone(), &key.0);
        let watches = Arc::clone(self);
        tasks.spawn("referred object", async move {
            let name = key.1.clone();
            follow_object(api, &name, |event| {
                let state = match event {
                    Ok(Some(object)) => Referred::Present(Arc::new(object)),
                    Ok(None) => Referred::Absent,
                    Err(error) => Referred::Unreadable(ErrorChain(&error).to_string()),
                };
                watches.update(&key, state);
            })
            .await;
        });
    }

    fn update(&self, key: &ObjectKey, state: Referred<K>) {
        let mut watched = self.watched.lock();
        let Some(known) = watched.get_mut(key) else { return };
        // The last state stands until the object is known to be gone.
        if matches!((&known.state, &state), (Referred::Present(_), Referred::Unreadable(_))) {
            return;
        }
        known.state = state;
        drop(watched);
        (self.notify)(key);
    }
}
