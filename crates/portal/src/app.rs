//! State that all requests share.

use std::{path::PathBuf, sync::Arc, time::Duration};

use kube::Config;
use portolan_runtime::{
    client,
    events::EventReporter,
    fetch::{AddressPolicy, FetchSettings, Fetcher, NamedAddress},
    files,
    limits::CallerRates,
    process::{self, Process, ProcessFailure},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::{
    access::AccessReviews,
    args::ServiceArgs,
    caller::KnownCallers,
    metrics::PortalMetrics,
    mistake::is_loopback,
    openapi::text::DocumentCache,
    session::{cookies::Cookies, demo::DemoUsers, keep::Sessions, oidc::OidcIssuer, seal::CookieSeal},
    stores::Stores,
    upstream::ApiServer,
    usage::PrometheusClient,
};

/// Event streams of one process.
const MAX_STREAMS: usize = 2_000;
/// Limit for a request that is tried out.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that a request may use.
pub struct App {
    pub upstream: ApiServer,
    pub callers: KnownCallers,
    pub access: AccessReviews,
    pub stores: Stores,
    pub sessions: Sessions,
    pub own: kube::Client,
    pub reporter: EventReporter,
    pub metrics: PortalMetrics,
    pub tasks: Tasks,
    /// Rates of reveals per user, and of logins per address.
    pub rates: CallerRates,
    /// Rates of those who come back from the issuer, per address: each of them makes the portal ask it.
    pub returns: CallerRates,
    pub documents: DocumentCache,
    /// Places for event streams.
    pub streams: Arc<Semaphore>,
    pub usage: Option<PrometheusClient>,
    pub try_it: Option<TryIt>,
}

/// How requests are tried out.
pub struct TryIt {
    pub fetcher: Fetcher,
    /// Where they go, if not to the host names of routes.
    pub gateway: Option<String>,
}

impl App {
    /// Starts the watches, and what logins need.
    pub async fn start(args: &ServiceArgs, process: &Process) -> Result<Self, ProcessFailure> {
        let tasks = &process.tasks;
        let config = client::configuration(&args.client).await?;
        let own = client::of(config.clone())?;
        client::follow_contact(tasks, &process.readiness);
        Ok(Self {
            upstream: ApiServer::new(&config, own.clone()).await?,
            callers: KnownCallers::new(args.reach.max_unknown_tokens),
            access: AccessReviews::new(),
            stores: Stores::start(&own, tasks),
            sessions: sessions(args, tasks).await?,
            reporter: EventReporter::new(own.clone(), "portolan-portal", &args.pod.instance()),
            own,
            metrics: PortalMetrics::register(&process.metrics),
            tasks: tasks.clone(),
            rates: CallerRates::new(args.reach.max_reveals),
            returns: CallerRates::new(args.reach.max_reveals),
            documents: DocumentCache::new(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            usage: usage(args)?,
            try_it: try_it(args, &config).await?,
        })
    }
}

/// Prometheus is where the operator says, whatever address that is.
fn usage(args: &ServiceArgs) -> Result<Option<PrometheusClient>, ProcessFailure> {
    let Some(url) = args.reach.usage_prometheus_url.clone() else { return Ok(None) };
    let fetcher = Fetcher::new(&FetchSettings {
        policy: AddressPolicy { named: vec![NamedAddress::Anything], ..AddressPolicy::default() },
        plain_http: true,
        ..FetchSettings::default()
    })?;
    Ok(Some(PrometheusClient::new(url, fetcher)))
}

/// People choose what they try: never the API server, and private addresses only where the operator allows them.
async fn try_it(args: &ServiceArgs, config: &Config) -> Result<Option<TryIt>, ProcessFailure> {
    if !args.reach.try_it {
        return Ok(None);
    }
    let own_api_server = client::addresses(config).await;
    let extra_authorities = authorities(args.reach.try_ca_file.as_ref()).await?;
    let fetcher = Fetcher::new(&FetchSettings {
        policy: AddressPolicy {
            networks: args.reach.try_allowed_cidrs.clone(),
            own_api_server,
            ..AddressPolicy::default()
        },
        plain_http: args.reach.try_gateway.as_deref().is_some_and(|url| url.starts_with("http://")),
        total_timeout: TRY_TIMEOUT,
        extra_authorities,
        ..FetchSettings::default()
    })?;
    Ok(Some(TryIt { fetcher, gateway: args.reach.try_gateway.clone() }))
}

async fn authorities(file: Option<&PathBuf>) -> Result<Option<Vec<u8>>, ProcessFailure> {
    match file {
        Some(path) => Ok(Some(tokio::fs::read(path).await.map_err(process::misconfigured)?)),
        None => Ok(None),
    }
}

async fn sessions(args: &ServiceArgs, tasks: &Tasks) -> Result<Sessions, ProcessFailure> {
    let login = &args.login;
    let seal = seal(args.session.session_key_files.clone(), tasks).await?;
    let demo = match &login.demo_users {
        Some(path) => Some(Arc::new(DemoUsers::read(path).await.map_err(process::misconfigured)?)),
        None => None,
    };
    let authorities = authorities(login.oidc_ca_file.as_ref()).await?;
    let oidc = match &login.oidc_issuer {
        Some(_) => {
            Some(Arc::new(OidcIssuer::start(args, authorities, tasks).map_err(process::misconfigured)?))
        }
        None => None,
    };
    let cookies = Cookies::new(!is_plain(args));
    Ok(Sessions::new(seal, cookies, oidc, demo, args.session.clone()))
}

/// Returns `true` if browsers reach the portal over plain HTTP, which is only on this machine.
fn is_plain(args: &ServiceArgs) -> bool {
    match &args.external_url {
        Some(url) => url.starts_with("http://"),
        None => args.plain_http && is_loopback(Some(&args.listen_address().ip().to_string())),
    }
}

async fn seal(files: Vec<PathBuf>, tasks: &Tasks) -> Result<Arc<CookieSeal>, ProcessFailure> {
    if files.is_empty() {
        return Ok(Arc::new(CookieSeal::random()));
    }
    let seal = Arc::new(CookieSeal::read(&files).await.map_err(process::misconfigured)?);
    let kept = Arc::clone(&seal);
    tasks.spawn_critical("session keys", async move {
        let mut watched = files::WatchedFiles::new(files.clone()).await;
        loop {
            watched.changed().await;
            if let Err(error) = kept.reread(&files).await {
                warn!("the portal keeps its session keys: {}", ErrorChain(&error));
            }
        }
    });
    Ok(seal)
}
