//! Facts that only the cluster itself knows: deleted pods and accounts, and the verdicts while it cannot be asked.

use std::time::Duration;

use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount},
    rbac::v1::ClusterRoleBinding,
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use portolan_testkit::eventually::eventually;
use serde_json::json;

use crate::support::{ISSUER, RELEASE, SOON, account, clusters, pod};

async fn bound_token(client: &Client, pod: &Pod) -> String {
    let reference = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    };
    let spec = TokenRequestSpec { bound_object_ref: Some(reference), ..TokenRequestSpec::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let request = TokenRequest { spec, ..TokenRequest::default() };
    accounts
        .create_token_request("app", &PostParams::default(), &request)
        .await
        .unwrap()
        .status
        .unwrap()
        .token
}

#[tokio::test]
async fn a_deleted_pod_is_noticed_by_review_and_hybrid_and_not_by_keys() {
    let clusters = clusters().await;
    let config = format!(
        "clusters:\n{}{}{}",
        clusters.entry("keys", "a", ""),
        clusters.entry("review", "a", ", mode: review, cache: 1s"),
        clusters.entry("hybrid", "a", ", mode: hybrid, cache: 1s"),
    );
    let service = Box::pin(clusters.service("revocation", &config)).await;
    let client = clusters.a.client();
    let pod = pod(&client, "short-lived").await;
    let token = bound_token(&client, &pod).await;
    for cluster in ["keys", "review", "hybrid"] {
        let answer = service.answered(cluster, &token, &[]).await;
        assert!(answer.authenticated(), "{cluster}: {answer:?}");
        let extra = &answer.body["status"]["user"]["extra"];
        assert_eq!(extra["authentication.kubernetes.io/pod-name"], json!(["short-lived"]), "{cluster}");
        let by = (cluster == "hybrid").then(|| json!(["review"]));
        assert_eq!(extra.get("portolan/checked-by"), by.as_ref());
    }
    let pods: Api<Pod> = Api::namespaced(client, "default");
    pods.delete("short-lived", &DeleteParams::default().grace_period(0)).await.unwrap();
    for cluster in ["review", "hybrid"] {
        let refused = async || {
            let answer = service.answered(cluster, &token, &[]).await;
            (!answer.authenticated()).then(|| answer.error().to_owned())
        };
        let error = eventually("the refusal", SOON, refused).await.unwrap();
        assert_eq!(error, "token has been invalidated", "{cluster}");
    }
    assert!(service.review("keys", &token, &[]).await.authenticated(), "keys alone cannot know");
}

#[tokio::test]
async fn a_deleted_account_is_noticed_by_review_and_hybrid() {
    let clusters = clusters().await;
    let config = format!(
        "clusters:\n{}{}",
        clusters.entry("review", "a", ", mode: review, cache: 1s"),
        clusters.entry("hybrid", "a", ", mode: hybrid, cache: 1s"),
    );
    let service = Box::pin(clusters.service("leaver", &config)).await;
    account(&clusters.a.client(), "default", "leaver").await;
    let token = clusters.a.token_for("default", "leaver", &["x"], 600).await.unwrap();
    for cluster in ["review", "hybrid"] {
        assert!(service.answered(cluster, &token, &["x"]).await.authenticated(), "{cluster}");
        let other = service.answered(cluster, &token, &["y"]).await;
        assert_eq!(other.error(), "token audiences [x] do not match [y]", "{cluster}");
    }
    let other = service.answered("review", &token, &[]).await;
    assert_eq!(other.error(), "token audiences [x] are not those of the cluster");
    let accounts: Api<ServiceAccount> = Api::namespaced(clusters.a.client(), "default");
    accounts.delete("leaver", &DeleteParams::default()).await.unwrap();
    // One that is recreated under the same name is another account.
    account(&clusters.a.client(), "default", "leaver").await;
    for cluster in ["review", "hybrid"] {
        let refused = async || {
            let answer = service.answered(cluster, &token, &["x"]).await;
            (!answer.authenticated()).then(|| answer.error().to_owned())
        };
        let error = eventually("the refusal", SOON, refused).await.unwrap();
        assert_eq!(error, "token has been invalidated", "{cluster}");
    }
}

