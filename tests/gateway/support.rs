//! A cluster that the tests share, its schema document, a gateway over it, and helpers for requests.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace, ServiceAccount},
    rbac::v1::{ClusterRoleBinding, PolicyRule, RoleBinding, RoleRef, Subject},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ObjectMeta, Patch, PatchParams},
};
use portolan_testkit::{
    control_plane::{ControlPlane, ControlPlaneOptions},
    eventually,
    ports::free_port,
    raw::{self, RawAnswer},
    service::{ServiceOptions, ServiceProcess},
    workdir::Workdir,
};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

/// Five times the duration of a step on a quiet machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A cluster, its document, and a gateway over it.
pub struct World {
    pub cluster: ControlPlane,
    pub document: Value,
    pub gateway: Gateway,
    /// The token of an administrator.
    pub admin: String,
}

pub async fn world() -> &'static World {
    static SHARED: OnceCell<World> = OnceCell::const_new();
    SHARED.get_or_init(|| async { Box::pin(World::start()).await }).await
}

impl World {
    async fn start() -> Self {
        let cluster = ControlPlane::start(ControlPlaneOptions::named("gateway")).await.unwrap();
        let admin = administrator(&cluster).await;
        let document = document(&cluster).await;
        let gateway = Gateway::start("shared", &[("a.json", &document)], &[]).await;
        Self { cluster, document, gateway, admin }
    }

    /// Queries data as an administrator.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let answer =
            self.gateway.post("a", Some(&self.admin), &json!({"query": query, "variables": variables})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// A namespace for one test.
    pub async fn namespace(&self, name: &str) {
        let namespace = Namespace { metadata: named(name), ..Namespace::default() };
        apply(&Api::all(self.cluster.client()), &namespace).await;
    }

    /// The `ConfigMap`s of a namespace.
    pub fn config_maps(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.cluster.client(), namespace)
    }

    /// Creates a `ConfigMap`.
    pub async fn config_map(&self, namespace: &str, name: &str, data: &[(&str, &str)]) {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let metadata =
            ObjectMeta { labels: Some([("test".to_owned(), "list".to_owned())].into()), ..named(name) };
        let object = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
        apply(&self.config_maps(namespace), &object).await;
    }

    /// A token of an account with only these rights, in one namespace.
    pub async fn limited(&self, namespace: &str, name: &str, rules: Vec<PolicyRule>) -> String {
        let client = self.cluster.client();
        account(&client, namespace, name).await;
        let role = k8s_openapi::api::rbac::v1::Role { metadata: named(name), rules: Some(rules) };
        apply(&Api::namespaced(client.clone(), namespace), &role).await;
        let binding = RoleBinding {
            metadata: named(name),
            role_ref: role_ref("Role", name),
            subjects: Some(vec![subject(namespace, name)]),
        };
        apply(&Api::namespaced(client, namespace), &binding).await;
        self.cluster.token_for(namespace, name, &[], 3600).await.unwrap()
    }
}

/// The token of an administrator of a cluster.
pub async fn administrator(cluster: &ControlPlane) -> String {
    let client = cluster.client();
    account(&client, "default", "admin").await;
    let subject = subject("default", "admin");
    let binding = ClusterRoleBinding {
        metadata: named("gateway-tests-admin"),
        role_ref: role_ref("ClusterRole", "cluster-admin"),
        subjects: Some(vec![subject]),
    };
    apply(&Api::all(client.clone()), &binding).await;
    cluster.token_for("default", "admin", &[], 3600).await.unwrap()
}

/// The rules of a role.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let all = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(all(resources)),
        verbs: all(verbs),
        ..PolicyRule::default()
    }
}

pub fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

pub fn subject(namespace: &str, name: &str) -> Subject {
    let namespace = Some(namespace.to_owned());
    Subject { kind: "ServiceAccount".to_owned(), name: name.to_owned(), namespace, ..Subject::default() }
}

