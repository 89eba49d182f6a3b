//! Parts that the steps of the walk-through share: clusters, running services, files.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use kube::Client;
use portolan_testkit::{ServiceProcess, cert_manager, workdir::Workdir};

use crate::{clusters::Clusters, services::Binaries};

/// Limit for a service to end by itself.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Number of lines of a log to show.
const TAIL: usize = 30;

/// The world that is walked through. Dropping it ends every process and removes every file.
pub(super) struct World {
    pub(super) clusters: Clusters,
    pub(super) binaries: Binaries,
    /// In the order in which they were started.
    services: Vec<(&'static str, ServiceProcess)>,
    /// A real service of the provider, where it was asked for.
    pub(super) cert_manager: Option<cert_manager::Running>,
    files: Workdir,
}

impl World {
    /// Clusters without a service, and the kubeconfigs of their administrators as files.
    pub(super) fn new(clusters: Clusters, binaries: Binaries) -> Result<Self> {
        let world =
            Self { clusters, binaries, services: Vec::new(), cert_manager: None, files: Workdir::new("up")? };
        world.clusters.provider.write_kubeconfig(&world.file("provider-admin.kubeconfig"))?;
        world.clusters.consumer.write_kubeconfig(&world.file("consumer-admin.kubeconfig"))?;
        Ok(world)
    }

    pub(super) fn provider(&self) -> Client {
        self.clusters.provider.client()
    }

    pub(super) fn consumer(&self) -> Client {
        self.clusters.consumer.client()
    }

    /// Path of the file of this name.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        self.files.write_private(name, text).map(drop)
    }

    pub(super) fn started(&mut self, name: &'static str, service: ServiceProcess) {
        self.services.push((name, service));
    }

    /// The services with where their admin ports answer.
    pub(super) fn services(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.services.iter().map(|(name, service)| (*name, service.admin_url()))
    }

    /// The end of each service's log.
    pub(super) fn logs(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.services.iter().map(|(name, service)| (*name, service.log_tail(TAIL)))
    }

    /// The services that do not run any more, and how their logs end.
    pub(super) fn ended(&self) -> impl Iterator<Item = (&'static str, String)> {
        let ended = self.services.iter().filter(|(_, service)| service.exited().is_some());
        ended.map(|(name, service)| (*name, service.log_tail(TAIL)))
    }

    /// Ends the services as Kubernetes would, the last one first; the rest goes with the world.
    pub(super) async fn stop(self) {
        for (_, service) in self.services.iter().rev() {
            // One that does not end in time is killed.
            let _ = service.terminate(END_WITHIN).await;
        }
    }
}
