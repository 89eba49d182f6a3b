//! Two clusters that the tests share, and words to ask the service.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use k8s_openapi::api::{
    core::v1::{Pod, ServiceAccount},
    rbac::v1::{ClusterRoleBinding, Role, RoleBinding},
};
use kube::{Api, Client, api::PostParams};
use portolan_testkit::{
    control_plane::{ControlPlane, ControlPlaneOptions, TokenKey},
    eventually,
    ports::free_port,
    raw,
    service::{ServiceAccountSetup, ServiceOptions, ServiceProcess},
    workdir::Workdir,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Five times what a step may take on a quiet machine.
pub const SOON: Duration = Duration::from_secs(30);
/// Issuer of nearly every cluster.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
pub const RELEASE: &str = "kube-federated-auth";
pub const ALLOW: &str = "allow_addresses: [127.0.0.1]";

/// Two clusters, `a` with an RSA key and `b` with an ES256 key, and what the service needs of them.
pub struct Clusters {
    pub a: ControlPlane,
    pub b: ControlPlane,
    pub home: Workdir,
    pub kubeconfig: String,
    pub ports: Ports,
    tls: PathBuf,
}

/// Ports of the service on which the clusters ask it themselves.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub tls: u16,
}

pub async fn clusters() -> &'static Clusters {
    static SHARED: OnceCell<Clusters> = OnceCell::const_new();
    SHARED.get_or_init(|| async { Box::pin(Clusters::start()).await }).await
}

impl Clusters {
    async fn start() -> Self {
        let home = Workdir::new("token-service-tests").unwrap();
        let ports = Ports { tls: free_port().unwrap() };
        let certificate =
            rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).unwrap();
        let tls = home.write_private("tls.crt", &certificate.cert.pem()).unwrap();
        home.write_private("tls.key", &certificate.signing_key.serialize_pem()).unwrap();
        let (a, b) =
            tokio::join!(plane("a", &home, ports, "b", "v1"), plane("b", &home, ports, "a", "v1beta1"));
        for (name, plane) in [("a", &a), ("b", &b)] {
            prepare(plane).await;
            home.write_private(&format!("{name}.crt"), &plane.ca_pem()).unwrap();
            let token = plane.token_for("fed", "reader", &[], 3600).await.unwrap();
            home.write_private(&format!("{name}.token"), &token).unwrap();
        }
        let kubeconfig = ServiceAccountSetup::new("token-service", RELEASE).create(&a).await.unwrap();
        Self { a, b, home, kubeconfig, ports, tls }
    }

    /// One entry of `clusters:` for the cluster `plane`.
    pub fn entry(&self, name: &str, plane: &str, more: &str) -> String {
        let (url, dir) =
            (if plane == "a" { &self.a } else { &self.b }.server_url(), self.home.path().display());
        format!(
            "  {name}: {{issuer: {ISSUER}, api_server: '{url}', ca_cert: '{dir}/{plane}.crt', \
             token_path: '{dir}/{plane}.token', {ALLOW}{more}}}\n"
        )
    }

    /// Starts a service with plain HTTP.
    pub async fn service(&self, name: &str, config: &str) -> Service {
        self.service_with(name, config, &[]).await
    }

    pub async fn service_with(&self, name: &str, config: &str, more: &[String]) -> Service {
        let port = free_port().unwrap();
        let mut args = vec!["--plain-http".to_owned()];
        args.extend(more.iter().cloned());
        self.start_service(name, "", config, port, args).await
    }

    /// Starts a service that keeps credentials in a Secret of cluster `a`, with the rights of its chart.
    pub async fn service_at_home(&self, name: &str, config: &str) -> Service {
        self.service_as(name, config, &self.kubeconfig, RELEASE).await
    }

    /// As [`Self::service_at_home`], as somebody else in another namespace.
    pub async fn service_as(&self, name: &str, config: &str, kubeconfig: &str, namespace: &str) -> Service {
        let args = ["--plain-http", "--namespace", namespace].map(str::to_owned);
        self.start_service(name, kubeconfig, config, free_port().unwrap(), args.to_vec()).await
    }

    /// Starts a service with TLS at the port that the clusters ask.
    pub async fn tls_service(&self, config: &str) -> Service {
        let file = |name: &str| self.tls.with_file_name(name).display().to_string();
        let args = ["--tls-cert-file".into(), file("tls.crt"), "--tls-key-file".into(), file("tls.key")];
        self.start_service("tls", "", config, self.ports.tls, args.to_vec()).await
    }

    /// Starts a service with TLS as these flags say.
    pub async fn secure_service(&self, name: &str, config: &str, tls: &[String]) -> Service {
        self.start_service(name, "", config, free_port().unwrap(), tls.to_vec()).await
    }

    async fn start_service(
        &self,
        name: &str,
        kubeconfig: &str,
        config: &str,
        port: u16,
        more: Vec<String>,
    ) -> Service {
        let config = self.home.write_private(&format!("{name}.yaml"), config).unwrap();
        let mut options = ServiceOptions::new("token-service", kubeconfig)
            .args(["--config".to_owned(), config.display().to_string()])
            .args(["--address".to_owned(), format!("127.0.0.1:{port}")])
            .args(["--log-format".to_owned(), "json".to_owned()])
            .args(more);
        RELEASE.clone_into(&mut options.pod_namespace);
        options.pod_name = format!("token-service-{name}");
        let process = ServiceProcess::start(options).await.unwrap();
        Service { process, port }
    }
}

