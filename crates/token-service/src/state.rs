//! State of the service at one moment, and its change when the configuration does.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use portolan_runtime::{
    config::ConfigError,
    fetch::CaCertError,
    files,
    limits::{CallerRates, RateLimit},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::{cluster::Cluster, config::ServiceConfig};

/// Everything that one question is answered with.
#[derive(Debug)]
pub struct ConfigSnapshot {
    /// Number of the configuration: part of the key of every cached verdict.
    pub generation: u64,
    pub config: ServiceConfig,
    pub clusters: BTreeMap<String, Arc<Cluster>>,
    /// For the automatic choice of a cluster.
    pub by_issuer: HashMap<String, Vec<Arc<Cluster>>>,
    pub caller_rates: Option<CallerRates>,
}

/// The state of the service.
#[derive(Debug)]
pub struct ServiceState {
    path: PathBuf,
    own_api_server: Vec<SocketAddr>,
    tasks: Tasks,
    current: ArcSwap<ConfigSnapshot>,
    generations: AtomicU64,
    /// Tokens of the Secret, also for clusters that are configured later.
    kept: Mutex<BTreeMap<String, SecretString>>,
    reload_error: Mutex<Option<String>>,
    changed: Notify,
    replaced: Notify,
}

/// A configuration that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cluster {name:?} cannot be used")]
    Cluster {
        name: String,
        #[source]
        source: CaCertError,
    },
}

