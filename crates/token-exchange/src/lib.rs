//! The exchange: a token of one issuer for a token of a `ServiceAccount` of the cluster that it runs in.
//!
//! It watches `ServiceAccount`s of the listed namespaces and the keys of the listed issuers. It writes
//! nothing but `TokenRequest`s, and Events about annotations that cannot be used.

mod accounts;
mod args;
mod audit;
mod binding;
mod check;
mod config;
mod decide;
mod explain;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod issuer;
mod metrics;
mod mint;
mod outcome;
mod service;
mod state;

use std::{collections::BTreeSet, process::ExitCode, sync::Arc, time::Duration};

use portolan_core::auth::UnverifiedToken;
use portolan_runtime::{
    client,
    events::EventReporter,
    process,
    process::Process,
    readiness::ReadyHandle,
    server,
    tasks::Tasks,
    tls::{NoTls, ServerTls},
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::{info, warn};

pub use crate::args::ExchangeArgs;
use crate::{
    accounts::{AnnotationFault, MAX_FAULTS},
    args::Command,
    audit::AuditLog,
    http::ExchangeApp,
    metrics::ExchangeMetrics,
    state::{ExchangeState, TargetCluster},
};

/// Time to wait for the keys of the issuers before the exchange is ready without them.
const FIRST_KEYS: Duration = Duration::from_secs(6);
/// Interval at which the API server is probed, and limit for its answer.
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBE_AGAIN: Duration = Duration::from_secs(1);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// Limit on the faults that are remembered as reported.
const MAX_TOLD: usize = 4096;

/// Runs a command, or the exchange until it is told to stop.
pub fn run(args: &ExchangeArgs) -> ExitCode {
    match &args.command {
        Some(Command::Check(how)) => return check::run(args, how),
        Some(Command::Explain(wanted)) => return explain::run(args, wanted),
        None => {}
    }
    if !args.knows_its_transport() {
        return process::usage(&NoTls);
    }
    process::run_asked("token-exchange", &args.log, &args.admin(), args.drain, |process| {
        start(args.clone(), process)
    })
}

async fn start(args: ExchangeArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let tasks = &process.tasks;
    let keys = process.readiness.expect("keys", "the keys of the issuers are being loaded");
    let answers = process.readiness.expect("api server", "it has not answered yet");
    let target = target(&args).await?;
    let (faults, waiting) = mpsc::channel(MAX_FAULTS);
    let instance = args.pod.instance();
    report_faults(
        tasks,
        EventReporter::new(target.client.clone(), "portolan-token-exchange", &instance),
        waiting,
    );
    let state = ExchangeState::load(args.config.clone(), target, faults, (tasks, &process.readiness)).await;
    let state = state.map_err(process::misconfigured)?;
    follow_api_server(tasks, state.target.client.clone(), answers);
    state.follow_files();
    let metrics = ExchangeMetrics::register(&process.metrics);
    let audit = Arc::new(AuditLog::default());
    keep_tidy(tasks, &state, &audit, &metrics);
    let last_word = Arc::clone(&audit);
    tasks.spawn_last(async move { last_word.report_all() });
    let tls = ServerTls::start(&args.tls, tasks).await?;
    if tls.is_none() {
        warn!("tokens travel over plain HTTP: give --tls-cert-file, or terminate TLS in front of this port");
    }
    let app = ExchangeApp { state: Arc::clone(&state), audit, metrics, readiness: process.readiness.clone() };
    server::serve(tasks, args.listen_address(), tls, http::router(app)).await?;
    // Not ready before it listens.
    follow_keys(tasks, &state, keys);
    Ok(())
}

/// The cluster whose tokens are given: the one that we run in.
async fn target(args: &ExchangeArgs) -> Result<TargetCluster, process::ProcessFailure> {
    let configuration = client::configuration(&args.client).await?;
    let api_server = client::addresses(&configuration).await;
    let auth = &configuration.auth_info;
    let own = match (&auth.token, &auth.token_file) {
        (Some(token), _) => Some(token.expose_secret().to_owned()),
        (None, Some(file)) => tokio::fs::read_to_string(file).await.ok(),
        (None, None) => None,
    };
    let claimed =
        own.and_then(|token| Some(UnverifiedToken::parse(&token).ok()?.unverified_issuer().to_owned()));
    let client = client::of(configuration)?;
    let issuer = match claimed {
        Some(issuer) => Some(issuer),
        None => discovered(&client).await,
    };
    info!(issuer, "serving tokens of this cluster's accounts");
    Ok(TargetCluster { client, api_server, issuer })
}

/// The issuer as the API server itself names it.
async fn discovered(client: &kube::Client) -> Option<String> {
    #[derive(Deserialize)]
    struct DiscoveryDocument {
        issuer: String,
    }
    let request = ::http::Request::get("/.well-known/openid-configuration").body(Vec::new()).ok()?;
    let answer = timeout(FIRST_KEYS, client.request::<DiscoveryDocument>(request)).await;
    answer.ok()?.ok().map(|document| document.issuer)
}

fn report_faults(tasks: &Tasks, reporter: EventReporter, mut waiting: mpsc::Receiver<AnnotationFault>) {
    tasks.spawn("events", async move {
        let mut told = BTreeSet::new();
        while let Some(fault) = waiting.recv().await {
            if told.len() > MAX_TOLD {
                told.clear();
            }
            // An account that is read again for each exchange is found faulty each time.
            if !told.insert((fault.on.uid.clone(), fault.note.clone())) {
                continue;
            }
            warn!(namespace = fault.on.namespace, service_account = fault.on.name, "{}", fault.note);
            reporter.warn(&fault.on, "InvalidBinding", "ReadBindings", &fault.note).await;
        }
    });
}

/// Ready once an issuer has keys, or all have had their time: one dead issuer must not hold up the others. Not
/// ready any more when the keys of all are too old.
fn follow_keys(tasks: &Tasks, state: &Arc<ExchangeState>, ready: ReadyHandle) {
    let state = Arc::clone(state);
    tasks.spawn_critical("keys", async move {
        let (start, mut pause) = (tokio::time::Instant::now(), Duration::from_millis(20));
        loop {
            let snapshot = state.snapshot();
            let with_keys = snapshot.issuers.values().filter(|issuer| issuer.jwks.keys().is_some()).count();
            let (all, late) = (with_keys == snapshot.issuers.len(), start.elapsed() >= FIRST_KEYS);
            if all || late && (with_keys > 0 || snapshot.config.any_issuer) {
                ready.ready();
                pause = Duration::from_secs(1);
            } else if late {
                ready.not_ready("no issuer has keys");
            }
            sleep(pause).await;
        }
    });
}

/// Not ready while the API server that makes the tokens does not answer: a watch on a connection that is dead does
/// not tell.
fn follow_api_server(tasks: &Tasks, client: kube::Client, ready: ReadyHandle) {
    tasks.spawn_critical("api server", async move {
        let mut silences = 0_u32;
        loop {
            match timeout(PROBE_LIMIT, client.apiserver_version()).await {
                // One that does not let us see its version is there.
                Ok(Ok(_) | Err(kube::Error::Api(_))) => silences = 0,
                Ok(Err(_)) | Err(_) => silences = silences.saturating_add(1),
            }
            // A busy one may be late once.
            match silences {
                0 => ready.ready(),
                1 => {}
                _ => ready.not_ready("the API server does not answer"),
            }
            sleep(if silences == 1 { PROBE_AGAIN } else { PROBE_EVERY }).await;
        }
    });
}

fn keep_tidy(tasks: &Tasks, state: &Arc<ExchangeState>, audit: &Arc<AuditLog>, metrics: &ExchangeMetrics) {
    let (state, audit, metrics) = (Arc::clone(state), Arc::clone(audit), metrics.clone());
    tasks.spawn_critical("housekeeping", async move {
        loop {
            audit.report();
            metrics.issuers(&state.snapshot());
            sleep(Duration::from_secs(1)).await;
        }
    });
}
