//! The listener: turns ClusterAccess objects into schema documents that gateways serve.
//!
//! It watches ClusterAccesses, each Secret and ConfigMap that one refers to, and in each target cluster the names of
//! CRDs and APIServices. From a target it reads discovery and the OpenAPI document of each group-version whose hash
//! has changed. It writes the result to files `{path}.json` in a directory, serves it as a stream over HTTPS, and
//! reports in the status of the ClusterAccess and in Events. For ClusterAccesses with a service account it requests
//! tokens from the management cluster. It writes nothing to targets.
//!
//! Every replica looks at every cluster and serves; the Lease decides which one writes statuses and files.

mod access;
mod accounts;
mod args;
mod check;
mod cluster;
mod context;
mod discovery;
mod documents;
mod files;
mod metrics;
mod parts;
mod problem;
mod single;
mod stream;

use std::{process::ExitCode, sync::Arc};

use portolan_runtime::{client, install, lease, lease::LeaseStanding, process, process::Process};

pub use crate::args::Args;
use crate::{
    args::{Command, ListenerArgs},
    context::ReconcileContext,
};

/// Runs a command, or the listener until it is told to stop.
pub fn run(args: &Args) -> ExitCode {
    let listener = &args.listener;
    if let Some(mistake) = listener.mistake() {
        return process::usage(&mistake);
    }
    match &args.command {
        Some(Command::Check(check)) => check::run(listener, check),
        None => process::run_asked("listener", &listener.log, &listener.admin, listener.drain, |process| {
            start(listener.clone(), process)
        }),
    }
}

async fn start(args: ListenerArgs, process: Process) -> Result<(), process::ProcessFailure> {
    if args.multicluster { many(args, process).await } else { single::start(args, process).await }
}

async fn many(args: ListenerArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let tried = process.readiness.expect("clusters", "the ClusterAccesses are being listed");
    let client = client::connect(&args.client).await?;
    client::follow_contact(&process.tasks, &process.readiness);
    install::crds(&client, "listener", portolan_core::crds::listener(), args.install.install_crds).await?;
    let settings = args.lease.settings(&args.pod, "portolan-listener");
    let context = ReconcileContext::start(&args, &process, &client, tried, &settings.identity);
    context.accesses.synced().await;
    context.wake_all();
    access::run(&process.tasks, &context);
    let source = stream::StreamSource {
        documents: Arc::clone(&context.documents),
        workshop: Arc::clone(&context.workshop),
        metrics: Arc::clone(&context.metrics),
    };
    stream::serve(&args, &process.tasks, client, source).await?;
    lead(&args, &process, &context, settings).await;
    Ok(())
}

/// Waits for the Lease in the background: replicas on standby serve, too.
async fn lead(
    args: &ListenerArgs,
    process: &Process,
    context: &Arc<ReconcileContext>,
    settings: lease::LeaseSettings,
) {
    let part = process.readiness.expect("lease", "the API server does not answer");
    let on = move |standing| match standing {
        LeaseStanding::Leads | LeaseStanding::StandsBy => part.ready(),
        LeaseStanding::Unheard(why) => part.not_ready(&format!("the API server cannot be used: {why}")),
    };
    lease::hold_and_tell(&process.tasks, context.client.clone(), settings, on).await;
    if let Some(directory) = args.directory() {
        let woken = Arc::clone(context);
        let documents = Arc::clone(&context.documents);
        let (part, states) =
            (process.readiness.expect("files", "none is written yet"), context.file_states.clone());
        part.ready();
        files::run(&process.tasks, directory, documents, states.clone(), move || {
            // The stream works without files, so that this pod is ready without them.
            match states.directory_trouble() {
                Some(trouble) => part.ready_but(&trouble.message),
                None => part.ready(),
            }
            woken.wake_all();
        });
    }
    context.lead();
}
