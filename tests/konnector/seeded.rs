//! Objects that a provider and its consumer have to exchange before anything is bound.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use portolan_core::api::kubebind::{APIServiceNamespace, ClusterBinding};
use portolan_testkit::eventually::{watch_until, watch_until_gone};
use serde_json::json;

use crate::support::{SOON, clusters, create_bundle, kubeconfig_for, write_secret};

#[tokio::test]
async fn namespaces_of_the_provider_and_signs_of_life_come_before_the_first_binding() {
    let clusters = clusters().await;
    let (consumer, provider) = (clusters.consumer.client(), clusters.provider.client());
    let kubeconfig = kubeconfig_for(clusters, "seeded", "nothing=exported").await;
    let requests: Api<APIServiceNamespace> = Api::namespaced(provider.clone(), "kube-bind-seeded");
    let seed = async |name: &str, owner: &str| {
        let request = json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceNamespace", "spec": {},
            "metadata": {"name": name, "labels": {"kube-bind.io/owner": owner}},
        });
        requests.create(&PostParams::default(), &serde_json::from_value(request).unwrap()).await.unwrap();
    };
    seed("seeded-before", "provider").await;
    seed("seeded-not", "consumer").await;
    seed("kube-seeded", "provider").await;
    write_secret(&consumer, "seeded", "kubeconfig", &kubeconfig).await;
    create_bundle(&consumer, "seeded", "seeded").await;

    let mine: Api<Namespace> = Api::all(consumer.clone());
    let made = watch_until(mine.clone(), "seeded-before", |_| true, SOON).await.unwrap();
    assert_eq!(made.labels()["kube-bind.io/owner"], "provider");
    let contract: Api<ClusterBinding> = Api::namespaced(provider, "kube-bind-seeded");
    let is_alive =
        |of: &ClusterBinding| of.status.as_ref().is_some_and(|status| status.last_heartbeat_time.is_some());
    watch_until(contract, "cluster", is_alive, SOON).await.unwrap();

    seed("seeded-later", "provider").await;
    watch_until(mine.clone(), "seeded-later", |_| true, SOON).await.unwrap();
    for name in ["seeded-not", "kube-seeded"] {
        assert!(mine.get_opt(name).await.unwrap().is_none(), "{name}");
    }
    // What the provider takes back stays with the consumer's people.
    requests.delete("seeded-before", &DeleteParams::default()).await.unwrap();
    watch_until_gone(requests, "seeded-before", SOON).await.unwrap();
    assert!(mine.get("seeded-before").await.unwrap().metadata.deletion_timestamp.is_none());
}
