//! Two replicas: one renews, both have what it renewed, and the other goes on when it is gone.

use std::time::Duration;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Secret};
use kube::Api;
use portolan_testkit::{eventually::eventually, service::ServiceAccountSetup};

use crate::support::{SOON, Service, clusters};

const NAMESPACE: &str = "replicas";

#[tokio::test]
async fn one_replica_renews_and_the_other_takes_over() {
    let clusters = clusters().await;
    let kubeconfig = ServiceAccountSetup::new("token-service", NAMESPACE).create(&clusters.a).await.unwrap();
    let first = clusters.b.token_for("fed", "reader", &[], 600).await.unwrap();
    let file = clusters.home.write_private("replicas.token", &first).unwrap();
    let entry = clusters.entry("b", "b", ", mode: review");
    let usual = format!("{}/b.token", clusters.home.path().display());
    let entry = entry.replace(&usual, &file.display().to_string());
    // Due again as soon as it is renewed: every turn of the leader shows.
    let config =
        format!("renewal: {{interval: 2s, token_duration: 2h, renew_before: 119m59s}}\nclusters:\n{entry}");
    let start = async |name: &str| Box::pin(clusters.service_as(name, &config, &kubeconfig, NAMESPACE)).await;
    let (one, two) = (start("replica-one").await, start("replica-two").await);
    let leases: Api<Lease> = Api::namespaced(clusters.a.client(), NAMESPACE);
    let holder = async || {
        let lease = leases.get_opt("portolan-token-service").await.ok()??;
        lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
    };
    let leader = eventually("a leader", SOON, holder).await.unwrap();
    let renewed = |service: &Service| service.log().matches("the credential is renewed").count();
    let (leading, following) = if leader.contains("replica-one") { (one, two) } else { (two, one) };
    // In as many turns, the other one would have done it, too.
    eventually("three renewals", SOON, async || (renewed(&leading) > 2).then_some(())).await.unwrap();
    let fresh = async || {
        let listed = following.send("GET", "/clusters", "x", "", b"").await;
        let left = listed.body["clusters"][0]["token_status"]["expires_in"].as_str()?.to_owned();
        (left.starts_with("1h5") || left.starts_with("2h")).then_some(())
    };
    eventually("the follower has it too", SOON, fresh).await.unwrap();
    assert_eq!(renewed(&following), 0, "one replica renews");
    // Both answer.
    let token = clusters.b.token_for("default", "app", &["x"], 600).await.unwrap();
    for service in [&leading, &following] {
        assert!(service.answered("b", &token, &["x"]).await.authenticated());
    }
    leading.process.terminate(Duration::from_secs(20)).await.unwrap();
    eventually("the other renews", SOON * 2, async || (renewed(&following) > 0).then_some(())).await.unwrap();
    assert_ne!(holder().await, Some(leader));
    assert!(following.answered("b", &token, &["x"]).await.authenticated());
    let secrets: Api<Secret> = Api::namespaced(clusters.a.client(), NAMESPACE);
    let kept = secrets.get("kube-federated-auth").await.unwrap().data.unwrap();
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["b-token"]);
}
