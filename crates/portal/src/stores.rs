//! The portal's caches: what watches have shown, and the answers of writes until the watches show them.

mod overlay;
mod reach;
mod renewal;

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Debug,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::StatusCode;
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _, api::ListParams, runtime::watcher};
use portolan_core::api::devportal::{APIKey, APIProduct};
use portolan_runtime::{
    cache::Cache, latest::version, tasks::Tasks, telemetry::ErrorChain, watch::WatchChange,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tracing::warn;

pub use self::overlay::WriteOverlay;
use self::{reach::WatchProgress, renewal::SharedRead};
use crate::{
    foreign::{AuthPolicy, HttpRoute, PlanPolicy},
    news::{NewsItem, Newsroom},
    problem::Problem,
};

/// Limit for one attempt to read a kind past its watch.
const ATTEMPT: Duration = Duration::from_secs(4);

/// One kind: the objects that a watch has shown, under those that writes have returned.
pub struct KindStore<K: Resource<DynamicType = ()> + 'static> {
    cache: Cache<K>,
    overlay: Arc<WriteOverlay<K>>,
    reach: Arc<WatchProgress>,
    api: Api<K>,
    renewal: SharedRead,
}

/// All kinds.
pub struct Stores {
    pub products: KindStore<APIProduct>,
    pub keys: KindStore<APIKey>,
    pub routes: KindStore<HttpRoute>,
    pub plans: KindStore<PlanPolicy>,
    pub auths: KindStore<AuthPolicy>,
    pub newsroom: Newsroom,
}

impl Stores {
    /// Starts to follow every kind.
    pub fn start(client: &Client, tasks: &Tasks) -> Self {
        let newsroom = Newsroom::new();
        Self {
            products: KindStore::follow(client, tasks, &newsroom, NewsItem::product),
            keys: KindStore::follow(client, tasks, &newsroom, NewsItem::key),
            routes: KindStore::follow(client, tasks, &newsroom, NewsItem::route),
            plans: KindStore::follow(client, tasks, &newsroom, NewsItem::plan),
            auths: KindStore::follow(client, tasks, &newsroom, NewsItem::auth),
            newsroom,
        }
    }

    /// Namespaces that have something of concern, in order.
    pub fn namespaces(&self) -> Vec<String> {
        let products = self.products.all();
        let routes = self.routes.all();
        let names = products.iter().filter_map(|product| product.metadata.namespace.clone());
        let all: BTreeSet<String> =
            names.chain(routes.iter().filter_map(|route| route.metadata.namespace.clone())).collect();
        all.into_iter().collect()
    }

    /// The host names of a route.
    pub fn hostnames(&self, namespace: &str, route: &str) -> Vec<String> {
        let route = self.routes.get(namespace, route);
        route.map(|route| route.facts.known.facts.hostnames.clone()).unwrap_or_default()
    }

    /// Resolves when products and keys have been listed once. Kinds of others may not be installed.
    pub async fn synced(&self) {
        self.products.cache.synced().await;
        self.keys.cache.synced().await;
    }
}

