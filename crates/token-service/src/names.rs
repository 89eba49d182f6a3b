//! Keeps the host names of clusters, `api.<cluster>.kube-fed.svc.cluster.local`, in the cluster's DNS. The replica that
//! leads writes, for each cluster, a headless Service of its name and `EndpointSlice`s with our own address.

pub mod plan;
pub mod rewrite;

use std::{sync::Arc, time::Duration};

use futures::future::try_join;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{Api, Client, api::ListParams};
use portolan_runtime::{
    apply::{self, WriteError},
    telemetry::ErrorChain,
};
use tokio::time::sleep;
use tracing::{info, warn};

use self::plan::{MANAGER, Observed, Step, plan};
use crate::{host, state::ServiceState};

/// Interval of looking for changes that others made.
const AGAIN: Duration = Duration::from_secs(30);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// The names: where they are kept, and where they lead.
#[derive(Clone)]
pub struct Names {
    services: Api<Service>,
    slices: Api<EndpointSlice>,
    /// The Service that requests come through.
    front: String,
}

impl Names {
    pub fn new(client: &Client, namespace: &str, front: &str) -> Self {
        if namespace != host::NAMESPACE {
            warn!(
                namespace,
                "--cluster-names makes names such as api.app1.{namespace}.svc, which mean no cluster: install into the namespace {}",
                host::NAMESPACE
            );
        }
        Self {
            services: Api::namespaced(client.clone(), namespace),
            slices: Api::namespaced(client.clone(), namespace),
            front: front.to_owned(),
        }
    }

    /// Keeps them for ever, as the configuration changes.
    pub async fn keep(&self, state: &ServiceState) {
        let mut told = Vec::new();
        loop {
            let snapshot = state.snapshot();
            let wanted = snapshot.clusters.keys().map(String::as_str).filter(|name| host::is_named(name));
            let pause = match self.reconcile(&wanted.collect::<Vec<_>>()).await {
                Ok(complaints) => {
                    complaints.iter().filter(|line| !told.contains(*line)).for_each(|line| warn!("{line}"));
                    told = complaints;
                    AGAIN
                }
                Err(error) => {
                    warn!("failed to keep the names of clusters: {}", ErrorChain(&error));
                    RETRY
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = state.replaced() => {}
            }
        }
    }

    async fn reconcile(&self, wanted: &[&str]) -> Result<Vec<String>, WriteError> {
        let (steps, mut complaints) = plan(wanted, &self.observe().await?);
        for step in &steps {
            match self.perform(step).await {
                Ok(()) => info!("names of clusters: {step}"),
                // Nobody else's name waits for it. It is looked at again soon.
                Err(error) if error.is_conflict() => {
                    warn!("names of clusters: {step}: somebody else wrote first");
                }
                Err(error @ WriteError::Invalid(_)) => {
                    complaints.push(format!("names of clusters: {step}: {}", ErrorChain(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(complaints)
    }

    async fn observe(&self) -> Result<Observed, WriteError> {
        let all = ListParams::default();
        let (services, slices) = try_join(self.services.list(&all), self.slices.list(&all)).await?;
        Ok(Observed { front: self.front.clone(), services: services.items, slices: slices.items })
    }

    async fn perform(&self, step: &Step) -> Result<(), WriteError> {
        match step {
            Step::Service(body, found) => apply::apply(&self.services, MANAGER, body, found).await.map(drop),
            Step::Slice(body, found) => apply::apply(&self.slices, MANAGER, body, found).await.map(drop),
            Step::DeleteService { name, uid } => apply::delete(&self.services, name, uid).await,
            Step::DeleteSlice { name, uid } => apply::delete(&self.slices, name, uid).await,
        }
    }
}

/// Keeps them for as long as there is somebody who leads; without names to keep, waits for ever.
pub async fn keep(names: Option<&Names>, state: &Arc<ServiceState>) {
    match names {
        Some(names) => names.keep(state).await,
        None => std::future::pending().await,
    }
}
