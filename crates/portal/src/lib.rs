//! The developer portal for people: a REST API and pages over APIProducts and APIKeys.
//!
//! It follows APIProducts, APIKeys, HTTPRoutes, PlanPolicies and AuthPolicies with its own account, which reads nothing
//! else but the ConfigMaps with large OpenAPI texts, and writes Events. Whatever a caller changes or reveals, the API
//! server is asked with the caller's own credential, so RBAC and the admission policies of the controller's chart
//! decide, as they do for kubectl. Lists come from the caches, cut down to what the caller may see.

mod access;
mod app;
mod args;
mod attach;
mod caller;
mod check;
mod credential;
mod door;
mod entity;
mod foreign;
mod http;
mod key_change;
mod list;
mod metrics;
mod mistake;
mod news;
mod openapi;
mod paths;
mod problem;
mod product_change;
mod reveal;
mod rows;
mod rules;
mod session;
mod sight;
mod stores;
mod trial;
mod upstream;
mod usage;

use std::{process::ExitCode, sync::Arc};

use portolan_runtime::{
    process::{self, Process},
    server,
    tls::{NoTls, ServerTls},
};

pub use crate::args::Args;
use crate::{app::App, args::ServiceArgs, mistake::FlagMistake};

/// Runs a command, or the service until it is told to stop.
pub fn run(args: &Args) -> ExitCode {
    let service = &args.service;
    if let Some(mistake) = FlagMistake::of(service) {
        return process::usage(&mistake);
    }
    match &args.command {
        Some(args::Command::Check(args)) => check::run(service, args),
        None if service.tls.tls_cert_file.is_none() && !service.plain_http => process::usage(&NoTls),
        None => process::run_asked("portal", &service.log, &service.admin, service.drain, |process| {
            start(service.clone(), process)
        }),
    }
}

async fn start(args: ServiceArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let tasks = &process.tasks;
    // Named before anything is awaited: nobody sees the portal ready while it still starts.
    let caches = process.readiness.expect("caches", "listing everything for the first time");
    let app = Arc::new(App::start(&args, &process).await?);
    let tls = ServerTls::start(&args.tls, tasks).await?;
    server::serve(tasks, args.listen_address(), tls, http::router(Arc::clone(&app))).await?;
    tasks.spawn("caches", async move {
        app.stores.synced().await;
        caches.ready();
    });
    Ok(())
}
