//! The watches on the provider, as far as they reach: one per namespace that the provider has made, or one for all.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
    runtime::watcher::{self, Event},
};
use portolan_runtime::{backoff::Backoff, tasks::Tasks, watch};

use crate::{
    followed::FollowedNamespaces,
    sync::{
        agenda::SyncAgenda, health::WatchedSide, key::ObjectKey, placement::Placement, places::in_namespace,
        plan::EngineMode, spec::SyncSpec,
    },
};

/// The first and the longest delay between attempts to list a namespace.
const RETRY: (std::time::Duration, std::time::Duration) =
    (std::time::Duration::from_millis(50), std::time::Duration::from_secs(15));

/// Objects that one watch has seen since it began to list.
#[derive(Default)]
struct ProviderListing {
    seen: HashSet<ObjectKey>,
    /// Consumer namespaces by those of the provider, as they were when the list began. Objects of a
    /// namespace that is answered later may be missing from it.
    namespaces: HashMap<String, String>,
    /// The number of the list.
    number: u64,
}

/// Follows the objects on the provider.
pub struct ProviderWatch {
    agenda: Arc<SyncAgenda>,
    tasks: Tasks,
    watched: FollowedNamespaces,
}

impl ProviderWatch {
    pub fn new(agenda: &Arc<SyncAgenda>, tasks: &Tasks) -> Arc<Self> {
        let watched = FollowedNamespaces::default();
        Arc::new(Self { agenda: Arc::clone(agenda), tasks: tasks.clone(), watched })
    }

    fn spec(&self) -> &SyncSpec {
        &self.agenda.places.spec
    }

    /// Starts the watch that reaches across all objects, where there is one.
    pub fn spawn_wide_watch(self: &Arc<Self>) {
        let namespace = match self.spec().placement {
            _ if self.agenda.mode == EngineMode::Withdraw => return,
            Placement::Mapped { cluster_wide: false } => return,
            Placement::Contract => self.spec().session.namespace.clone(),
            Placement::Mapped { cluster_wide: true } | Placement::Prefixed | Placement::Same => String::new(),
        };
        let api = in_namespace(&self.spec().session.client, &namespace, &self.spec().remote);
        let this = Arc::clone(self);
        self.tasks.spawn("provider objects", async move {
            let mut listing = ProviderListing::default();
            let on = |event| this.on_wide(event, &mut listing);
            watch::follow(api, watcher::Config::default(), on).await;
        });
    }

