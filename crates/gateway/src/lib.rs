//! The gateway: GraphQL over every cluster, at `/{cluster}/graphql`.
//!
//! It follows a directory of schema documents, or the stream of a listener, and writes nothing. Each request goes to the cluster's API server with
//! the caller's own token, over connections that carry no other credential; answers are written from their bytes.

mod alike;
mod apis;
mod args;
mod bounds;
mod changes;
mod check;
mod document;
mod endpoint;
mod error;
mod execute;
mod fleet;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod identity;
mod input;
mod lines;
mod mcp;
mod memory;
mod metrics;
mod names;
mod persisted;
mod plan;
mod plans;
mod scan;
mod schema;
mod silent;
mod source;
mod state;
mod subscribe;
mod upstream;
mod yaml;

use std::{process::ExitCode, sync::Arc};

use portolan_runtime::{
    process::{self, Process},
    server,
    tls::{NoTls, ServerTls},
    traces::Traces,
};

pub use crate::args::Args;
use crate::{args::ServiceArgs, metrics::GatewayMetrics, state::GatewayState};

/// Runs a command, or the service until it is told to stop.
pub fn run(args: &Args) -> ExitCode {
    let service = &args.service;
    if let Some(mistake) = service.mistake() {
        return process::usage(&mistake);
    }
    match &args.command {
        Some(args::Command::Check(args)) => check::run(service, args),
        None if service.tls.tls_cert_file.is_none() && !service.plain_http => process::usage(&NoTls),
        None => process::run_asked("gateway", &service.log, &service.admin, service.drain, |process| {
            start(service.clone(), process)
        }),
    }
}

async fn start(args: ServiceArgs, process: Process) -> Result<(), process::ProcessFailure> {
    let tasks = &process.tasks;
    let metrics = GatewayMetrics::register(&process.metrics);
    let traces = Traces::start("gateway", &args.traces, &process)?;
    let state = Arc::new(GatewayState::new(&args, (metrics, traces), &process));
    tasks.spawn_critical("documents", source::follow(args.source.clone(), Arc::clone(&state)));
    if let Some(directory) = args.persisted.persisted_documents.clone() {
        let ready = process.readiness.expect("persisted documents", "they have not been read yet");
        let following = persisted::follow(Arc::clone(&state.persisted), directory, ready);
        tasks.spawn_critical("persisted documents", following);
    }
    let tls = ServerTls::start(&args.tls, tasks).await?;
    let router = http::router(state, args.cors_allowed_origins.clone(), args.console);
    server::serve(tasks, args.listen_address(), tls, router).await?;
    Ok(())
}
