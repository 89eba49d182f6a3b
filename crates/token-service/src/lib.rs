//! The token service: answers `TokenReview`s for many clusters as their own API servers would.
//!
//! It watches its configuration and the files that it names, the issuers of the clusters for their keys, and
//! the Secret with renewed credentials. It writes that Secret, at one replica at a time, and asks the API
//! servers of clusters for reviews and for new credentials. It keeps no token: its cache has keyed hashes.

mod args;
mod audit;
mod check;
mod cloned;
mod cluster;
mod config;
mod credentials;
mod explain;
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod http;
mod identity_mapping;
mod mapping;
mod metrics;
mod moved;
mod names;
mod outage;
mod protobuf;
mod review;
mod state;

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use portolan_runtime::{
    client, clock, process,
    process::Process,
    readiness::ReadyHandle,
    server,
    tasks::Tasks,
    telemetry::ErrorChain,
    tls::{NoTls, ServerTls},
};
use tokio::time::sleep;
use tracing::{info, warn};

pub use crate::args::TokenServiceArgs;
use crate::{
    args::{Command, ServiceArgs},
    config::CallerProof,
    credentials::secret::CredentialSecret,
    http::App,
    metrics::ServiceMetrics,
    names::rewrite,
    review::Reviewer,
    state::ServiceState,
};

/// Time to wait for the keys of the clusters before the service is ready without them.
const FIRST_KEYS: Duration = Duration::from_secs(6);

/// Runs a command, or the service until it is stopped.
pub fn run(args: &TokenServiceArgs) -> ExitCode {
    let service = &args.service;
    match &args.command {
        Some(Command::Explain(explain)) => explain::run(service, explain),
        Some(Command::Check(check)) => check::run(service, check),
        Some(Command::Dns(dns)) => {
            process::print(&rewrite::snippet(&dns.service, &dns.namespace, &dns.zone));
            ExitCode::SUCCESS
        }
        None if service.tls.tls_cert_file.is_none() && !service.plain_http => process::usage(&NoTls),
        None => process::run_asked("token-service", &service.log, &service.admin, service.drain, |process| {
            start(service.clone(), process)
        }),
    }
}

async fn start(args: ServiceArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let tasks = &process.tasks;
    let keys = process.readiness.expect("keys", "the keys of the clusters are being loaded");
    let (own, own_api_server) = own_cluster(&args).await;
    let state = ServiceState::load(args.config.clone(), own_api_server, tasks).await;
    let state = state.map_err(process::misconfigured)?;
    warn_of_certificates(&state, &args);
    let metrics = Arc::new(ServiceMetrics::register(&process.metrics));
    let reviewer = Arc::new(Reviewer::new(Arc::clone(&metrics)));
    state.follow_files(tasks);
    let names = own.as_ref().and_then(|client| args.names(client));
    let secret = own.map(|client| args.secret(client));
    take_kept(&state, secret.as_ref()).await;
    let mut lease = args.lease.settings(&args.pod, "portolan-token-service");
    if args.lease.lease_namespace.is_none() {
        lease.namespace = args.secret_namespace();
    }
    credentials::renew::start(tasks, Arc::clone(&state), secret, names, lease);
    keep_tidy(tasks, &state, &reviewer, &metrics);
    let app = App { state: Arc::clone(&state), reviewer, metrics };
    let tls = ServerTls::start(&args.tls, tasks).await?;
    let last_word = Arc::clone(&app.reviewer);
    server::serve(tasks, args.listen_address(), tls, http::router(app)).await?;
    // The audit writes what it has only counted before the process ends.
    tasks.spawn_last(async move { last_word.report().await });
    // Not ready before it listens.
    first_keys(tasks, &state, keys);
    Ok(())
}

/// The cluster that we run in, where we do, and where its API server listens.
async fn own_cluster(args: &ServiceArgs) -> (Option<kube::Client>, Vec<SocketAddr>) {
    let config = match client::configuration(&args.client).await {
        Ok(config) => config,
        Err(error) => {
            warn!("renewed credentials are lost when the process ends: {}", ErrorChain(&error));
            return (None, Vec::new());
        }
    };
    let addresses = client::addresses(&config).await;
    (client::of(config).ok(), addresses)
}

/// Takes over the credentials of an earlier process, where the Secret can be read in time.
async fn take_kept(state: &ServiceState, secret: Option<&CredentialSecret>) {
    use secrecy::ExposeSecret as _;

    let Some(secret) = secret else { return };
    match tokio::time::timeout(FIRST_KEYS, secret.read()).await {
        Ok(Ok(tokens)) => {
            info!(credentials = tokens.len(), "read the Secret with credentials");
            for (cluster, token) in &tokens {
                state.offer_credential(cluster, token.expose_secret());
            }
        }
        Ok(Err(error)) => warn!("failed to read the Secret with credentials: {}", ErrorChain(&error)),
        Err(_) => warn!("the API server did not answer when asked for the Secret with credentials"),
    }
}

/// Ready once every cluster whose tokens are checked with keys has some, or has had its time: a dead issuer must not
/// hold up the others.
fn first_keys(tasks: &Tasks, state: &Arc<ServiceState>, ready: ReadyHandle) {
    let state = Arc::clone(state);
    tasks.spawn("first keys", async move {
        let snapshot = state.snapshot();
        let loaded = async {
            while snapshot.clusters.values().any(|cluster| cluster.waits_for_keys()) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(FIRST_KEYS, loaded).await.is_err() {
            warn!("some clusters have no keys yet; the service starts without them");
        }
        ready.ready();
    });
}

/// Callers that can never show what the configuration asks of them.
fn warn_of_certificates(state: &ServiceState, args: &ServiceArgs) {
    let config = &state.snapshot().config;
    let by_certificate =
        config.callers.iter().find(|caller| matches!(caller.proof, CallerProof::Certificate(_)));
    if let Some(caller) = by_certificate.filter(|_| args.tls.client_ca_file.is_none()) {
        warn!(caller = caller.name, "client certificates are ignored: give --client-ca-file");
    }
}

fn keep_tidy(
    tasks: &Tasks,
    state: &Arc<ServiceState>,
    reviewer: &Arc<Reviewer>,
    metrics: &Arc<ServiceMetrics>,
) {
    let (state, reviewer, metrics) = (Arc::clone(state), Arc::clone(reviewer), Arc::clone(metrics));
    tasks.spawn_critical("housekeeping", async move {
        let mut shared = BTreeMap::new();
        loop {
            reviewer.tidy().await;
            state.replace_rejected().await;
            metrics.configuration_rejected(state.reload_error().is_some());
            let snapshot = state.snapshot();
            for cluster in snapshot.clusters.values() {
                metrics.cluster(cluster, clock::now());
            }
            metrics.retain(&snapshot.config);
            let now = cloned::shared_keys(&snapshot);
            for (cluster, count) in &now {
                metrics.shared_keys(cluster, *count);
            }
            cloned::complain(&shared, &now);
            shared = now;
            sleep(Duration::from_secs(1)).await;
        }
    });
}
