//! The lab of every figure: two warm clusters, a provider, a konnector, and one binding between them.

use std::{sync::Arc, time::Duration};

use super::raw::{kind, kind_of, of};
use crate::{
    clusters::{self, Clusters, SOON},
    display::Display,
    services::Binaries,
};
use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, PostParams},
};
use parking_lot::Mutex;
use portolan_core::{api::kubebind::BoundSchema, names};
use portolan_testkit::{
    ServiceProcess,
    audit::{AuditEntry, Mark},
    watch_until, workload,
};

/// New control planes have work of their own for a while.
const SETTLE: Duration = Duration::from_secs(5);
/// Time without growth before an audit log is read.
const QUIET: Duration = Duration::from_secs(1);
/// Label of a CRD that chooses the consumer that gets it.
const FOR: &str = "bench-for";
/// The consumer of the binding that is always there.
const STANDING: &str = "standing";

/// The object that is there from the start, and the one of the same name that nobody carries anywhere.
pub(super) const FIRST: &str = "first";
/// The kind that yardsticks use, on both clusters: as the one that is bound, but no export.
const BARE: &str = "bare";

pub(super) struct Lab {
    konnector: Mutex<Arc<ServiceProcess>>,
    provider: ServiceProcess,
    binaries: Binaries,
    // After the services, which talk to them.
    clusters: Clusters,
}

impl Lab {
    pub(super) async fn start(display: &Display, binaries: Binaries) -> Result<Self> {
        let clusters = display.run("control planes", Box::pin(Clusters::start(display))).await?;
        let services = async {
            tokio::try_join!(clusters.start_provider(&binaries), clusters.start_konnector(&binaries))
        };
        let (provider, konnector) = display.run("provider and konnector", Box::pin(services)).await?;
        let konnector = Mutex::new(Arc::new(konnector));
        let lab = Self { konnector, provider, binaries, clusters };
        display.run("a first bundle, bound, with one object in sync", Box::pin(lab.warm_up())).await?;
        Ok(lab)
    }

    /// The konnector that runs now.
    pub(super) fn konnector(&self) -> Arc<ServiceProcess> {
        Arc::clone(&self.konnector.lock())
    }

    /// Ends the konnector as a node does that loses its power, and waits until it is gone.
    pub(super) async fn kill_konnector(&self) -> Result<()> {
        let konnector = self.konnector();
        konnector.kill();
        konnector.wait_exit(SOON).await?;
        Ok(())
    }

    /// Starts another one, and returns when it is ready.
    pub(super) async fn start_konnector(&self) -> Result<()> {
        let started = self.clusters.start_konnector(&self.binaries).await?;
        *self.konnector.lock() = Arc::new(started);
        Ok(())
    }

    /// Places in the audit logs of the consumer and of the provider.
    pub(super) async fn marks(&self) -> Result<(Mark, Mark)> {
        let (consumer, provider) = (self.clusters.consumer.audit(), self.clusters.provider.audit());
        consumer.settled(QUIET).await?;
        provider.settled(QUIET).await?;
        Ok((consumer.mark()?, provider.mark()?))
    }

    /// Counts the konnector's writes on both sides since then, leases and heartbeats apart.
    pub(super) fn writes_since(&self, marks: (Mark, Mark)) -> Result<usize> {
        let ours = |entry: &AuditEntry| {
            let user = &entry.user.username;
            let is_heartbeat = entry.object_ref.as_ref().is_some_and(|at| at.resource == "clusterbindings");
            let is_ours = user.ends_with(":konnector") || user.ends_with(":kube-binder");
            is_ours && entry.is_write() && !entry.is_lease() && !is_heartbeat
        };
        let consumer = self.clusters.consumer.audit().entries_since(marks.0)?;
        let provider = self.clusters.provider.audit().entries_since(marks.1)?;
        Ok(consumer.iter().chain(&provider).filter(|entry| ours(entry)).count())
    }

    pub(super) fn provider_url(&self) -> String {
        self.clusters.provider.server_url()
    }

    pub(super) fn on_provider(&self) -> Client {
        self.clusters.provider.client()
    }