/// A running service.
pub struct Service {
    pub process: ServiceProcess,
    pub port: u16,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: String,
    pub body: Value,
}

impl Answered {
    pub fn authenticated(&self) -> bool {
        self.body["status"]["authenticated"] == true
    }

    pub fn error(&self) -> &str {
        self.body["status"]["error"].as_str().unwrap_or_default()
    }
}

impl Service {
    /// Asks with JSON about a token of a cluster, by path.
    pub async fn review(&self, cluster: &str, token: &str, audiences: &[&str]) -> Answered {
        self.review_at(&path(cluster), "127.0.0.1", token, audiences).await
    }

    /// As [`Self::review`], asked again while the cluster itself does not answer in time: a busy machine.
    pub async fn answered(&self, cluster: &str, token: &str, audiences: &[&str]) -> Answered {
        let answered = async || {
            let answer = self.review(cluster, token, audiences).await;
            ensure!(!answer.error().contains("could not be checked"), "{answer:?}");
            Ok(Some(answer))
        };
        eventually("an answer of the cluster", SOON, answered).await.unwrap()
    }

    pub async fn review_at(&self, path: &str, host: &str, token: &str, audiences: &[&str]) -> Answered {
        let body = review_body(token, audiences).to_string();
        self.send("POST", path, host, "content-type: application/json\r\n", body.as_bytes()).await
    }

    pub async fn send(&self, method: &str, path: &str, host: &str, headers: &str, body: &[u8]) -> Answered {
        http(self.port, method, path, host, headers, body).await
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        self.process.log_tail(usize::MAX)
    }
}

pub fn path(cluster: &str) -> String {
    format!("/clusters/{cluster}/apis/authentication.k8s.io/v1/tokenreviews")
}

pub fn review_body(token: &str, audiences: &[&str]) -> Value {
    json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token, "audiences": audiences},
    })
}

/// One request on a connection of its own.
pub async fn http(port: u16, method: &str, path: &str, host: &str, headers: &str, body: &[u8]) -> Answered {
    let host = if host.is_empty() { String::new() } else { format!("host: {host}\r\n") };
    let answer = raw::http(port, &format!("{method} {path}"), &(host + headers), body).await.unwrap();
    Answered { status: answer.status, body: answer.json(), headers: answer.headers }
}

/// A control plane with the common issuer, that asks the service about tokens of `foreign`.
async fn plane(name: &str, home: &Workdir, ports: Ports, foreign: &str, version: &str) -> ControlPlane {
    let dir = home.path().display();
    let webhook = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: ts, cluster: {{server: \"https://127.0.0.1:{}/clusters/{foreign}/apis/authentication.k8s.io/v1/tokenreviews\", certificate-authority: {dir}/tls.crt}}}}]\nusers: [{{name: u}}]\ncontexts: [{{name: w, context: {{cluster: ts, user: u}}}}]\ncurrent-context: w\n",
        ports.tls
    );
    let webhook = home.write_private(&format!("webhook-{name}.yaml"), &webhook).unwrap();
    let mut apiserver_args = vec![
        format!("--authentication-token-webhook-config-file={}", webhook.display()),
        "--authentication-token-webhook-cache-ttl=1s".to_owned(),
    ];
    if version != "v1beta1" {
        apiserver_args.push(format!("--authentication-token-webhook-version={version}"));
    }
    let token_key = if name == "b" { TokenKey::P256 } else { TokenKey::Rsa };
    let issuer = Some(ISSUER.to_owned());
    let options =
        ControlPlaneOptions { apiserver_args, issuer, token_key, ..ControlPlaneOptions::named(name) };
    ControlPlane::start(options).await.unwrap()
}

/// The account `fed/reader` with the rights of docs/token-service.md, and `default/app`.
pub async fn prepare(plane: &ControlPlane) {
    let client = plane.client();
    create::<k8s_openapi::api::core::v1::Namespace>(
        &Api::all(client.clone()),
        json!({"metadata": {"name": "fed"}}),
    )
    .await;
    account(&client, "fed", "reader").await;
    account(&client, "default", "app").await;
    let subjects = json!([{"kind": "ServiceAccount", "namespace": "fed", "name": "reader"}]);
    let bind = |name: &str, role: &str| {
        json!({"metadata": {"name": name}, "subjects": subjects,
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}})
    };
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    create(&bindings, bind("reader-reviews", "system:auth-delegator")).await;
    create(&bindings, bind("reader-discovery", "system:service-account-issuer-discovery")).await;
    let role = json!({"metadata": {"name": "reader"}, "rules": [{
        "apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["reader"], "verbs": ["create"]}]});
    create::<Role>(&Api::namespaced(client.clone(), "fed"), role).await;
    let binding = json!({"metadata": {"name": "reader"}, "subjects": subjects,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}});
    create::<RoleBinding>(&Api::namespaced(client, "fed"), binding).await;
}

pub async fn account(client: &Client, namespace: &str, name: &str) {
    create::<ServiceAccount>(
        &Api::namespaced(client.clone(), namespace),
        json!({"metadata": {"name": name}}),
    )
    .await;
}

/// A pod that never runs, for tokens that are bound to it.
pub async fn pod(client: &Client, name: &str) -> Pod {
    let pod = json!({"metadata": {"name": name}, "spec": {"serviceAccountName": "app",
        "containers": [{"name": "c", "image": "none"}]}});
    create(&Api::namespaced(client.clone(), "default"), pod).await
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}
