//! A gateway whose documents come from a listener's stream: no disk is shared.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Secret, ServiceAccount},
        rbac::v1::ClusterRoleBinding,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use portolan_core::api::gateway::ClusterAccess;
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, ServiceAccountSetup, ServiceOptions, ServiceProcess, eventually,
    ports::free_port, service, workdir::Workdir, workload::wildwest,
};
use serde_json::json;

use super::support::{Gateway, SOON, apply, named};

const RELEASE: &str = "portolan";
const NAMES: &str = "{v1{Namespaces(limit:1){items{kind}}}}";
const COWBOYS: &str = "{wildwest_dev{v1alpha1{Cowboys{items{kind}}}}}";

/// A cluster that describes itself, and a listener with a stream.
struct Scene {
    cluster: ControlPlane,
    kubeconfig: String,
    listener: ServiceProcess,
    port: u16,
    /// The token of an administrator.
    admin: String,
    home: Workdir,
}

impl Scene {
    async fn start(name: &str) -> Self {
        let cluster = ControlPlane::start(ControlPlaneOptions::named(name)).await.unwrap();
        let client = cluster.client();
        let kubeconfig = ServiceAccountSetup::new("listener", RELEASE).create(&cluster).await.unwrap();
        for account in ["gateway", "stranger", "admin"] {
            let object = ServiceAccount { metadata: named(account), ..ServiceAccount::default() };
            apply(&Api::namespaced(client.clone(), RELEASE), &object).await;
        }
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "admin-of-test"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "admin", "namespace": RELEASE}]});
        let binding: ClusterRoleBinding = serde_json::from_value(binding).unwrap();
        apply(&Api::all(client.clone()), &binding).await;
        let admin = cluster.token_for(RELEASE, "admin", &[], 3600).await.unwrap();
        secret(&client, "token", "token", &admin).await;
        secret(&client, "ca", "ca.crt", &cluster.ca_pem()).await;

        let home = Workdir::new("stream").unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        home.write_private("tls.crt", &made.cert.pem()).unwrap();
        home.write_private("tls.key", &made.signing_key.serialize_pem()).unwrap();
        let port = free_port().unwrap();
        let listener = ServiceProcess::start(listener(&home, port, &kubeconfig, "listener-0")).await.unwrap();
        let scene = Self { cluster, kubeconfig, listener, port, admin, home };
        scene.token("token", "gateway", "portolan-listener").await;
        scene
    }

    /// Writes a token of an account, as the kubelet does.
    async fn token(&self, file: &str, account: &str, audience: &str) {
        let token = self.cluster.token_for(RELEASE, account, &[audience], 3600).await.unwrap();
        self.home.write_private(file, &token).unwrap();
    }

    async fn describe(&self, name: &str) {
        let access = json!({
            "apiVersion": "gateway.platform-mesh.io/v1alpha1", "kind": "ClusterAccess", "metadata": {"name": name},
            "spec": {
                "host": self.cluster.server_url(),
                "auth": {"secretRef": {"name": "token", "namespace": RELEASE}},
                "ca": {"secretRef": {"name": "ca", "namespace": RELEASE}},
            },
        });
        let access = serde_json::from_value(access).unwrap();
        self.accesses().create(&PostParams::default(), &access).await.unwrap();
    }

    async fn forget(&self, name: &str) {
        self.accesses().delete(name, &DeleteParams::default()).await.unwrap();
    }

    fn accesses(&self) -> Api<ClusterAccess> {
        Api::all(self.cluster.client())
    }

    fn crds(&self) -> Api<CustomResourceDefinition> {
        Api::all(self.cluster.client())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }

    /// The flags of a gateway that takes its documents from the listener.
    fn flags(&self, token: &str) -> Vec<String> {
        vec![
            format!("--listener-url=https://127.0.0.1:{}", self.port),
            format!("--listener-token-file={}", self.path(token).display()),
            format!("--listener-ca-file={}", self.path("tls.crt").display()),
        ]
    }

    /// Ends the listener, and starts another replica once `change` is done.
    async fn replaced(self, change: impl AsyncFnOnce(&Self)) -> Self {
        self.listener.terminate(SOON).await.unwrap();
        change(&self).await;
        let next = listener(&self.home, self.port, &self.kubeconfig, "listener-1");
        let listener = ServiceProcess::start(next).await.unwrap();
        Self { listener, ..self }
    }
}

fn listener(home: &Workdir, port: u16, kubeconfig: &str, pod: &str) -> ServiceOptions {
    let path = |file: &str| home.path().join(file).display().to_string();
    let mut options = ServiceOptions::new("listener", kubeconfig).args([
        "--definitions-dir=".to_owned(),
        format!("--secret-namespaces={RELEASE}"),
        format!("--stream-address=127.0.0.1:{port}"),
        format!("--tls-cert-file={}", path("tls.crt")),
        format!("--tls-key-file={}", path("tls.key")),
        format!("--gateway-accounts={RELEASE}/gateway"),
    ]);
    pod.clone_into(&mut options.pod_name);
    options
}

