//! `gateway check`: the documents and everything that they name, one mark and one cure each.

use std::{process::ExitCode, time::Duration};

use portolan_runtime::{
    check::{self, Check, CheckArgs},
    metrics::Metrics,
    tasks::Tasks,
    telemetry::ErrorChain,
    traces,
};
use tokio::time::timeout;

use crate::{
    apis::ApiRegistry,
    args::{ServiceArgs, SourceArgs},
    endpoint::ClusterEndpoint,
    metrics::GatewayMetrics,
    persisted,
    source::SourceListing,
};

/// Limit for an API server to answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// Limit for a source to list its documents. A listener that has just started tries every cluster first.
const SOURCE_PATIENCE: Duration = Duration::from_secs(45);

fn entry(name: impl Into<String>, result: Result<String, String>, cure: &str, place: &str) -> Check {
    Check::new(name, result, cure, format!("docs/gateway.md#{place}"))
}

/// Runs the checks.
pub fn run(service: &ServiceArgs, args: &CheckArgs) -> ExitCode {
    check::run(&service.log, args, || checks(service))
}

async fn checks(service: &ServiceArgs) -> Vec<Check> {
    let tasks = Tasks::default();
    let mut all = vec![check::tls(&service.tls, service.plain_http, &tasks, "docs/gateway.md#tls").await];
    let found = timeout(SOURCE_PATIENCE, SourceListing::of(&service.source)).await;
    let found = found.unwrap_or_else(|_| Err("it does not list its documents in time".to_owned()));
    all.push(about_source(&service.source, &found));
    if let Some(directory) = &service.persisted.persisted_documents {
        let told = persisted::read(directory).await.map(|all| format!("{} documents", all.count()));
        let cure = "let the files be queries in UTF-8 that the gateway's user may read";
        all.push(entry(
            format!("persisted documents {}", directory.display()),
            told,
            cure,
            "persisted-documents",
        ));
    }
    all.extend(traces::check(&service.traces, "docs/gateway.md#traces").await);
    if let Ok(mut listing) = found {
        let (apis, metrics) = (ApiRegistry::default(), GatewayMetrics::register(&Metrics::new("gateway")));
        for (name, listed) in std::mem::take(&mut listing.documents) {
            let bytes = listing.read(&listed).await;
            all.extend(about(&name, bytes, (&apis, &service.source.allowed_hosts, &metrics)).await);
        }
    }
    tasks.cancel();
    all
}

fn about_source(source: &SourceArgs, found: &Result<SourceListing, String>) -> Check {
    let is_listener = source.listener_url.is_some();
    let told = match found {
        // A listener without a ClusterAccess is sound; an empty directory may be the wrong one.
        Ok(listing) if listing.documents.is_empty() && is_listener => {
            Ok("no document yet: create a ClusterAccess".to_owned())
        }
        Ok(listing) if listing.documents.is_empty() => Err("it has no document".to_owned()),
        Ok(listing) => Ok(format!("{} documents", listing.documents.len())),
        Err(reason) => Err(reason.clone()),
    };
    let Some(url) = &source.listener_url else {
        let cure = "let the listener write to this directory, or set --definitions or --listener-url";
        return entry(format!("directory {}", source.directory().display()), told, cure, "documents");
    };
    let cure = "look at --listener-url, at --listener-ca-file, at the audience of the token, and at --gateway-accounts of the listener";
    entry(format!("listener {url}"), told, cure, "take-documents-from-a-listener")
}

async fn about(
    name: &str,
    bytes: Result<Vec<u8>, String>,
    (apis, hosts, metrics): (&ApiRegistry, &[String], &GatewayMetrics),
) -> Vec<Check> {
    let made = match bytes {
        Ok(bytes) => ClusterEndpoint::of(name, &bytes, (apis, hosts), metrics.calls(name))
            .await
            .map_err(|error| ErrorChain(&error).to_string()),
        Err(reason) => Err(reason),
    };
    let told =
        made.as_ref().map(|endpoint| format!("{} kinds", endpoint.api.kinds.len())).map_err(Clone::clone);
    let document = entry(format!("document {name}"), told, "let the listener write it again", "documents");
    let server = format!("API server of {name}");
    let Ok(endpoint) = made else {
        return vec![
            document,
            Check::skipped(server, "its document cannot be used", "docs/gateway.md#documents"),
        ];
    };
    let asked = timeout(PATIENCE, endpoint.upstream.is_there()).await;
    let told = match asked {
        Ok(Ok(())) => Ok(format!("{} answers", endpoint.destination.server)),
        Ok(Err(error)) => Err(format!("{}: {error}", endpoint.destination.server)),
        Err(_) => Err(format!("{} does not answer", endpoint.destination.server)),
    };
    let cure = "see whether the address is right and can be reached from here, and whether ca.data is of its authority";
    vec![document, entry(server, told, cure, "documents")]
}
