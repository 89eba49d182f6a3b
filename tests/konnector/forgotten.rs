//! Connections that a NAT or a load balancer has forgotten: open, and silent for ever.

use std::time::Duration;

use kube::api::DynamicObject;
use portolan_testkit::{control_plane::ControlPlane, eventually::eventually, relay::Relay};
use serde_json::json;

use crate::support::{
    Clusters, Service, binding_condition, create_bundle, konnector, konnector_account, merge, merge_status,
    object_with, plane, provider_service, write_secret,
};

/// A dead connection is noticed within 45 s; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(60);

async fn relay(plane: &ControlPlane) -> Relay {
    let port = plane.server_url().rsplit(':').next().unwrap().parse().unwrap();
    Relay::start(port).await.unwrap()
}

/// A service bound by a konnector that reaches both clusters through relays.
struct Relayed {
    clusters: Clusters,
    service: Service,
    consumer: Relay,
    provider: Relay,
}

impl Relayed {
    async fn start(name: &str) -> Self {
        let names = (format!("{name}-consumer"), format!("{name}-provider"));
        let (consumer, provider) = tokio::join!(plane(&names.0), plane(&names.1));
        let (here, there) = tokio::join!(relay(&consumer), relay(&provider));
        let account = konnector_account(&consumer).await;
        let konnector_kubeconfig = here.in_front_of(&consumer.server_url(), &account);
        let (konnector, healthz) = konnector(&konnector_kubeconfig).await;
        let provider_service = provider_service(&provider).await;
        let clusters =
            Clusters { consumer, provider, konnector, provider_service, healthz, konnector_kubeconfig };
        let service = Service::offer(&clusters, name).await;
        let kubeconfig = there.in_front_of(&clusters.provider.server_url(), &service.kubeconfig);
        write_secret(&service.consumer, name, "kubeconfig", &kubeconfig).await;
        create_bundle(&service.consumer, name, name).await;
        binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
        Self { clusters, service, consumer: here, provider: there }
    }

    /// Waits until an object has come to the provider, and fails when that takes too long.
    async fn crosses(&self, name: &str, intent: &str) {
        let in_time = eventually(&format!("{name} crosses"), NOTICED, async || {
            let copy = self.service.there().get(name).await?;
            Ok::<_, kube::Error>((copy.data["spec"]["intent"] == intent).then_some(()))
        })
        .await;
        assert!(in_time.is_ok(), "{in_time:?}\n{}", self.clusters.konnector.log_tail(100));
    }

    /// Waits until a status has come to the consumer.
    async fn returns(&self, name: &str, result: &str) {
        let in_time = eventually(&format!("the status of {name} returns"), NOTICED, async || {
            let object = self.service.here().get(name).await?;
            Ok::<_, kube::Error>((object.data["status"]["result"] == result).then_some(()))
        })
        .await;
        assert!(in_time.is_ok(), "{in_time:?}\n{}", self.clusters.konnector.log_tail(100));
    }

    async fn create(&self, name: &str) -> DynamicObject {
        self.service.create(name, &json!({"intent": "ride"})).await
    }

    async fn metrics(&self) -> String {
        self.clusters.konnector.metrics().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_while_connections_are_forgotten_crosses_within_45_seconds() {
    let relayed = Box::pin(Relayed::start("forgotten")).await;
    relayed.create("before").await;
    relayed.crosses("before", "ride").await;
    relayed.consumer.forget();
    relayed.create("here").await;
    relayed.crosses("here", "ride").await;
    relayed.provider.forget();
    merge_status(&relayed.service.there(), "before", json!({"result": "arrived"})).await;
    relayed.returns("before", "arrived").await;
    // What is written finds another connection at once, long before the old one is known to be dead.
    relayed.consumer.forget();
    relayed.provider.forget();
    merge(&relayed.service.here(), "here", json!({"spec": {"intent": "rest"}})).await;
    relayed.crosses("here", "rest").await;
    assert!(relayed.clusters.konnector.exited().is_none(), "it keeps its lease through all of this");
    let metrics = relayed.metrics().await;
    for cluster in ["own", "remote"] {
        let name = format!("portolan_konnector_api_connections_lost_total{{cluster=\"{cluster}\"}}");
        assert!(metrics.contains(&name), "{metrics}");
    }
    let _ = object_with(&relayed.service.there(), "before", "is still there", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_connections_carry_all_watches() {
    let relayed = Box::pin(Relayed::start("few")).await;
    relayed.create("one").await;
    relayed.crosses("one", "ride").await;
    let (here, there) = (relayed.consumer.accepted(), relayed.provider.accepted());
    assert!((1..=8).contains(&here) && (1..=8).contains(&there), "{here} and {there} connections");
}