#[tokio::test]
async fn an_outage_is_denied_or_accepted_as_configured_and_never_kept() {
    let clusters = clusters().await;
    let keys = portolan_testkit::ports::free_port().unwrap();
    let dir = clusters.home.path().display().to_string();
    // Keys from where they are, reviews from where nobody listens.
    let entry = |name: &str, more: &str| {
        let url = clusters.a.server_url();
        format!(
            "  {name}: {{issuer: {ISSUER}, api_server: 'https://127.0.0.1:{keys}', jwks_uri: '{url}/openid/v1/jwks', \
             ca_cert: '{dir}/a.crt', token_path: '{dir}/a.token', allow_addresses: [127.0.0.1]{more}}}\n"
        )
    };
    grant_keys_to_everybody(&clusters.a.client()).await;
    let config = format!(
        "clusters:\n{}{}{}{}",
        entry("deny", ", mode: hybrid"),
        entry("accept", ", mode: hybrid, onOutage: accept"),
        entry("briefly", ", mode: hybrid, onOutage: accept, acceptFor: 3s, cache: 0s"),
        entry("review", ", mode: review"),
    );
    let service = Box::pin(clusters.service("outage", &config)).await;
    let token = clusters.a.token_for("default", "app", &["x"], 600).await.unwrap();
    for cluster in ["deny", "review"] {
        let answer = service.review(cluster, &token, &["x"]).await;
        assert_eq!(answer.error(), "token could not be checked: cluster unavailable", "{cluster}");
        assert!(!answer.body.to_string().contains("127.0.0.1"), "no address is told");
    }
    let answer = service.review("accept", &token, &["x"]).await;
    assert!(answer.authenticated(), "{answer:?}");
    assert_eq!(answer.body["status"]["user"]["extra"]["portolan/checked-by"], json!(["keys-during-outage"]));
    let foreign = clusters.b.token_for("default", "app", &["x"], 600).await.unwrap();
    assert!(!service.review("accept", &foreign, &["x"]).await.authenticated(), "the keys still decide");
    assert!(service.review("briefly", &token, &["x"]).await.authenticated());
    let over = async || {
        let answer = service.review("briefly", &token, &["x"]).await;
        (!answer.authenticated()).then(|| answer.error().to_owned())
    };
    let error = eventually("the end of trust in keys alone", SOON, over).await.unwrap();
    assert_eq!(error, "token could not be checked: cluster unavailable");
}

#[tokio::test]
async fn a_cluster_that_does_not_let_us_ask_has_no_outage() {
    let clusters = clusters().await;
    // It may read the keys, as every account may, and no more.
    account(&clusters.a.client(), "default", "poor").await;
    let poor = clusters.a.token_for("default", "poor", &[], 600).await.unwrap();
    let file = clusters.home.write_private("poor.token", &poor).unwrap().display().to_string();
    let rich = clusters.home.path().join("a.token").display().to_string();
    let entry = clusters.entry("poor", "a", ", mode: hybrid, onOutage: accept, cache: 0s");
    let config = format!("clusters:\n{}", entry.replace(&rich, &file));
    let service = Box::pin(clusters.service("no-outage", &config)).await;
    let token = clusters.a.token_for("default", "app", &["x"], 600).await.unwrap();
    let asked = async || {
        let answer = service.review("poor", &token, &["x"]).await;
        assert!(!answer.authenticated(), "{answer:?}");
        service.log().contains("it answered 403").then(|| answer.error().to_owned())
    };
    let error = eventually("the refusal of our own account", SOON, asked).await.unwrap();
    assert_eq!(error, "token could not be checked: cluster unavailable");
}

/// Keys are public; here they are asked for on a host that gets no credential.
async fn grant_keys_to_everybody(client: &Client) {
    let binding = json!({"metadata": {"name": "keys-for-everybody"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                    "name": "system:service-account-issuer-discovery"}});
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
}