async fn secret(client: &Client, name: &str, key: &str, text: &str) {
    let data = Some([(key.to_owned(), ByteString(text.as_bytes().to_vec()))].into());
    let secret = Secret { metadata: named(name), data, ..Secret::default() };
    apply(&Api::namespaced(client.clone(), RELEASE), &secret).await;
}

async fn builds(gateway: &Gateway) -> u64 {
    let metrics = gateway.process.metrics().await.unwrap();
    let line =
        metrics.lines().find(|line| line.starts_with("portolan_gateway_schema_builds_total{result=\"ok\"}"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

async fn until_ready_says(gateway: &Gateway, wanted: &str) {
    let look = async || {
        let (status, text) = gateway.process.admin_get("/readyz?verbose").await?;
        anyhow::Ok((status == 200 && text.contains(wanted)).then_some(()))
    };
    eventually(wanted, SOON, look).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_come_and_go_with_their_accesses_and_outlive_the_listener() {
    let scene = Box::pin(Scene::start("gateway-listener")).await;
    scene.describe("a").await;
    scene.describe("b").await;
    let gateway = Gateway::follow("listener", &scene.flags("token")).await;
    for cluster in ["a", "b"] {
        gateway.until(cluster, &scene.admin, NAMES, |answer| answer.status == 200).await;
    }
    // A new CRD.
    let before = gateway.post("a", Some(&scene.admin), &json!({"query": COWBOYS})).await;
    assert_eq!(
        before.json()["errors"][0]["extensions"]["code"],
        "GRAPHQL_VALIDATION_FAILED",
        "{}",
        before.text
    );
    scene.crds().create(&PostParams::default(), &wildwest()).await.unwrap();
    for cluster in ["a", "b"] {
        gateway.until(cluster, &scene.admin, COWBOYS, |answer| answer.text.contains("\"items\":[]")).await;
    }
    // The listener is replaced by another replica; meanwhile the gateway goes on.
    let built = builds(&gateway).await;
    let scene = scene
        .replaced(async |scene| {
            until_ready_says(&gateway, "[+] documents: the last good documents are served").await;
            let answer = gateway.post("a", Some(&scene.admin), &json!({"query": COWBOYS})).await;
            assert!(answer.text.contains("\"items\":[]"), "{}", answer.text);
            let metrics = gateway.process.metrics().await.unwrap();
            assert!(metrics.contains("portolan_gateway_source_failing_state 1"), "{metrics}");
            scene.forget("b").await;
        })
        .await;
    until_ready_says(&gateway, "[+] documents\n").await;
    gateway.until("b", &scene.admin, NAMES, |answer| answer.status == 401).await;
    let answer = gateway.post("a", Some(&scene.admin), &json!({"query": COWBOYS})).await;
    assert!(answer.text.contains("\"items\":[]"), "{}", answer.text);
    assert_eq!(builds(&gateway).await, built, "what is the same is not built again");
    // Changes of the new replica come, too.
    scene.crds().delete("cowboys.wildwest.dev", &DeleteParams::default()).await.unwrap();
    gateway
        .until("a", &scene.admin, COWBOYS, |answer| answer.text.contains("GRAPHQL_VALIDATION_FAILED"))
        .await;
    scene.forget("a").await;
    gateway.until("a", &scene.admin, NAMES, |answer| answer.status == 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_refused_says_why_and_starts_when_it_is_not() {
    let scene = Box::pin(Scene::start("gateway-refused")).await;
    scene.describe("a").await;
    scene.token("used", "stranger", "portolan-listener").await;
    let refused = async |wanted: &str| {
        let options =
            ServiceOptions::new("gateway", "").args(["--plain-http", "check"]).args(scene.flags("used"));
        let checked = service::run(&options, Duration::from_secs(60)).await.unwrap();
        assert!(!checked.status.success() && checked.stdout.contains(wanted), "{}", checked.stdout);
    };
    refused("the listener answered 403").await;
    let gateway = Gateway::follow_unready("refused", &scene.flags("used")).await;
    let (status, text) = eventually("a reason", SOON, async || {
        let (status, text) = gateway.process.admin_get("/readyz?verbose").await.ok()?;
        text.contains("--gateway-accounts").then_some((status, text))
    })
    .await
    .unwrap();
    assert!(status == 503 && text.contains("[-] documents: https://127.0.0.1:"), "{text}");
    scene.token("used", "gateway", "another").await;
    refused("the listener answered 401").await;
    // The file is read again.
    scene.token("used", "gateway", "portolan-listener").await;
    gateway.process.wait_ready(SOON).await.unwrap();
    gateway.until("a", &scene.admin, NAMES, |answer| answer.status == 200).await;
    let accepted = async |wanted: &str| {
        let options =
            ServiceOptions::new("gateway", "").args(["--plain-http", "check"]).args(scene.flags("used"));
        let checked = service::run(&options, Duration::from_secs(60)).await.unwrap();
        assert!(checked.status.success() && checked.stdout.contains(wanted), "{checked:?}");
    };
    accepted("[+] API server of a").await;
    // As after an installation.
    scene.forget("a").await;
    gateway.until("a", &scene.admin, NAMES, |answer| answer.status == 401).await;
    accepted("no document yet: create a ClusterAccess").await;
}
