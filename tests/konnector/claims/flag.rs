//! Consent that the konnector is started with, and claims that a provider takes the rights for away again.

use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret},
    rbac::v1::Role,
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use portolan_testkit::eventually::watch_until;
use serde_json::{Value, json};

use super::{bind, by_label, claims_are, grant, here, make, map, offer, secret, there};
use crate::support::{Clusters, SOON, konnector, konnector_as};

fn both(name: &str) -> Value {
    let claim = |resource| json!({"resource": resource, "selector": {"labelSelector": {"matchLabels": {"claimed": name}}}});
    json!([claim("configmaps"), claim("secrets")])
}

#[tokio::test]
async fn what_the_flag_names_is_met_without_a_word_on_the_bundle_and_nothing_else_is() {
    let mut clusters = Box::pin(Clusters::start("claims-flag")).await;
    grant(&clusters.consumer.client()).await;
    clusters.konnector.kill();
    let flags = ["--accept-claims=configmaps"];
    (clusters.konnector, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &flags).await;
    let service = offer(&clusters, "claims-flag", &both("claims-flag")).await;
    let message = claims_are(&service, ("False", "ClaimNotAccepted")).await;
    assert!(message.contains("claims secrets,"), "{message}");
    make::<Secret>(&here(&service), secret("hidden", Some("claims-flag"), "hunter2")).await;
    for name in ["first", "second"] {
        make::<ConfigMap>(&here(&service), map(name, Some("claims-flag"), "v")).await;
        watch_until(there::<ConfigMap>(&service), name, |_| true, SOON).await.unwrap();
    }
    assert!(there::<Secret>(&service).get_opt("hidden").await.unwrap().is_none());
}

#[tokio::test]
async fn claimed_objects_that_the_provider_does_not_let_us_watch_are_told_with_its_answer() {
    let mut clusters = Box::pin(Clusters::start("claims-lost")).await;
    grant(&clusters.consumer.client()).await;
    let service = bind(&clusters, "claims-lost", &by_label("secrets", "claims-lost")).await;
    make::<Secret>(&here(&service), secret("mine", Some("claims-lost"), "hunter2")).await;
    watch_until(there::<Secret>(&service), "mine", |_| true, SOON).await.unwrap();
    // Nobody repairs the rights, and a new konnector relists.
    clusters.provider_service.kill();
    clusters.konnector.kill();
    let roles: Api<Role> = there(&service);
    let none = Patch::Merge(json!({"rules": []}));
    roles.patch("kube-binder-exports", &PatchParams::default(), &none).await.unwrap();
    (clusters.konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    let message = claims_are(&service, ("False", "ClaimSyncFailed")).await;
    assert!(message.contains("secrets") && message.contains("403"), "{message}");
}
