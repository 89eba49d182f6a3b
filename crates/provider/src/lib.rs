//! The provider: offers the labelled CRDs of its cluster to consumers, and answers their namespace requests.
//!
//! It watches CRDs labelled `kube-bind.io/exported=true`, contract namespaces (labelled
//! `kube-bind.io/consumer`), the namespaces that it has made for consumers with their Roles, and in the
//! contract namespaces APIServiceExports, BoundSchemas, APIServiceNamespaces, APIServiceExportRequests and the
//! ClusterBinding.
//!
//! In each contract namespace it writes an APIServiceExport and a BoundSchema per CRD, one condition in the
//! status of the export, the status of APIServiceNamespaces, and the ClusterBinding. For each
//! APIServiceNamespace it writes a Namespace with a Role and a RoleBinding; for kinds whose copies stand in the
//! contract namespace the same there, and for kinds that consumers share a ClusterRole per consumer with an
//! admission policy that guards it. Namespaces that nobody asks for any more and that are empty go. It renews the
//! Secret `kubeconfig` of each contract namespace. It writes Events on what it cannot do.
//!
//! `provider kubeconfig` makes a contract namespace and prints the kubeconfig that a consumer uses; `consumers`,
//! `revoke` and `check` are for whoever runs it.

mod approval;
mod args;
mod claims;
mod cluster_rights;
mod command;
mod context;
mod contract;
mod export;
mod exportable;
mod grant;
mod heartbeat;
mod ignored;
mod kubeconfig;
mod notices;
mod queues;
mod renewal;
mod request;
mod rights;
mod selector;
mod source;
mod standing;
mod store;
mod sweep;
mod sweeping;
mod tenancy;
mod triggers;

use std::process::ExitCode;

use kube::ResourceExt;
use portolan_core::api::kubebind::LABEL_MANAGED_BY;
use portolan_runtime::{client, install, lease, process, process::Process};

use crate::args::ControllerArgs;
pub use crate::args::ProviderArgs;
use crate::context::ProviderContext;

/// Field manager of everything that the provider applies.
const FIELD_MANAGER: &str = "portolan-provider";
/// The value of the label `kube-bind.io/managed-by` on the provider's own objects.
const MANAGED_BY: &str = "provider";
/// Name of the one ClusterBinding of a contract namespace.
const CLUSTER_BINDING: &str = "cluster";
/// The ServiceAccount of a contract namespace, and the Role that it has there.
const BINDER: &str = "kube-binder";

/// Returns `true` if an object is the provider's own work.
fn is_ours<K: ResourceExt>(object: &K) -> bool {
    object.labels().get(LABEL_MANAGED_BY).is_some_and(|by| by == MANAGED_BY)
}

/// Runs a command of the provider, or its controllers until they are stopped or lose the lease.
pub fn run(args: &ProviderArgs) -> ExitCode {
    let controller = &args.controller;
    match &args.command {
        Some(command) => command::run(controller, command),
        None => process::run("provider", &controller.log, &controller.admin, |process| {
            start(controller.clone(), process)
        }),
    }
}

async fn start(args: ControllerArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let leading = process.readiness.expect("lease", "the API server does not answer");
    let caches = process.readiness.expect("caches", "listing everything for the first time");
    let client = client::connect(&args.client).await?;
    client::follow_contact(&process.tasks, &process.readiness);
    let lease = args.lease.settings(&args.pod, "kube-bind-provider");
    let instance = lease.identity.clone();
    lease::lead(&process.tasks, &client, lease, (&leading, &caches)).await;
    install::crds(&client, "provider", portolan_core::crds::provider(), args.install.install_crds).await?;
    let context = ProviderContext::start(&args, &process, &client, &instance);
    // On half a picture, an export would look withdrawn: nothing is decided before everything was listed.
    context.synced().await;
    exportable::run(&process.tasks, &context);
    contract::run(&process.tasks, &context);
    export::run(&process.tasks, &context);
    request::run(&process.tasks, &context);
    approval::run(&process.tasks, &context);
    grant::run(&process.tasks, &context);
    renewal::run(&process.tasks, &context);
    sweep::run(&process.tasks, &context);
    heartbeat::run(&process.tasks, &context);
    caches.ready();
    Ok(())
}