impl ServiceState {
    /// Reads the configuration and starts its clusters.
    pub async fn load(
        path: PathBuf,
        own_api_server: Vec<SocketAddr>,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, LoadError> {
        let config = ServiceConfig::read(&path).await?;
        let snapshot = build(config, 0, &BTreeMap::new(), &own_api_server, tasks).await?;
        Ok(Arc::new(Self {
            path,
            own_api_server,
            tasks: tasks.clone(),
            current: ArcSwap::from_pointee(snapshot),
            generations: AtomicU64::new(1),
            kept: Mutex::default(),
            reload_error: Mutex::default(),
            changed: Notify::new(),
            replaced: Notify::new(),
        }))
    }

    pub fn snapshot(&self) -> Arc<ConfigSnapshot> {
        self.current.load_full()
    }

    /// Waits until a file, or the configuration, has changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until another configuration is in use.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// The reason why the configuration on disk is not in use.
    pub fn reload_error(&self) -> Option<String> {
        self.reload_error.lock().clone()
    }

    /// Offers a token from the Secret to its cluster.
    pub fn offer_credential(&self, cluster: &str, token: &str) {
        self.kept.lock().insert(cluster.to_owned(), SecretString::from(token));
        if let Some(cluster) = self.snapshot().clusters.get(cluster) {
            cluster.credential.offer(token);
        }
    }

    /// Looks for other tokens for clusters that reject the one that is held.
    pub async fn replace_rejected(&self) {
        for (name, cluster) in &self.snapshot().clusters {
            cluster.hear_of_keys();
            if !cluster.credential.is_rejected() {
                continue;
            }
            let taken = cluster.replace_token().await || self.offer_kept(name, cluster);
            if taken {
                // It may have to be renewed.
                self.changed.notify_one();
                // Keys may be missing for want of it.
                cluster.jwks.hint();
            }
        }
    }

    fn offer_kept(&self, name: &str, cluster: &Cluster) -> bool {
        let kept = self.kept.lock();
        kept.get(name).is_some_and(|token| cluster.credential.offer(token.expose_secret()))
    }

    /// Reads the configuration again whenever it, or a file that it names, changes.
    pub fn follow_files(self: &Arc<Self>, tasks: &Tasks) {
        let state = Arc::clone(self);
        tasks.spawn_critical("configuration", async move {
            files::follow(|| state.named_files(), || state.reload()).await;
        });
    }

    /// The configuration, what it names as it is used, and what it names as it is written now: a file that is
    /// still missing may be all that keeps it from being used.
    async fn named_files(&self) -> BTreeSet<PathBuf> {
        let written = ServiceConfig::read(&self.path).await.map(|config| config.files()).unwrap_or_default();
        let used = self.snapshot().config.files();
        used.into_iter().chain(written).chain([self.path.clone()]).collect()
    }

    async fn reload(&self) {
        self.take_in_files().await;
        self.changed.notify_one();
    }

    async fn take_in_files(&self) {
        let old = self.snapshot();
        for cluster in old.clusters.values() {
            cluster.read_token().await;
        }
        match self.load_again(&old).await {
            Ok(None) => {}
            Ok(Some(snapshot)) => {
                info!(clusters = snapshot.clusters.len(), "the new configuration is in use");
                self.replace(&old, snapshot);
            }
            Err(failure) => {
                let text = ErrorChain(&failure).to_string();
                if self.reload_error.lock().replace(text.clone()).as_ref() != Some(&text) {
                    error!("the new configuration is not used; the old one stays in use: {text}");
                }
                return;
            }
        }
        if self.reload_error.lock().take().is_some() {
            info!("the configuration is valid again");
        }
    }

    async fn load_again(&self, old: &ConfigSnapshot) -> Result<Option<ConfigSnapshot>, LoadError> {
        let config = ServiceConfig::read(&self.path).await?;
        let mut same = config == old.config;
        for cluster in old.clusters.values() {
            same = same && cluster.fits(&cluster.config).await;
        }
        if same {
            return Ok(None);
        }
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let built = build(config, generation, &old.clusters, &self.own_api_server, &self.tasks).await?;
        Ok(Some(built))
    }

    fn replace(&self, old: &ConfigSnapshot, new: ConfigSnapshot) {
        for (name, token) in &*self.kept.lock() {
            if let Some(cluster) = new.clusters.get(name) {
                cluster.credential.offer(token.expose_secret());
            }
        }
        for (name, cluster) in &old.clusters {
            let goes_on = new.clusters.get(name).is_some_and(|new| Arc::ptr_eq(new, cluster));
            if !goes_on {
                cluster.stop();
            }
        }
        self.current.store(Arc::new(new));
        self.replaced.notify_one();
    }
}

async fn build(
    config: ServiceConfig,
    generation: u64,
    old: &BTreeMap<String, Arc<Cluster>>,
    own_api_server: &[SocketAddr],
    tasks: &Tasks,
) -> Result<ConfigSnapshot, LoadError> {
    let mut clusters = BTreeMap::new();
    let mut started: Vec<Arc<Cluster>> = Vec::new();
    for (name, wanted) in &config.clusters {
        let same_rate =
            old.get(name).is_some_and(|old| RateLimit::is(old.rate.as_ref(), config.rate_limits.per_cluster));
        let kept = match old.get(name) {
            Some(cluster) if same_rate && cluster.fits(wanted).await => Some(Arc::clone(cluster)),
            _ => None,
        };
        let cluster = match kept {
            Some(cluster) => cluster,
            None => match Cluster::start(
                Arc::clone(wanted),
                own_api_server,
                config.rate_limits.per_cluster,
                tasks,
            )
            .await
            {
                Ok(cluster) => {
                    let cluster = Arc::new(cluster);
                    old.get(name).iter().for_each(|old| cluster.inherit(old));
                    started.push(Arc::clone(&cluster));
                    cluster
                }
                Err(source) => {
                    for cluster in &started {
                        cluster.stop();
                    }
                    return Err(LoadError::Cluster { name: name.clone(), source });
                }
            },
        };
        clusters.insert(name.clone(), cluster);
    }
    let mut by_issuer: HashMap<String, Vec<Arc<Cluster>>> = HashMap::new();
    for cluster in clusters.values() {
        for issuer in &cluster.config.issuers {
            by_issuer.entry(issuer.clone()).or_default().push(Arc::clone(cluster));
        }
    }
    if config.callers.is_empty() {
        warn!(
            "anybody who reaches this service may ask about every cluster: configure callers to change that"
        );
    }
    let caller_rates = config.rate_limits.per_caller.map(CallerRates::new);
    Ok(ConfigSnapshot { generation, config, clusters, by_issuer, caller_rates })
}
