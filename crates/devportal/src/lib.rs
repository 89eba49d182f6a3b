//! The developer portal's controller: finds out about APIProducts, and gives keys to whoever an APIKey was approved for.
//!
//! It watches APIProducts and APIKeys, HTTPRoutes, PlanPolicies and AuthPolicies, and of its own Secrets, Roles and
//! RoleBindings what it needs; of Secrets that is metadata only. It writes the status of APIProducts and APIKeys, makes
//! the product the owner of each key, and for an approved key writes a Secret with the value and lets the requester
//! read it. It never writes to routes and policies. From elsewhere it fetches discovery documents of issuers and OpenAPI
//! texts, of which large ones go into ConfigMaps. It notifies a webhook, if there is one.
//!
//! Who decides about a request writes `phase`, `reviewedBy`, `reviewedAt` and `reason` into the status of the APIKey.
//! Admission policies of the chart see to it that nobody else does, and that nothing else is changed.

mod annotations;
mod args;
mod changes;
mod check;
mod context;
mod counts;
mod fetches;
mod index;
mod key;
mod lifetime;
mod metrics;
mod names;
mod news;
mod notify;
mod product;
mod rights;
mod scheme;
mod scope;
mod settings;
mod token;
mod triggers;
mod turns;

use std::process::ExitCode;

use portolan_runtime::{client, install, lease, process, process::Process};

pub use crate::args::Args;
use crate::{
    args::{Command, ControllerArgs},
    context::Context,
};

/// Name of the Lease, and of the controller in Events.
pub const NAME: &str = "portolan-devportal";

/// Runs a command, or the controller until it is stopped or loses the Lease.
pub fn run(args: &Args) -> ExitCode {
    let controller = &args.controller;
    match &args.command {
        Some(Command::Check(check)) => check::run(controller, check),
        None => process::run("devportal", &controller.log, &controller.admin, |process| {
            start(controller.clone(), process)
        }),
    }
}

async fn start(args: ControllerArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let leading = process.readiness.expect("lease", "the API server does not answer");
    let caches = process.readiness.expect("caches", "listing everything for the first time");
    let client = client::connect(&args.client).await?;
    client::follow_contact(&process.tasks, &process.readiness);
    let lease = args.lease.settings(&args.pod, NAME);
    let instance = lease.identity.clone();
    lease::lead(&process.tasks, &client, lease, (&leading, &caches)).await;
    install::crds(&client, "devportal", portolan_core::crds::devportal(), args.install.install_crds).await?;
    let settings = fetches::settings(&args, &client).await;
    let fetchers = fetches::DocumentFetchers::new(&settings).map_err(process::misconfigured)?;
    let notifier = args.notify.notifier().map_err(process::misconfigured)?;
    let context = Context::start(&args, &process, &client, &instance, fetchers, notifier);
    // From half a picture, a policy would look removed and a Secret deleted.
    context.synced().await;
    context.trigger_everything();
    product::learn_selectors(&context);
    product::run(&process.tasks, &context);
    key::run(&process.tasks, &context);
    rights::run(&process.tasks, &context);
    fetches::run(&process.tasks, &context);
    notify::run(&process.tasks, &context);
    counts::run(&process.tasks, &context);
    caches.ready();
    Ok(())
}
