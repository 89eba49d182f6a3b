//! Two clusters that the tests share, the exchange on the second, and words to ask it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use k8s_openapi::api::{
    authentication::v1::{SelfSubjectReview, SelfSubjectReviewStatus},
    core::v1::{Namespace, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_testkit::{
    control_plane::{ControlPlane, ControlPlaneOptions},
    eventually, kubeconfig,
    ports::free_port,
    raw,
    service::{ServiceAccountSetup, ServiceOptions, ServiceProcess},
    workdir::Workdir,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Five times what a step may take on a quiet machine.
pub const SOON: Duration = Duration::from_secs(30);
/// Whom a source must be for unless a test says otherwise: the default of the exchange.
pub const AUDIENCE: &str = "portolan-token-exchange";
/// The namespace of the quick start, on the target cluster.
pub const TARGET: &str = "smoke-tests";
const RELEASE: &str = "token-exchange";

/// Sources come from `a`; tokens of `b` are given.
pub struct World {
    pub a: ControlPlane,
    pub b: ControlPlane,
    pub home: Workdir,
    kubeconfig: String,
}

pub async fn world() -> &'static World {
    static SHARED: OnceCell<World> = OnceCell::const_new();
    SHARED.get_or_init(|| async { Box::pin(World::start()).await }).await
}

impl World {
    async fn start() -> Self {
        let home = Workdir::new("token-exchange-tests").unwrap();
        let (a, b) = tokio::join!(
            ControlPlane::start(ControlPlaneOptions::named("a")),
            ControlPlane::start(ControlPlaneOptions::named("b"))
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        account(&a.client(), "default", "reader", &[]).await;
        home.write_private("a.crt", &a.ca_pem()).unwrap();
        let reader = a.token_for("default", "reader", &[], 3600).await.unwrap();
        home.write_private("a.token", &reader).unwrap();
        let mut setup = ServiceAccountSetup::new("token-exchange", RELEASE);
        setup.target_namespaces = vec![TARGET.to_owned()];
        let kubeconfig = setup.create(&b).await.unwrap();
        Self { a, b, home, kubeconfig }
    }

    /// An entry of `issuers:` for cluster `a`.
    pub fn issuer_a(&self, more: &str) -> String {
        let (url, dir) = (self.a.server_url(), self.home.path().display().to_string());
        format!(
            "- {{issuer: '{url}', api_server: '{url}', ca_cert: {dir}/a.crt, token_path: {dir}/a.token, \
             allow_addresses: [127.0.0.1]{more}}}\n"
        )
    }

    /// A configuration with cluster `a` as the issuer, for the target namespace.
    pub fn config(&self, more: &str) -> String {
        format!("issuers:\n{}namespaces: [{TARGET}]\n{more}", self.issuer_a(""))
    }

    /// Starts an exchange on `b` with the rights of its chart.
    pub async fn exchange(&self, name: &str, config: &str) -> Exchange {
        self.exchange_with(name, config, &self.kubeconfig).await
    }

    /// As [`Self::exchange`], without waiting until it is ready.
    pub async fn unready(&self, name: &str, config: &str) -> Exchange {
        self.launch(name, config, &self.kubeconfig, (&["--plain-http".to_owned()], None)).await
    }

    /// As [`Self::exchange`], as somebody else.
    pub async fn exchange_with(&self, name: &str, config: &str, kubeconfig: &str) -> Exchange {
        self.launch(name, config, kubeconfig, (&["--plain-http".to_owned()], Some(SOON))).await
    }

    /// As [`Self::exchange`], with these flags instead of plain HTTP.
    pub async fn secure_exchange(&self, name: &str, config: &str, tls: &[String]) -> Exchange {
        self.launch(name, config, &self.kubeconfig, (tls, Some(SOON))).await
    }

    /// The kubeconfig of the exchange's own account.
    pub fn exchange_kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// A client of `b` with the rights of the exchange.
    pub async fn stolen(&self) -> Client {
        kubeconfig::client(&self.kubeconfig).await.unwrap()
    }

    async fn launch(
        &self,
        name: &str,
        config: &str,
        kubeconfig: &str,
        (transport, ready_within): (&[String], Option<Duration>),
    ) -> Exchange {
        let port = free_port().unwrap();
        let config = self.home.write_private(&format!("{name}.yaml"), config).unwrap();
        let port_text = port.to_string();
        let mut options = ServiceOptions::new("token-exchange", kubeconfig)
            .args(["--http-addr", "127.0.0.1", "--http-port", &port_text])
            .args(transport)
            .args(["--config".to_owned(), config.display().to_string()])
            .args(["--log-format", "json"]);
        RELEASE.clone_into(&mut options.pod_namespace);
        options.pod_name = format!("token-exchange-{name}");
        options.ready_within = ready_within;
        let process = ServiceProcess::start(options).await.unwrap();
        Exchange { process, port, config }
    }

    /// An account of `a`, and a token of it for the exchange.
    pub async fn source(&self, name: &str) -> String {
        account(&self.a.client(), "default", name, &[]).await;
        self.a.token_for("default", name, &[AUDIENCE], 3600).await.unwrap()
    }

    /// An account of `b` with these annotations.
    pub async fn target(&self, name: &str, annotations: &[(&str, &str)]) -> ServiceAccount {
        account(&self.b.client(), TARGET, name, annotations).await
    }

    /// A binding to an account of `a`.
    pub fn binding(&self, account: &str) -> String {
        binding(&self.a.server_url(), &format!("system:serviceaccount:default:{account}"), json!({}))
    }

    /// The user that a token stands for on `b`; `None` when it does not accept it.
    pub async fn who(&self, token: &str) -> Option<String> {
        let client = self.client(token).await;
        let review =
            SelfSubjectReview { status: Some(SelfSubjectReviewStatus::default()), ..Default::default() };
        let review =
            Api::<SelfSubjectReview>::all(client).create(&PostParams::default(), &review).await.ok()?;
        review.status?.user_info?.username
    }

    /// A client of `b` that presents a token.
    pub async fn client(&self, token: &str) -> Client {
        kubeconfig::client(&self.b.kubeconfig_for_token(token, TARGET)).await.unwrap()
    }
}

/// The text of an annotation.
pub fn binding(issuer: &str, subject: &str, mut more: Value) -> String {
    more["issuer"] = json!(issuer);
    more["subject"] = json!(subject);
    more.to_string()
}

/// An account with exactly these annotations.
pub async fn account(
    client: &Client,
    namespace: &str,
    name: &str,
    annotations: &[(&str, &str)],
) -> ServiceAccount {
    let metadata = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
    apply(&Api::all(client.clone()), &Namespace { metadata, ..Namespace::default() }).await;
    let annotations: BTreeMap<_, _> =
        annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let metadata =
        ObjectMeta { name: Some(name.to_owned()), annotations: Some(annotations), ..ObjectMeta::default() };
    apply(
        &Api::namespaced(client.clone(), namespace),
        &ServiceAccount { metadata, ..ServiceAccount::default() },
    )
    .await
}

pub async fn apply<K>(api: &Api<K>, object: &K) -> K
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    api.patch(&object.name_any(), &PatchParams::apply("tests").force(), &Patch::Apply(object)).await.unwrap()
}

/// A running exchange.
pub struct Exchange {
    pub process: ServiceProcess,
    pub port: u16,
    pub config: PathBuf,
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: String,
    pub text: String,
    pub body: Value,
}

impl Answered {
    pub fn token(&self) -> &str {
        self.body["status"]["token"].as_str().unwrap_or_default()
    }

    /// Status, name and message of a refusal.
    pub fn rung(&self) -> (u16, &str, &str) {
        let text = |member: &str| self.body[member].as_str().unwrap_or_default();
        (self.status, text("name"), text("message"))
    }
}

impl Exchange {
    /// URL of the exchange.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks for a token of an account in the target namespace.
    pub async fn ask(&self, token: &str, account: &str) -> Answered {
        self.ask_in(token, TARGET, account).await
    }

    pub async fn ask_in(&self, token: &str, namespace: &str, account: &str) -> Answered {
        let body = json!({"namespace": namespace, "serviceAccountName": account}).to_string();
        let headers = format!("content-type: application/json\r\nauthorization: Bearer {token}\r\n");
        self.send("POST", "/exchangeToken", &headers, body.as_bytes()).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answered {
        http(self.port, method, path, headers, body).await
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        self.process.log_tail(usize::MAX)
    }

    /// The lines of its audit about an account.
    pub fn audit(&self, account: &str) -> Vec<Value> {
        // A line may come a moment after the answer that it is about.
        let start = std::time::Instant::now();
        loop {
            let lines = self.log();
            let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let about = |line: &Value| line["target"] == "audit" && line["service_account"] == account;
            let found: Vec<_> = lines.filter(about).collect();
            if !found.is_empty() || start.elapsed() > SOON {
                return found;
            }
            std::thread::yield_now();
        }
    }

    /// Waits for an audit line about an account with this reason.
    pub async fn reports(&self, account: &str, reason: &str) {
        let reported = async || self.audit(account).iter().any(|line| line["reason"] == reason).then_some(());
        eventually(&format!("{account} is refused for {reason}"), SOON, reported).await.unwrap();
    }
}

/// One request on a connection of its own.
pub async fn http(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> Answered {
    let headers = format!("host: x\r\n{headers}");
    let answer = raw::http(port, &format!("{method} {path}"), &headers, body).await.unwrap();
    Answered { status: answer.status, body: answer.json(), headers: answer.headers, text: answer.text }
}