    fn on_wide(
        self: &Arc<Self>,
        event: watcher::Result<Event<DynamicObject>>,
        listing: &mut ProviderListing,
    ) {
        match event {
            Ok(Event::Init) => {
                listing.seen.clear();
                listing.namespaces = self.spec().session.namespaces.by_answer();
                listing.number = self.agenda.index.lock().begins_watch();
            }
            Ok(Event::InitApply(object)) => {
                let answered = |namespace: &str| listing.namespaces.get(namespace).cloned();
                if let Some(key) = self.agenda.places.origin_of(&object, answered) {
                    self.agenda.index.lock().saw_copy_in(&key, &object, listing.number);
                    listing.seen.insert(key);
                }
            }
            Ok(Event::Apply(object)) => {
                if let Some(key) = self.agenda.places.origin_now(&object)
                    && self.agenda.index.lock().saw_copy(&key, &object)
                {
                    self.agenda.look_at(key);
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some(key) = self.agenda.places.origin_now(&object) {
                    self.copy_went(key, &object);
                }
            }
            Ok(Event::InitDone) => self.end_wide_list(listing),
            Err(error) => self.agenda.health.note(WatchedSide::Provider(String::new()), Err(&error)),
        }
    }

    fn end_wide_list(self: &Arc<Self>, listing: &mut ProviderListing) {
        let listed: Vec<_> = match self.spec().placement {
            Placement::Mapped { .. } => listing.namespaces.drain().collect(),
            Placement::Prefixed | Placement::Contract | Placement::Same => {
                vec![(String::new(), String::new())]
            }
        };
        let all = listed.iter().map(|(mapped, namespace)| (namespace.clone(), mapped.clone()));
        self.watched.extend(&self.tasks, all);
        for (_, namespace) in &listed {
            self.end_list(namespace, &listing.seen, listing.number);
        }
        listing.seen.clear();
        self.agenda.health.note(WatchedSide::Provider(String::new()), Ok(()));
        self.watch_namespaces();
    }

    /// Follows answers to requests for namespaces.
    pub fn spawn_namespace_listener(self: &Arc<Self>) {
        let this = Arc::clone(self);
        let mut changes = self.spec().session.namespaces.subscribe();
        self.tasks.spawn("namespace answers", async move {
            while changes.changed().await.is_ok() {
                this.forget_namespaces();
                this.watch_namespaces();
                let waiting = this.agenda.index.lock().keys();
                for key in waiting {
                    this.agenda.look_at(key);
                }
            }
        });
    }

    /// Starts to follow the provider's namespaces for all consumer namespaces with objects.
    fn watch_namespaces(self: &Arc<Self>) {
        let namespaces: HashSet<_> =
            self.agenda.index.lock().keys().into_iter().map(|key| key.namespace).collect();
        for namespace in &namespaces {
            self.watch_namespace(namespace);
        }
    }

    /// Starts to follow the provider's namespace for a consumer namespace, once there is one.
    pub fn watch_namespace(self: &Arc<Self>, namespace: &str) {
        // Of a withdrawn export we may not even read the copies any more.
        let Placement::Mapped { cluster_wide } = self.spec().placement else { return };
        if self.agenda.mode == EngineMode::Withdraw || (cluster_wide && !self.agenda.health.provider_listed())
        {
            return;
        }
        let Some(mapped) = self.spec().session.namespaces.mapped(namespace) else { return };
        let on_replaced = || {
            self.agenda.index.lock().forget_copies(namespace);
            self.agenda.health.note(WatchedSide::Provider(namespace.to_owned()), Ok(()));
        };
        let tasks = self.watched.anew(&self.tasks, namespace, &mapped, on_replaced);
        let Some(tasks) = tasks else { return };
        let api = Api::namespaced_with(self.spec().session.client.clone(), &mapped, &self.spec().remote);
        let (this, namespace) = (Arc::clone(self), namespace.to_owned());
        if cluster_wide {
            tasks.spawn("provider namespace", async move { this.list_once(&api, &namespace).await });
        } else {
            tasks.spawn("provider objects", async move {
                let mut listing = (HashSet::new(), 0);
                let on = |event| {
                    if this.watched.follows(&namespace, &mapped) {
                        this.on_provider(&namespace, event, &mut listing);
                    }
                };
                watch::follow(api, watcher::Config::default(), on).await;
            });
        }
    }

    /// Ends to follow the provider's namespaces that nobody asks for any more. Where anything is known of an object, it
    /// is followed on.
    fn forget_namespaces(&self) {
        let namespaces = &self.spec().session.namespaces;
        if !matches!(self.spec().placement, Placement::Mapped { .. }) || !namespaces.are_listed() {
            return;
        }
        let stays = |namespace: &str| {
            namespaces.mapped(namespace).is_some() || !self.agenda.index.lock().forget(namespace)
        };
        self.watched.retain(stays, |namespace| {
            self.agenda.health.note(WatchedSide::Provider(namespace.to_owned()), Ok(()));
        });
    }

    /// Lists what the wide watch showed before anybody knew whose namespace it is.
    async fn list_once(&self, api: &Api<DynamicObject>, namespace: &str) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let (number, list) = loop {
            let number = self.agenda.index.lock().begins_list();
            match api.list(&ListParams::default()).await {
                Ok(list) => break (number, list),
                Err(error) => {
                    tracing::debug!(namespace, %error, "cannot list the provider's objects");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        };
        let mut seen = HashSet::new();
        for object in &list.items {
            let key = ObjectKey { namespace: namespace.to_owned(), name: object.name_any() };
            self.agenda.index.lock().saw_copy_in(&key, object, number);
            seen.insert(key);
        }
        self.end_list(namespace, &seen, number);
    }

    fn on_provider(
        &self,
        namespace: &str,
        event: watcher::Result<Event<DynamicObject>>,
        (listing, list): &mut (HashSet<ObjectKey>, u64),
    ) {
        let key_of =
            |object: &DynamicObject| ObjectKey { namespace: namespace.to_owned(), name: object.name_any() };
        match event {
            Ok(Event::Init) => {
                listing.clear();
                *list = self.agenda.index.lock().begins_watch();
            }
            Ok(Event::InitApply(object)) => {
                listing.insert(key_of(&object));
                self.agenda.index.lock().saw_copy_in(&key_of(&object), &object, *list);
            }
            Ok(Event::Apply(object)) => {
                if self.agenda.index.lock().saw_copy(&key_of(&object), &object) {
                    self.agenda.look_at(key_of(&object));
                }
            }
            Ok(Event::Delete(object)) => self.copy_went(key_of(&object), &object),
            Ok(Event::InitDone) => {
                self.end_list(namespace, listing, *list);
                listing.clear();
                self.agenda.health.note(WatchedSide::Provider(namespace.to_owned()), Ok(()));
            }
            Err(error) => self.agenda.health.note(WatchedSide::Provider(namespace.to_owned()), Err(&error)),
        }
    }

    fn copy_went(&self, key: ObjectKey, object: &DynamicObject) {
        self.agenda.index.lock().copy_went(&key, object.metadata.uid.as_deref().unwrap_or_default());
        self.agenda.look_at(key);
    }

    fn end_list(&self, namespace: &str, seen: &HashSet<ObjectKey>, list: u64) {
        let all = self.agenda.index.lock().keep_copies(namespace, seen, list);
        for key in all {
            self.agenda.look_at(key);
        }
    }
}
