//! Damage from theft: the rights of the exchange, a token whose account is deleted, the wire.

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::ServiceAccount,
    rbac::v1::{ClusterRoleBinding, RoleRef, Subject},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, PostParams},
};
use portolan_testkit::{command::Line, workdir::Workdir};

use crate::support::{TARGET, account, apply, world};

async fn may(client: &Client, verb: &str, resource: &str, namespace: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let text = |text: &str| Some(text.to_owned());
    let attributes = ResourceAttributes {
        verb: text(verb),
        resource: text(resource),
        subresource: text(subresource),
        namespace: text(namespace),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

#[tokio::test]
async fn the_rights_of_the_exchange_end_at_the_listed_namespaces() {
    let client = world().await.stolen().await;
    for verb in ["get", "list", "watch"] {
        assert!(may(&client, verb, "serviceaccounts", TARGET).await, "{verb}");
    }
    assert!(may(&client, "create", "serviceaccounts/token", TARGET).await);
    let table = [
        ("create", "serviceaccounts/token", "default"),
        ("create", "serviceaccounts/token", "kube-system"),
        ("create", "serviceaccounts/token", ""),
        ("get", "serviceaccounts", "default"),
        ("list", "serviceaccounts", ""),
        ("update", "serviceaccounts", TARGET),
        ("patch", "serviceaccounts", TARGET),
        ("get", "secrets", TARGET),
        ("list", "secrets", ""),
        ("create", "pods", TARGET),
        ("impersonate", "serviceaccounts", TARGET),
    ];
    for (verb, resource, namespace) in table {
        assert!(!may(&client, verb, resource, namespace).await, "{verb} {resource} in {namespace:?}");
    }
}

/// A token of cluster `a` that may, or may not, ask it about tokens, as a file.
async fn delegate(name: &str, may_review: bool) -> String {
    let world = world().await;
    account(&world.a.client(), "default", name, &[]).await;
    if may_review {
        let subject = Subject {
            kind: "ServiceAccount".to_owned(),
            name: name.to_owned(),
            namespace: Some("default".to_owned()),
            ..Subject::default()
        };
        let role = RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: "system:auth-delegator".to_owned(),
        };
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let binding = ClusterRoleBinding { metadata, role_ref: role, subjects: Some(vec![subject]) };
        apply(&Api::all(world.a.client()), &binding).await;
    }
    let token = world.a.token_for("default", name, &[], 3600).await.unwrap();
    world.home.write_private(&format!("{name}.token"), &token).unwrap().display().to_string()
}

#[tokio::test]
async fn a_source_whose_account_is_gone_is_refused_where_its_cluster_is_asked() {
    let world = world().await;
    let config = |token: &str| {
        let entry = world.issuer_a(", mode: hybrid");
        let own = format!("{}/a.token", world.home.path().display());
        format!("issuers:\n{}namespaces: [{TARGET}]\n", entry.replace(&own, token))
    };
    let asking = world.exchange("asking", &config(&delegate("delegate", true).await)).await;
    let barred = world.exchange("barred", &config(&delegate("barred", false).await)).await;
    let trusting = world.exchange("trusting", &world.config("")).await;
    let source = world.source("leaver").await;
    world.target("leaver", &[("kfca_1", &world.binding("leaver"))]).await;
    // A busy cluster may not answer in time.
    let accepted = async || (asking.ask(&source, "leaver").await.status == 200).then_some(());
    portolan_testkit::eventually("the token is good", crate::support::SOON, accepted).await.unwrap();
    let outage = barred.ask(&source, "leaver").await;
    assert_eq!(
        (outage.status, outage.rung().1),
        (503, "temporarily_unavailable"),
        "who cannot ask does not guess"
    );
    let accounts: Api<ServiceAccount> = Api::namespaced(world.a.client(), "default");
    accounts.delete("leaver", &DeleteParams::default()).await.unwrap();
    // The API server itself may still know the account for a moment.
    let refused = async || (asking.ask(&source, "leaver").await.status == 404).then_some(());
    portolan_testkit::eventually("the refusal", crate::support::SOON, refused).await.unwrap();
    asking.reports("leaver", "revoked").await;
    assert_eq!(trusting.ask(&source, "leaver").await.status, 200, "keys alone do not know that it is gone");
}

#[tokio::test]
async fn tokens_travel_over_tls() {
    let (world, home) = (world().await, Workdir::new("exchange-tls").unwrap());
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = home.write_private("tls.key", &made.signing_key.serialize_pem()).unwrap().display().to_string();
    let certificate = home.write_private("tls.crt", &made.cert.pem()).unwrap().display().to_string();
    let flags = ["--tls-cert-file", &certificate, "--tls-key-file", &key].map(str::to_owned);
    let exchange = world.secure_exchange("secure", &world.config(""), &flags).await;
    let source = world.source("secure").await;
    world.target("secure", &[("kfca_1", &world.binding("secure"))]).await;
    let url = format!("https://127.0.0.1:{}", exchange.port);
    let ask = async |more: &[&str]| {
        let target = ["-url", &url, "-token", &source, "-namespace", TARGET, "-service-account", "secure"];
        let arguments = [&target[..], &["-output", "token"], more].concat();
        Line::binary("kfca-cli", home.path(), &arguments).unwrap().run().await.unwrap()
    };
    let trusted = ask(&["-ca-file", &certificate]).await;
    assert_eq!(trusted.code, 0, "{trusted:?}");
    assert_eq!(
        world.who(trusted.stdout.trim()).await,
        Some(format!("system:serviceaccount:{TARGET}:secure"))
    );
    let distrusted = ask(&[]).await;
    assert!(distrusted.code != 0 && distrusted.stdout.is_empty(), "{distrusted:?}");
    assert_ne!(exchange.ask(&source, "secure").await.status, 200, "nothing is answered in plain HTTP");
    assert!(!exchange.log().contains("travel over plain HTTP"));
}