    pub(super) fn on_consumer(&self) -> Client {
        self.clusters.consumer.client()
    }

    /// The objects of the standing binding in namespace `default` of the consumer.
    pub(super) fn origins(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.on_consumer(), "default", &workload::cowboys())
    }

    /// Their copies on the provider.
    pub(super) fn copies(&self) -> Result<Api<DynamicObject>> {
        let namespace = names::mapped_namespace(&names::contract_namespace(STANDING)?, "default", false);
        Ok(Api::namespaced_with(self.on_provider(), &namespace, &workload::cowboys()))
    }

    /// Objects of the bare kind in namespace `default` of a cluster.
    pub(super) fn bare(cluster: Client) -> Api<DynamicObject> {
        Api::namespaced_with(cluster, "default", &Self::bare_kind())
    }

    /// Describes the bare kind to an API.
    pub(super) fn bare_kind() -> ApiResource {
        kind_of(BARE)
    }

    /// Does everything up to the bundle: a CRD for one consumer, its export, its rights, its Secret.
    pub(super) async fn prepare(&self, consumer: &str, crd: CustomResourceDefinition) -> Result<()> {
        let kubeconfig = self.offer(consumer, crd).await?;
        clusters::create_secret(&self.on_consumer(), consumer, &kubeconfig).await
    }

    /// The same without the Secret; gives the kubeconfig that belongs into it.
    pub(super) async fn offer(&self, consumer: &str, mut crd: CustomResourceDefinition) -> Result<String> {
        crd.labels_mut().insert(FOR.to_owned(), consumer.to_owned());
        clusters::offer(&self.on_provider(), &crd).await?;
        clusters::grant(&self.on_consumer(), &crd.spec.group).await?;
        let selector = format!("{FOR}={consumer}");
        let kubeconfig = self.clusters.kubeconfig_for(&self.binaries, consumer, Some(&selector)).await?;
        let schemas: Api<BoundSchema> =
            Api::namespaced(self.on_provider(), &names::contract_namespace(consumer)?);
        watch_until(schemas, &crd.name_any(), |_| true, SOON).await?;
        Ok(kubeconfig)
    }

    /// The kubeconfig of a consumer that gets nothing.
    pub(super) async fn kubeconfig(&self, consumer: &str) -> Result<String> {
        self.clusters.kubeconfig_for(&self.binaries, consumer, Some(&format!("{FOR}={consumer}"))).await
    }

    /// A CRD for the standing consumer that is not exported yet.
    pub(super) fn hidden(crd: &CustomResourceDefinition) -> CustomResourceDefinition {
        let mut crd = crd.clone();
        crd.labels_mut().remove(workload::EXPORTED);
        crd.labels_mut().insert(FOR.to_owned(), STANDING.to_owned());
        crd
    }

    /// Creates the bundle of a consumer that is prepared.
    pub(super) async fn bind(&self, consumer: &str) -> Result<()> {
        clusters::create_bundle(&self.on_consumer(), consumer).await
    }

    async fn warm_up(&self) -> Result<()> {
        let crd = workload::wildwest();
        let name = crd.name_any();
        self.prepare(STANDING, crd).await?;
        self.bind(STANDING).await?;
        clusters::binding_ready(&self.on_consumer(), &name).await?;
        for cluster in [self.on_consumer(), self.on_provider()] {
            workload::install(&cluster, &Self::hidden(&kind(BARE))).await?;
            let first = of(&Self::bare_kind(), workload::cowboy("default", FIRST, "ride"));
            Self::bare(cluster)
                .create(&PostParams::default(), &first)
                .await
                .context("creating a bare object")?;
        }
        let first = workload::cowboy("default", FIRST, "ride");
        self.origins().create(&PostParams::default(), &first).await.context("creating the first object")?;
        watch_until(self.copies()?, FIRST, |_| true, SOON).await?;
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    pub(super) async fn stop(self) {
        let konnector = self.konnector();
        for service in [&*konnector, &self.provider] {
            // One that does not end in time is killed.
            let _ = service.terminate(SOON).await;
        }
    }
}