pub fn role_ref(kind: &str, name: &str) -> RoleRef {
    RoleRef {
        api_group: "rbac.authorization.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

pub async fn account(client: &Client, namespace: &str, name: &str) {
    apply(&Api::all(client.clone()), &Namespace { metadata: named(namespace), ..Namespace::default() }).await;
    let account = ServiceAccount { metadata: named(name), ..ServiceAccount::default() };
    apply(&Api::namespaced(client.clone(), namespace), &account).await;
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

async fn get(client: &Client, path: &str) -> Value {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    serde_json::from_str(&client.request_text(request).await.unwrap()).unwrap()
}

/// The schema document of a cluster, as a listener writes it.
pub async fn document(cluster: &ControlPlane) -> Value {
    let client = cluster.client();
    let index = get(&client, "/openapi/v3").await;
    let mut definitions = Map::new();
    for (path, entry) in index["paths"].as_object().unwrap() {
        if path.starts_with("api/") || path.starts_with("apis/") {
            let part = get(&client, entry["serverRelativeURL"].as_str().unwrap()).await;
            for (name, schema) in part["components"]["schemas"].as_object().unwrap() {
                definitions.entry(name.clone()).or_insert_with(|| schema.clone());
            }
        }
    }
    for (group_version, path) in group_versions(&client).await {
        let resources = get(&client, &path).await;
        for resource in resources["resources"].as_array().unwrap() {
            enrich(&mut definitions, &group_version, resource, &resources);
        }
    }
    let authority = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, cluster.ca_pem());
    json!({"definitions": definitions, "x-cluster-metadata": {
        "host": cluster.server_url(), "path": "a", "ca": {"data": authority},
        "auth": {"type": "token", "token": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "admin")},
    }})
}

async fn group_versions(client: &Client) -> Vec<(String, String)> {
    let groups = get(client, "/apis").await;
    let versions =
        groups["groups"].as_array().unwrap().iter().flat_map(|group| group["versions"].as_array().unwrap());
    let names = versions.map(|version| version["groupVersion"].as_str().unwrap().to_owned());
    let mut all: Vec<_> = names.map(|name| (name.clone(), format!("/apis/{name}"))).collect();
    all.push(("v1".to_owned(), "/api/v1".to_owned()));
    all
}

fn enrich(definitions: &mut Map<String, Value>, group_version: &str, resource: &Value, all: &Value) {
    let name = resource["name"].as_str().unwrap();
    if name.contains('/') {
        return;
    }
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let wanted = json!([{"group": group, "version": version, "kind": resource["kind"]}]);
    let Some(definition) =
        definitions.values_mut().find(|definition| definition["x-kubernetes-group-version-kind"] == wanted)
    else {
        return;
    };
    let prefix = format!("{name}/");
    let subresources: Vec<_> = all["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|other| other["name"].as_str()?.strip_prefix(&prefix).map(str::to_owned))
        .collect();
    definition["x-kubernetes-plural"] = json!(name);
    definition["x-kubernetes-scope"] =
        json!(if resource["namespaced"] == true { "Namespaced" } else { "Cluster" });
    definition["x-kubernetes-verbs"] = resource["verbs"].clone();
    definition["x-kubernetes-subresources"] = json!(subresources);
    definition["x-kubernetes-categories"] = resource.get("categories").cloned().unwrap_or_else(|| json!([]));
}

/// It needs no kubeconfig; this one is of no use.
fn options(port: u16) -> ServiceOptions {
    let address = format!("--address=127.0.0.1:{port}");
    ServiceOptions::new("gateway", "").args([&address, "--log-format=json"])
}

/// A running gateway.
pub struct Gateway {
    pub process: ServiceProcess,
    pub port: u16,
    pub directory: Workdir,
}

impl Gateway {
    /// Starts one over these documents.
    pub async fn start(name: &str, documents: &[(&str, &Value)], more: &[&str]) -> Self {
        Self::start_with(name, documents, &[&["--plain-http"], more].concat()).await
    }

    /// The same without `--plain-http`.
    pub async fn start_with(name: &str, documents: &[(&str, &Value)], more: &[&str]) -> Self {
        let directory = Workdir::new(&format!("gateway-{name}")).unwrap();
        let port = free_port().unwrap();
        let gateway_directory = directory.path().join("definitions");
        std::fs::create_dir(&gateway_directory).unwrap();
        for (file, document) in documents {
            std::fs::write(gateway_directory.join(file), document.to_string()).unwrap();
        }
        let flag = format!("--definitions={}", gateway_directory.display());
        let options = options(port).args([flag]).args(more.iter().copied());
        let process = ServiceProcess::start(options).await.unwrap();
        Self { process, port, directory }
    }

    /// Starts one whose documents come from a listener, and waits until it is ready.
    pub async fn follow(name: &str, flags: &[String]) -> Self {
        let gateway = Self::follow_unready(name, flags).await;
        gateway.process.wait_ready(SOON).await.unwrap();
        gateway
    }

    /// The same without waiting.
    pub async fn follow_unready(name: &str, flags: &[String]) -> Self {
        let directory = Workdir::new(&format!("gateway-{name}")).unwrap();
        let port = free_port().unwrap();
        let mut options = options(port).args(["--plain-http"]).args(flags.iter().cloned());
        options.ready_within = None;
        let process = ServiceProcess::start(options).await.unwrap();
        Self { process, port, directory }
    }

    /// The path of a document.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("definitions").join(name)
    }

    /// Replaces a document as a listener does: written aside, then renamed.
    pub fn write(&self, name: &str, content: &str) {
        let aside = self.file(&format!(".{name}.tmp"));
        std::fs::write(&aside, content).unwrap();
        std::fs::rename(aside, self.file(name)).unwrap();
    }

    /// Sends a query by POST.
    pub async fn post(&self, cluster: &str, token: Option<&str>, body: &Value) -> RawAnswer {
        self.post_with(cluster, token, "", &body.to_string()).await
    }

    /// Sends a query by POST with more headers.
    pub async fn post_with(
        &self,
        cluster: &str,
        token: Option<&str>,
        headers: &str,
        body: &str,
    ) -> RawAnswer {
        let headers = format!("content-type: application/json\r\n{headers}");
        self.send(&format!("POST /{cluster}/graphql"), token, &headers, body.as_bytes()).await
    }

    /// Sends a request.
    pub async fn send(&self, line: &str, token: Option<&str>, headers: &str, body: &[u8]) -> RawAnswer {
        let authorization =
            token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let headers = format!("host: x\r\n{authorization}{headers}");
        raw::http(self.port, line, &headers, body).await.unwrap()
    }

    /// Waits until a query gets this answer.
    pub async fn until(&self, cluster: &str, token: &str, query: &str, is: impl Fn(&RawAnswer) -> bool) {
        eventually(&format!("{query} is answered otherwise"), SOON, async || {
            let answer = self.post(cluster, Some(token), &json!({"query": query})).await;
            is(&answer).then_some(())
        })
        .await
        .unwrap();
    }
}