impl<K> KindStore<K>
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
        news: impl Fn(&K) -> NewsItem + Send + 'static,
    ) -> Self {
        let (overlay, reach) = (Arc::new(WriteOverlay::<K>::default()), Arc::new(WatchProgress::default()));
        let (seen, reached, newsroom) = (Arc::clone(&overlay), Arc::clone(&reach), newsroom.clone());
        let listed = Arc::new(OnceLock::<Cache<K>>::new());
        let list = Arc::clone(&listed);
        let mut was_missing = false;
        let on = move |change: WatchChange<'_, K>| match change {
            WatchChange::Applied(object) => {
                seen.shown(object);
                reached.shown(version(object.meta()));
                newsroom.tell(news(object));
            }
            WatchChange::Deleted(object) => {
                seen.gone(object);
                reached.ended(object.uid().unwrap_or_default(), version(object.meta()));
                // What was kept between the two does not know of the end.
                seen.gone(object);
                newsroom.tell(news(object).of_end());
            }
            WatchChange::Relisted => {
                let all = list.get().map(Cache::all).unwrap_or_default();
                for object in all {
                    reached.shown(version(object.meta()));
                }
                newsroom.tell(NewsItem::anything());
            }
            WatchChange::Failed(error) => {
                let is_missing = is_missing(error);
                if !(is_missing && was_missing) {
                    warn!(kind = %K::kind(&()), "watch failed: {}", ErrorChain(error));
                }
                was_missing = is_missing;
            }
        };
        let api = Api::<K>::all(client.clone());
        let (cache, task) = Cache::follow_lean(api.clone(), watcher::Config::default(), on);
        listed.get_or_init(|| cache.clone());
        tasks.spawn_critical("watch", task);
        Self { cache, overlay, reach, api, renewal: SharedRead::default() }
    }

    /// Waits until lists have what somebody has seen elsewhere. If the watch does not show it soon, the kind is read.
    /// False if that fails: a list would be older than what its reader has seen.
    pub async fn catch_up(&self, seen: u128) -> bool {
        let has = || self.reach.has(seen) || self.overlay.has(seen);
        let asked = Instant::now();
        if has() || self.reach.until(seen).await {
            return true;
        }
        // A second attempt takes another connection than one that was forgotten.
        let read = async { self.attempt().await || self.attempt().await };
        self.renewal.shared(asked, has, read).await
    }

    /// Returns `true` if the kind could be read past its watch.
    async fn attempt(&self) -> bool {
        let why = match timeout(ATTEMPT, self.renew()).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => ErrorChain(&error).to_string(),
            Err(_) => format!("no answer within {} seconds", ATTEMPT.as_secs()),
        };
        warn!(kind = %K::kind(&()), "a list cannot be brought up to what its reader has seen: {why}");
        false
    }

    /// Reads the kind past its watch.
    async fn renew(&self) -> Result<(), kube::Error> {
        let list = self.api.list(&ListParams::default()).await?;
        let at =
            list.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
        let place = |object: &K| (object.namespace(), object.name_any());
        let present: HashSet<_> = list.items.iter().map(place).collect();
        let is_gone = |object: &&Arc<K>| version(object.meta()) <= at && !present.contains(&place(object));
        self.all().iter().filter(is_gone).for_each(|object| self.overlay.deleted(object));
        for mut object in list.items {
            object.meta_mut().managed_fields = None;
            self.keep(&Arc::new(object));
        }
        self.reach.shown(at);
        Ok(())
    }

    /// Every object, as new as this process knows it.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.overlay.over(self.cache.all())
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.overlay.over_one(self.cache.get_in(namespace, name), namespace, name)
    }

    /// Takes the answer of a write in, so that the very next list has it.
    pub fn take(&self, written: Value) -> Result<Arc<K>, Problem> {
        let object: K = serde_json::from_value(written).map_err(|_| {
            let what = format!("the API server's answer is not an {}", K::kind(&()));
            Problem::new(StatusCode::BAD_GATEWAY, what)
        })?;
        let object = Arc::new(object);
        self.keep(&object);
        Ok(object)
    }

    /// Keeps what was written or read. Its answer may be later than the news of its end.
    fn keep(&self, object: &Arc<K>) {
        self.overlay.wrote(Arc::clone(object));
        if self.reach.has_ended(&object.uid().unwrap_or_default()) {
            self.overlay.gone(object);
        }
    }

    /// Takes the answer of a delete in. A finalizer may hold the object: then it is there until a watch says otherwise.
    /// Gives the version of the end, which the answer does not have, as soon as the watch shows it.
    pub async fn take_end(&self, answer: Value, object: &K) -> Result<Option<u128>, Problem> {
        if answer["kind"] == *K::kind(&()) {
            return Ok(Some(version(self.take(answer)?.meta())));
        }
        self.overlay.deleted(object);
        Ok(self.reach.end_of(&object.uid().unwrap_or_default()).await)
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

#[cfg(test)]
mod tests {
    use portolan_runtime::client;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_late_answer_brings_nothing_back() {
        // Nobody is there to be watched.
        let nobody = client::of(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let store =
            KindStore::<APIProduct>::follow(&nobody, &Tasks::default(), &Newsroom::new(), NewsItem::product);
        let answer = |uid: &str| {
            json!({
                "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
                "metadata": {"name": "p", "namespace": "a", "uid": uid, "resourceVersion": "5"},
                "spec": {"displayName": "P", "targetRef": {"group": "g", "kind": "k", "name": "r"}},
            })
        };
        store.reach.ended("1".to_owned(), 6);
        assert!(store.take(answer("1")).is_ok() && store.get("a", "p").is_none());
        assert!(store.take(answer("2")).is_ok() && store.get("a", "p").is_some(), "another one of its name");
    }
}
