//! State of the exchange at one moment, and its change when the configuration does.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use kube::Client;
use moka::sync::Cache;
use parking_lot::Mutex;
use portolan_runtime::{
    config::ConfigError, fetch::CaCertError, files, limits::CallerRates, readiness::Readiness, tasks::Tasks,
    telemetry::ErrorChain,
};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::{
    accounts::{AnnotationFault, NamespaceAccounts},
    binding::ANY,
    config::{ExchangeConfig, IssuerConfig},
    issuer::{IssuerSurroundings, SourceIssuer},
};

/// More issuers than annotations should name; those that were not asked for longest are forgotten.
const MAX_UNLISTED: u64 = 64;
/// Time for which an issuer that only annotations name is kept after it was asked for.
const UNLISTED_IDLE: Duration = Duration::from_secs(3600);

/// Everything that one exchange needs.
pub struct ConfigSnapshot {
    pub config: ExchangeConfig,
    /// By the first of their names.
    pub issuers: BTreeMap<String, Arc<SourceIssuer>>,
    /// By namespace; `*` is every one.
    accounts: BTreeMap<String, Arc<NamespaceAccounts>>,
    pub caller_rates: Option<CallerRates>,
    pub address_rates: Option<CallerRates>,
}

/// The target cluster.
#[derive(Clone)]
pub struct TargetCluster {
    pub client: Client,
    pub api_server: Vec<SocketAddr>,
    /// Issuer of the cluster's tokens, where it is known.
    pub issuer: Option<String>,
}

/// The state of the exchange.
pub struct ExchangeState {
    path: PathBuf,
    pub target: TargetCluster,
    tasks: Tasks,
    readiness: Readiness,
    faults: mpsc::Sender<AnnotationFault>,
    current: ArcSwap<ConfigSnapshot>,
    unlisted: Cache<String, Arc<SourceIssuer>>,
    /// The reason why the configuration on disk is not in use.
    complaint: Mutex<Option<String>>,
}

/// A configuration that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("issuer {name:?} cannot be used")]
    Issuer {
        name: String,
        #[source]
        source: CaCertError,
    },
}

impl ExchangeState {
    /// Reads the configuration and starts what it names.
    pub async fn load(
        path: PathBuf,
        target: TargetCluster,
        faults: mpsc::Sender<AnnotationFault>,
        (tasks, readiness): (&Tasks, &Readiness),
    ) -> Result<Arc<Self>, LoadError> {
        let empty = ConfigSnapshot {
            config: ExchangeConfig::empty(),
            issuers: BTreeMap::new(),
            accounts: BTreeMap::new(),
            caller_rates: None,
            address_rates: None,
        };
        let forgotten = |_, issuer: Arc<SourceIssuer>, _| issuer.stop();
        let unlisted = Cache::builder().max_capacity(MAX_UNLISTED).time_to_idle(UNLISTED_IDLE);
        let state = Self {
            path,
            target,
            tasks: tasks.clone(),
            readiness: readiness.clone(),
            faults,
            current: ArcSwap::from_pointee(empty),
            unlisted: unlisted.eviction_listener(forgotten).build(),
            complaint: Mutex::default(),
        };
        let config = state.read().await?;
        let built = state.build(config).await?;
        state.current.store(Arc::new(built));
        Ok(Arc::new(state))
    }

    pub fn snapshot(&self) -> Arc<ConfigSnapshot> {
        self.current.load_full()
    }

    async fn read(&self) -> Result<ExchangeConfig, ConfigError> {
        ExchangeConfig::read_or_default(&self.path).await
    }

    /// An issuer that only an annotation names.
    pub async fn unlisted(&self, name: &str) -> Option<Arc<SourceIssuer>> {
        if let Some(issuer) = self.unlisted.get(name) {
            return Some(issuer);
        }
        let config = IssuerConfig::unlisted(name).ok()?;
        let own = &self.target.api_server;
        let per_second = self.snapshot().config.rates.per_issuer;
        let surroundings = IssuerSurroundings { own_api_server: own, by_operator: false, per_second };
        let issuer = Arc::new(SourceIssuer::start(Arc::new(config), surroundings, &self.tasks).await.ok()?);
        let kept = self.unlisted.get_with_by_ref(name, || Arc::clone(&issuer));
        if !Arc::ptr_eq(&kept, &issuer) {
            issuer.stop();
        }
        Some(kept)
    }

    /// Reads the configuration again whenever it, or a file that it names, changes.
    pub fn follow_files(self: &Arc<Self>) {
        let state = Arc::clone(self);
        self.tasks.spawn_critical("configuration", async move {
            files::follow(|| state.named_files(), || state.reload_or_complain()).await;
        });
    }

