//! A listener on a management cluster, and a target that it looks at. Each test uses its own names.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::gateway::ClusterAccess,
    standard_condition::{StandardCondition, find},
};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, Rbac, ServiceAccountSetup, ServiceOptions, ServiceProcess, eventually,
    watch_until, workdir::Workdir,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub const SOON: Duration = Duration::from_secs(30);
pub const RELEASE: &str = "portolan";
const DAY: i64 = 24 * 60 * 60;

/// The rights that a credential needs on a target.
const TARGET_RULES: &str = "
clusterRules:
  - apiGroups: [apiextensions.k8s.io]
    resources: [customresourcedefinitions]
    verbs: [list, watch]
  - apiGroups: [apiregistration.k8s.io]
    resources: [apiservices]
    verbs: [list, watch]
";

/// Two control planes and a listener.
pub struct Stage {
    pub management: ControlPlane,
    pub target: ControlPlane,
    pub listener: ServiceProcess,
    /// A token of the target that may read its discovery and watch its CRDs.
    pub token: String,
    pub kubeconfig: String,
    directory: Workdir,
}

impl Stage {
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    pub async fn start_with(name: &str, flags: &[&str]) -> Self {
        let (of_management, of_target) = (format!("{name}-management"), format!("{name}-target"));
        let (management, target) = tokio::join!(
            ControlPlane::start(ControlPlaneOptions::named(&of_management)),
            ControlPlane::start(ControlPlaneOptions::named(&of_target)),
        );
        let (management, target) = (management.unwrap(), target.unwrap());
        let kubeconfig = ServiceAccountSetup::new("listener", RELEASE).create(&management).await.unwrap();
        let token = reader(&target, "reader", TARGET_RULES).await;
        let directory = Workdir::new("definitions").unwrap();
        let listener = ServiceProcess::start(options(&kubeconfig, &directory, flags)).await.unwrap();
        Self { management, target, listener, token, kubeconfig, directory }
    }

    /// The stage that all tests share.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Stage> = OnceCell::const_new();
        let stage = SHARED.get_or_init(|| Self::start("listener")).await;
        stage.listener.keep();
        stage
    }

    /// Restarts the listener, and runs `change` while it is down.
    pub async fn restarted(self, change: impl AsyncFnOnce(&Self)) -> Self {
        self.listener.terminate(SOON).await.unwrap();
        change(&self).await;
        let listener = ServiceProcess::start(options(&self.kubeconfig, &self.directory, &[])).await.unwrap();
        Self { listener, ..self }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The document of a path, if there is one.
    pub fn document(&self, path: &str) -> Option<Value> {
        let bytes = std::fs::read(self.file(&format!("{path}.json"))).ok()?;
        Some(serde_json::from_slice(&bytes).expect("no file is ever half written"))
    }

    pub fn client(&self) -> Client {
        self.management.client()
    }

    pub async fn secret(&self, name: &str, data: &[(&str, &str)]) {
        let data = data.iter().map(|(key, text)| ((*key).to_owned(), ByteString(text.as_bytes().to_vec())));
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let secret = Secret { metadata, data: Some(data.collect()), ..Secret::default() };
        let api: Api<Secret> = Api::namespaced(self.client(), RELEASE);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&secret)).await.unwrap();
    }

    pub async fn config_map(&self, name: &str, key: &str, text: &str) {
        let data = Some([(key.to_owned(), text.to_owned())].into());
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let config_map = ConfigMap { metadata, data, ..ConfigMap::default() };
        let api: Api<ConfigMap> = Api::namespaced(self.client(), RELEASE);
        api.create(&PostParams::default(), &config_map).await.unwrap();
    }

    /// Secrets with the token and the CA of the target.
    pub async fn usual_secrets(&self, name: &str) {
        self.secret(&format!("{name}-token"), &[("token", &self.token)]).await;
        self.secret(&format!("{name}-ca"), &[("ca.crt", &self.target.ca_pem())]).await;
    }

    /// The ClusterAccess of the target with a token, as the document has it.
    pub fn usual(&self, name: &str) -> Value {
        json!({
            "host": self.target.server_url(),
            "auth": {"secretRef": reference(&format!("{name}-token"), Some("token"))},
            "ca": {"secretRef": reference(&format!("{name}-ca"), Some("ca.crt"))},
        })
    }

    pub fn accesses(&self) -> Api<ClusterAccess> {
        Api::all(self.client())
    }

    pub async fn create(&self, name: &str, spec: Value) -> kube::Result<ClusterAccess> {
        let access = json!({
            "apiVersion": "gateway.platform-mesh.io/v1alpha1", "kind": "ClusterAccess",
            "metadata": {"name": name}, "spec": spec,
        });
        self.accesses().create(&PostParams::default(), &serde_json::from_value(access).unwrap()).await
    }

    pub async fn change(&self, name: &str, spec: Value) {
        let params = PatchParams::default();
        self.accesses().patch(name, &params, &Patch::Merge(json!({"spec": spec}))).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.accesses().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until `Ready` has this reason, and returns the object.
    pub async fn reason(&self, name: &str, reason: &str) -> ClusterAccess {
        let is = |access: &ClusterAccess| {
            condition(access, "Ready").is_some_and(|ready| {
                ready.reason == reason && ready.observed_generation == access.metadata.generation
            })
        };
        let found = watch_until(self.accesses(), name, is, SOON).await;
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.listener.log_tail(40)))
    }

    pub async fn ready(&self, name: &str) -> ClusterAccess {
        self.reason(name, "ReconcileSucceeded").await
    }

    /// Waits until the document of a path is as wanted.
    pub async fn document_when(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let what = format!("document {path}");
        let look = async || self.document(path).filter(|document| wanted(document));
        eventually(&what, SOON, look).await.unwrap_or_else(|error| {
            panic!("{error:#}\n{}", self.listener.log_tail(40));
        })
    }

    pub async fn document_gone(&self, path: &str) {
        let file = self.file(&format!("{path}.json"));
        eventually("the file is gone", SOON, async || (!file.exists()).then_some(())).await.unwrap();
    }
}

pub fn options(kubeconfig: &str, directory: &Workdir, flags: &[&str]) -> ServiceOptions {
    let mut options = ServiceOptions::new("listener", kubeconfig).args(flags.iter().copied());
    let definitions = directory.path().display().to_string();
    options = options.args(["--definitions-dir", &definitions, "--secret-namespaces", RELEASE]);
    RELEASE.clone_into(&mut options.pod_namespace);
    let document = [("ENABLE_KCP", "false"), ("MULTICLUSTER", "true")];
    options.env.extend(document.map(|(name, value)| (name.to_owned(), value.to_owned())));
    options
}

/// The token of an account with these rights.
pub async fn reader(target: &ControlPlane, name: &str, rules: &str) -> String {
    let setup = ServiceAccountSetup::new(name, "readers");
    setup.create_with(target, &Rbac::parse(rules).unwrap()).await.unwrap();
    target.token_for("readers", name, &[], DAY).await.unwrap()
}

pub fn reference(name: &str, key: Option<&str>) -> Value {
    let mut reference = json!({"name": name, "namespace": RELEASE});
    if let Some(key) = key {
        reference["key"] = key.into();
    }
    reference
}

pub fn condition<'a>(access: &'a ClusterAccess, r#type: &str) -> Option<&'a StandardCondition> {
    find(&access.status.as_ref()?.conditions, r#type)
}

/// The message of `Ready`.
pub fn message(access: &ClusterAccess) -> String {
    condition(access, "Ready").unwrap_or_else(|| panic!("{} has no Ready", access.name_any())).message.clone()
}
