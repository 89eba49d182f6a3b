//! The portal's caches: what watches have shown, and the answers of writes until the watches show them.

mod overlay;

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

use http::StatusCode;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource, runtime::watcher};
use portolan_core::api::devportal::{APIKey, APIProduct};
use portolan_runtime::{cache::Cache, tasks::Tasks, telemetry::ErrorChain, watch::WatchChange};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::warn;

pub(crate) use self::overlay::Overlay;
use crate::{
    foreign::{AuthPolicy, PlanPolicy, Route},
    news::{News, Newsroom},
    problem::Problem,
};

/// One kind: the objects that a watch has shown, under those that writes have returned.
pub(crate) struct Store<K: Resource<DynamicType = ()> + 'static> {
    cache: Cache<K>,
    overlay: Arc<Overlay<K>>,
}

/// All kinds.
pub(crate) struct Stores {
    pub(crate) products: Store<APIProduct>,
    pub(crate) keys: Store<APIKey>,
    pub(crate) routes: Store<Route>,
    pub(crate) plans: Store<PlanPolicy>,
    pub(crate) auths: Store<AuthPolicy>,
    pub(crate) newsroom: Newsroom,
}

impl Stores {
    /// Starts to follow every kind.
    pub(crate) fn start(client: &Client, tasks: &Tasks) -> Self {
        let newsroom = Newsroom::new();
        Self {
            products: Store::follow(client, tasks, &newsroom, News::product),
            keys: Store::follow(client, tasks, &newsroom, News::key),
            routes: Store::follow(client, tasks, &newsroom, News::route),
            plans: Store::follow(client, tasks, &newsroom, News::plan),
            auths: Store::follow(client, tasks, &newsroom, News::auth),
            newsroom,
        }
    }

    /// Namespaces that have something of concern, in order.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let products = self.products.all();
        let routes = self.routes.all();
        let names = products.iter().filter_map(|product| product.metadata.namespace.clone());
        let all: BTreeSet<String> =
            names.chain(routes.iter().filter_map(|route| route.metadata.namespace.clone())).collect();
        all.into_iter().collect()
    }

    /// Resolves when products and keys have been listed once. Kinds of others may not be installed.
    pub(crate) async fn synced(&self) {
        self.products.cache.synced().await;
        self.keys.cache.synced().await;
    }
}

impl<K> Store<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    fn follow(
        client: &Client,
        tasks: &Tasks,
        newsroom: &Newsroom,
        news: impl Fn(&K) -> News + Send + 'static,
    ) -> Self {
        let overlay = Arc::new(Overlay::<K>::default());
        let (seen, newsroom) = (Arc::clone(&overlay), newsroom.clone());
        let mut was_missing = false;
        let on = move |change: WatchChange<'_, K>| match change {
            WatchChange::Applied(object) => {
                seen.shown(object);
                newsroom.tell(news(object));
            }
            WatchChange::Deleted(object) => {
                seen.gone(object);
                newsroom.tell(news(object).of_end());
            }
            WatchChange::Relisted => newsroom.tell(News::anything()),
            WatchChange::Failed(error) => {
                let is_missing = is_missing(error);
                if !(is_missing && was_missing) {
                    warn!(kind = %K::kind(&()), "watch failed: {}", ErrorChain(error));
                }
                was_missing = is_missing;
            }
        };
        let api = Api::<K>::all(client.clone());
        let (cache, task) = Cache::follow_lean(api, watcher::Config::default(), on);
        tasks.spawn_critical("watch", task);
        Self { cache, overlay }
    }

    /// Every object, as new as this process knows it.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.overlay.over(self.cache.all())
    }

    /// One object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.overlay.over_one(self.cache.get_in(namespace, name), namespace, name)
    }

    /// Takes the answer of a write in, so that the very next list has it.
    pub(crate) fn take(&self, written: Value) -> Result<Arc<K>, Problem> {
        let object: K = serde_json::from_value(written).map_err(|_| {
            let what = format!("the API server's answer is not an {}", K::kind(&()));
            Problem::new(StatusCode::BAD_GATEWAY, what)
        })?;
        let object = Arc::new(object);
        self.overlay.wrote(Arc::clone(&object));
        Ok(object)
    }

    /// Takes the answer of a delete in. A finalizer may hold the object: then it is there until a watch says otherwise.
    pub(crate) fn take_end(&self, answer: Value, object: &K) -> Result<(), Problem> {
        if answer["kind"] == *K::kind(&()) {
            self.take(answer)?;
        } else {
            self.overlay.deleted(object);
        }
        Ok(())
    }
}

/// Returns `true` if there is no such kind yet.
fn is_missing(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}
