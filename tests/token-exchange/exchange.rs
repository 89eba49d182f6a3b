//! The exchange for a user: a token of the other cluster, with the rights that it has there and no more.

use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret},
    rbac::v1::{Role, RoleBinding},
};
use kube::{Api, api::ListParams};
use portolan_testkit::eventually;
use serde_json::json;

use crate::support::{SOON, TARGET, apply, world};

#[tokio::test]
async fn an_account_of_a_works_on_b_with_the_rights_it_has_there() {
    let world = world().await;
    let exchange = world.exchange("flow", &world.config("")).await;
    let source = world.source("flow").await;
    world.target("flow", &[("kfca_1", &world.binding("flow"))]).await;
    let role = json!({"metadata": {"name": "flow"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]});
    let bound = json!({"metadata": {"name": "flow"},
        "subjects": [{"kind": "ServiceAccount", "namespace": TARGET, "name": "flow"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "flow"}});
    let client = world.b.client();
    apply::<Role>(&Api::namespaced(client.clone(), TARGET), &serde_json::from_value(role).unwrap()).await;
    apply::<RoleBinding>(&Api::namespaced(client, TARGET), &serde_json::from_value(bound).unwrap()).await;

    let answer = exchange.ask(&source, "flow").await;
    assert_eq!(answer.status, 200, "{} {}", answer.text, exchange.log());
    assert!(answer.headers.contains("cache-control: no-store"));
    assert!(answer.body["status"]["expirationTimestamp"].as_str().unwrap().ends_with('Z'));
    let user = format!("system:serviceaccount:{TARGET}:flow");
    assert_eq!(world.who(answer.token()).await, Some(user));
    assert_eq!(world.who(&source).await, None, "the source itself is nobody on b");
    let there = world.client(answer.token()).await;
    let allowed = Api::<ConfigMap>::namespaced(there.clone(), TARGET);
    let listed = async || allowed.list(&ListParams::default()).await.map(Some);
    eventually("what its Role allows", SOON, listed).await.unwrap();
    let refused = Api::<Secret>::namespaced(there, TARGET).list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403), "what no Role allows");
}
