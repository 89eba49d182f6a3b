//! The konnector: binds the services of provider clusters and keeps their objects in sync.
//!
//! On the consumer it watches APIServiceBindingBundles, APIServiceBindings, the Secrets that they name, the
//! CRDs that it brought, the APIServices that stand for none, the objects of those, and what providers claim as far
//! as people have agreed. It writes bindings (for bundles), CRDs (for bindings), the status of all three, finalizers
//! and annotations on bound objects, their status, and Events.
//!
//! On each provider, in the contract namespace, it watches APIServiceExports, BoundSchemas,
//! APIServiceNamespaces, APIServiceExportRequests and the ClusterBinding. It writes APIServiceNamespaces, the status
//! of exports and schemas, and the copies of bound objects.

mod args;
mod beginning;
mod binding;
mod bodies;
mod breaking;
mod bundle;
mod claims;
mod command;
mod context;
mod crd;
mod finalizers;
mod followed;
mod groups;
mod health;
mod leftover;
mod metrics;
mod migration;
mod news;
mod pace;
mod policy;
mod provider;
mod secrets;
mod sync;
mod takeover;
mod triggers;
mod version;
mod word;

use std::process::ExitCode;

use portolan_runtime::{client, install, lease, process, process::Process};

pub use crate::args::KonnectorArgs;
use crate::context::KonnectorContext;

/// Runs a command of the konnector, or the konnector until it is stopped, or loses its lease.
pub fn run(args: &KonnectorArgs) -> ExitCode {
    match &args.command {
        Some(command) => command::run(args, command),
        None => process::run("konnector", &args.log, &args.admin, |process| start(args.clone(), process)),
    }
}

async fn start(args: KonnectorArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let leading =
        process.readiness.expect("lease", "another replica leads, or the API server does not answer");
    let caches = process.readiness.expect("caches", "listing everything for the first time");
    health::serve(&process, args.server_address).await?;
    let client = client::connect(&args.client).await?;
    client::follow_contact(&process.tasks, &process.readiness);
    let lease = args.lease.settings(&args.pod, "kube-bind");
    let instance = lease.identity.clone();
    lease::lead(&process.tasks, &client, lease, (&leading, &caches)).await;
    install::crds(&client, "konnector", portolan_core::crds::konnector(), args.install.install_crds).await?;
    let context = KonnectorContext::start(&args, &process, client, &instance);
    // Bundles say what keeps the rest from being seen, and do nothing before.
    context.bundles_listed().await;
    bundle::run(&process.tasks, &context);
    // On half a picture a binding that is terminating would look drained, because none of its CRDs is
    // known yet, and would be released with its copies left behind. The lists do not wait for the controllers.
    context.synced().await;
    binding::run(&process.tasks, &context);
    leftover::run(&process.tasks, &context);
    caches.ready();
    Ok(())
}