#[tokio::test]
async fn credentials_renew_themselves_and_survive_a_restart() {
    let clusters = clusters().await;
    let client = clusters.a.client();
    let dir = clusters.home.path().display().to_string();
    let first = clusters.b.token_for("fed", "reader", &[], 600).await.unwrap();
    let file = clusters.home.write_private("renewed.token", &format!("{first}\n")).unwrap();
    let entry = clusters
        .entry("b", "b", ", mode: review")
        .replace(&format!("{dir}/b.token"), &file.display().to_string());
    let config =
        format!("renewal: {{interval: 1h, token_duration: 2h, renew_before: 1h}}\nclusters:\n{entry}");
    let service = Box::pin(clusters.service_at_home("renewal", &config)).await;
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(client, RELEASE);
    let kept = eventually("the Secret", SOON * 2, async || {
        let data = secrets.get_opt("kube-federated-auth").await.ok()??.data?;
        data.get("b-token").map(|token| String::from_utf8(token.0.clone()).unwrap())
    });
    let kept = kept.await.unwrap();
    assert_ne!(kept, first);
    let token = clusters.b.token_for("default", "app", &["x"], 600).await.unwrap();
    assert!(service.answered("b", &token, &["x"]).await.authenticated());
    let listed = service.send("GET", "/clusters", "x", "", b"").await;
    let left = listed.body["clusters"][0]["token_status"]["expires_in"].as_str().unwrap();
    assert!(left.starts_with("1h5") || left.starts_with("2h"), "{left}");
    service.process.terminate(Duration::from_secs(20)).await.unwrap();
    // The bootstrap file is worth nothing any more; the Secret is.
    clusters.home.write_private("renewed.token", "gone").unwrap();
    let again = Box::pin(clusters.service_at_home("renewal", &config)).await;
    assert!(again.answered("b", &token, &["x"]).await.authenticated());
}

#[tokio::test]
async fn a_credential_that_its_cluster_rejects_gives_way_to_the_one_in_the_file() {
    let clusters = clusters().await;
    let client = clusters.b.client();
    let subjects = json!([{"kind": "ServiceAccount", "namespace": "fed", "name": "turncoat"}]);
    let binding = json!({"metadata": {"name": "turncoat"}, "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"}});
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    account(&client, "fed", "turncoat").await;
    let long = clusters.b.token_for("fed", "turncoat", &[], 7200).await.unwrap();
    let file = clusters.home.write_private("rejected.token", &long).unwrap();
    let dir = clusters.home.path().display();
    let entry = clusters
        .entry("b", "b", ", mode: review, cache: 0s")
        .replace(&format!("{dir}/b.token"), &file.display().to_string());
    let service = clusters.service("rejected", &format!("clusters:\n{entry}")).await;
    let token = clusters.b.token_for("default", "app", &["x"], 600).await.unwrap();
    let accepted = async || service.review("b", &token, &["x"]).await.authenticated().then_some(());
    eventually("the rights are there", SOON, accepted).await.unwrap();

    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "fed");
    accounts.delete("turncoat", &DeleteParams::default()).await.unwrap();
    account(&client, "fed", "turncoat").await;
    // It ends earlier than the one that is held, and is the only one that is worth something.
    let short = clusters.b.token_for("fed", "turncoat", &[], 600).await.unwrap();
    clusters.home.write_private("rejected.token", &short).unwrap();
    let replaced = async || {
        service.review("b", &token, &["x"]).await;
        service.log().contains("is used instead of the rejected one").then_some(())
    };
    eventually("the file's token is taken", SOON * 2, replaced).await.unwrap();
    eventually("reviews go on", SOON, accepted).await.unwrap();
}

#[tokio::test]
async fn a_credential_that_gets_no_keys_gives_way_to_the_one_in_the_file() {
    let clusters = clusters().await;
    let client = clusters.b.client();
    account(&client, "fed", "deserter").await;
    let long = clusters.b.token_for("fed", "deserter", &[], 7200).await.unwrap();
    let file = clusters.home.write_private("keys-rejected.token", &long).unwrap();
    let dir = clusters.home.path().display();
    let entry = clusters
        .entry("b", "b", ", jwks_refresh: 1s, jwks_cooldown: 1s")
        .replace(&format!("{dir}/b.token"), &file.display().to_string());
    let service = clusters.service("keys-rejected", &format!("clusters:\n{entry}")).await;
    let token = clusters.b.token_for("default", "app", &["x"], 600).await.unwrap();
    assert!(service.answered("b", &token, &["x"]).await.authenticated());

    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "fed");
    accounts.delete("deserter", &DeleteParams::default()).await.unwrap();
    account(&client, "fed", "deserter").await;
    let short = clusters.b.token_for("fed", "deserter", &[], 600).await.unwrap();
    clusters.home.write_private("keys-rejected.token", &short).unwrap();
    let logged = async |words: &str, times: usize| {
        let said = async || (service.log().matches(words).count() >= times).then_some(());
        eventually(words, SOON * 2, said).await.unwrap();
    };
    logged("the token that was shown is not accepted", 1).await;
    logged("is used instead of the rejected one", 1).await;
    logged("keys are loaded", 2).await;
    assert!(service.review("b", &token, &["x"]).await.authenticated());
}