    /// The configuration, what it names as it is used, and what it names as it is written now.
    async fn named_files(&self) -> BTreeSet<PathBuf> {
        let written = self.read().await.map(|config| config.files()).unwrap_or_default();
        let used = self.snapshot().config.files();
        used.into_iter().chain(written).chain([self.path.clone()]).collect()
    }

    /// Says once what keeps a new configuration from being used.
    async fn reload_or_complain(&self) {
        let now = self.reload().await.err().map(|failure| ErrorChain(&failure).to_string());
        let before = std::mem::replace(&mut *self.complaint.lock(), now.clone());
        if let Some(text) = now.filter(|text| before.as_ref() != Some(text)) {
            error!("the new configuration is not used; the old one stays in use: {text}");
        }
    }

    async fn reload(&self) -> Result<(), LoadError> {
        let (old, config) = (self.snapshot(), self.read().await?);
        let mut same = config == old.config;
        for issuer in old.issuers.values() {
            same = same && issuer.fits(&issuer.config, old.config.rates.per_issuer).await;
        }
        if same {
            return Ok(());
        }
        let new = self.build(config).await?;
        info!(
            issuers = new.issuers.len(),
            namespaces = new.accounts.len(),
            "the new configuration is in use"
        );
        let goes_on =
            |name: &String, issuer| new.issuers.get(name).is_some_and(|new| Arc::ptr_eq(new, issuer));
        old.issuers.iter().filter(|(name, issuer)| !goes_on(name, issuer)).for_each(|(_, gone)| gone.stop());
        let gone = old.accounts.iter().filter(|(name, _)| !new.accounts.contains_key(*name));
        for (name, accounts) in gone {
            accounts.stop();
            // Nobody waits for it any more.
            self.readiness.expect(&part(name), "").ready();
        }
        self.current.store(Arc::new(new));
        Ok(())
    }

    async fn build(&self, config: ExchangeConfig) -> Result<ConfigSnapshot, LoadError> {
        let old = self.snapshot();
        let mut issuers: BTreeMap<String, Arc<SourceIssuer>> = BTreeMap::new();
        for (name, wanted) in &config.issuers {
            match self.issuer(old.issuers.get(name), wanted, config.rates.per_issuer).await {
                Ok(issuer) => drop(issuers.insert(name.clone(), issuer)),
                Err(source) => {
                    let kept = |issuer: &&Arc<SourceIssuer>| {
                        old.issuers.values().any(|old| Arc::ptr_eq(old, issuer))
                    };
                    issuers.values().filter(|issuer| !kept(issuer)).for_each(|issuer| issuer.stop());
                    return Err(LoadError::Issuer { name: name.clone(), source });
                }
            }
        }
        for warning in config.warnings(self.target.issuer.as_deref()) {
            warn!("{warning}");
        }
        let accounts =
            config.namespaces.iter().map(|name| (name.clone(), self.accounts(&old, name))).collect();
        let rates = |per_second: Option<u32>| per_second.map(CallerRates::new);
        let (caller_rates, address_rates) = (rates(config.rates.per_caller), rates(config.rates.per_address));
        Ok(ConfigSnapshot { config, issuers, accounts, caller_rates, address_rates })
    }

    async fn issuer(
        &self,
        old: Option<&Arc<SourceIssuer>>,
        wanted: &Arc<IssuerConfig>,
        per_second: Option<u32>,
    ) -> Result<Arc<SourceIssuer>, CaCertError> {
        if let Some(old) = old
            && old.fits(wanted, per_second).await
        {
            return Ok(Arc::clone(old));
        }
        let own = &self.target.api_server;
        let surroundings = IssuerSurroundings { own_api_server: own, by_operator: true, per_second };
        SourceIssuer::start(Arc::clone(wanted), surroundings, &self.tasks).await.map(Arc::new)
    }

    fn accounts(&self, old: &ConfigSnapshot, namespace: &str) -> Arc<NamespaceAccounts> {
        if let Some(accounts) = old.accounts.get(namespace) {
            return Arc::clone(accounts);
        }
        let ready = self.readiness.expect(&part(namespace), "the first list");
        NamespaceAccounts::start(&self.target.client, namespace, self.faults.clone(), ready, &self.tasks)
    }
}

fn part(namespace: &str) -> String {
    format!("accounts of {namespace}")
}

impl ConfigSnapshot {
    /// The listed issuer that calls itself so.
    pub fn issuer(&self, name: &str) -> Option<&Arc<SourceIssuer>> {
        let others = || self.issuers.values().find(|issuer| issuer.config.has_name(name));
        self.issuers.get(name).or_else(others)
    }

    /// The accounts of a namespace, where it is listed.
    pub fn accounts_of(&self, namespace: &str) -> Option<&Arc<NamespaceAccounts>> {
        if !self.config.has_namespace(namespace) {
            return None;
        }
        self.accounts.get(namespace).or_else(|| self.accounts.get(ANY))
    }
}
