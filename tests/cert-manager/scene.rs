//! A provider with cert-manager and a consumer, connected by nothing but the manifests of the example.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    ByteString, api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DynamicObject, ObjectMeta, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle},
    condition,
};
use portolan_testkit::{
    cert_manager::{self, CertManager, Running},
    control_plane::{ControlPlane, ControlPlaneOptions},
    eventually::{eventually, watch_until},
    ports::free_port,
    progress::PlainLines,
    service::{ServiceAccountSetup, ServiceOptions, ServiceProcess, run},
};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// A loaded machine included, on which thirty certificates are made.
pub const SOON: Duration = Duration::from_secs(60);
/// Time in which nothing may be written.
const REST: Duration = Duration::from_secs(10);
const RELEASE: &str = "kube-bind";
const NAMESPACE: &str = "default";
/// Namespace of the copies on the provider.
const COPIES: &str = "kube-bind-acme-default";
/// Of our processes, on either side.
const ACCOUNTS: [&str; 3] = [":konnector", ":provider", ":kube-binder"];

pub struct Scene {
    _konnector: ServiceProcess,
    _provider_service: ServiceProcess,
    _cert_manager: Running,
    pub consumer: ControlPlane,
    pub provider: ControlPlane,
}

/// The scene that the tests share; each has it for itself, since one of them looks at what is written at rest.
#[expect(clippy::print_stdout, reason = "a skip is a line that a passing test prints")]
pub async fn scene(test: &str) -> Option<MutexGuard<'static, Scene>> {
    static SHARED: OnceCell<Mutex<Scene>> = OnceCell::const_new();
    if !cert_manager::has_go() {
        println!("skipped: {test}: cert-manager is built with Go: https://go.dev/dl");
        return None;
    }
    let start = || async { Mutex::new(Box::pin(Scene::start()).await) };
    Some(SHARED.get_or_init(start).await.lock().await)
}

async fn plane(name: &str) -> ControlPlane {
    ControlPlane::start(ControlPlaneOptions::named(name)).await.unwrap()
}

async fn service(name: &str, plane: &ControlPlane, flags: &[String]) -> ServiceProcess {
    let mut setup = ServiceAccountSetup::new(name, RELEASE);
    setup.secret_namespaces.push(NAMESPACE.to_owned());
    let mut options = ServiceOptions::new(name, setup.create(plane).await.unwrap());
    options = options.args(flags.iter().cloned());
    RELEASE.clone_into(&mut options.pod_namespace);
    ServiceProcess::start(options).await.unwrap()
}

async fn kubeconfig(provider: &ControlPlane) -> String {
    let arguments = ["kubeconfig", "--consumer", "acme"].map(str::to_owned);
    let options = ServiceOptions::new("provider", provider.kubeconfig()).args(arguments);
    let output = run(&options, SOON).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout
}

impl Scene {
    async fn start() -> Self {
        let program = CertManager::locate(&PlainLines::new()).await.unwrap();
        let (consumer, provider) = tokio::join!(plane("certs-consumer"), plane("certs-provider"));
        let cert_manager = program.start(&provider).await.unwrap();
        let provider_service = service("provider", &provider, &[]).await;
        cert_manager::apply(&provider.client(), "provider-offer.yaml").await.unwrap();
        let health = format!("--server-address=127.0.0.1:{}", free_port().unwrap());
        let konnector = service("konnector", &consumer, &[health]).await;
        let scene = Self {
            _konnector: konnector,
            _provider_service: provider_service,
            _cert_manager: cert_manager,
            consumer,
            provider,
        };
        scene.bind().await;
        scene
    }

    async fn bind(&self) {
        let client = self.consumer.client();
        cert_manager::apply(&client, "consumer-rights.yaml").await.unwrap();
        let content = kubeconfig(&self.provider).await;
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some("certificates-kubeconfig".to_owned()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([("kubeconfig".to_owned(), ByteString(content.into_bytes()))])),
            ..Secret::default()
        };
        self.secrets().create(&PostParams::default(), &secret).await.unwrap();
        cert_manager::apply(&client, "consumer-bundle.yaml").await.unwrap();
        let bundle = |bundle: &APIServiceBindingBundle| {
            bundle.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, "Ready"))
        };
        watch_until(Api::all(client.clone()), "certificates", bundle, SOON).await.unwrap();
        let binding = |binding: &APIServiceBinding| {
            binding.status.as_ref().is_some_and(|status| condition::is_true(&status.conditions, "Ready"))
        };
        for kind in ["issuers", "certificates"] {
            let name = format!("{kind}.{}", cert_manager::GROUP);
            watch_until(Api::all(client.clone()), &name, binding, SOON).await.unwrap();
        }
        // A kind that is seconds old may be served, and then not for a moment.
        eventually("the example is taken", SOON, async || {
            cert_manager::apply(&client, "consumer-certificate.yaml").await.map(Some)
        })
        .await
        .unwrap();
    }

    pub fn issuers(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.consumer.client(), NAMESPACE, &cert_manager::resource("Issuer"))
    }

    pub fn certificates(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.consumer.client(), NAMESPACE, &cert_manager::resource("Certificate"))
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.consumer.client(), NAMESPACE)
    }

    pub fn copied_certificates(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.provider.client(), COPIES, &cert_manager::resource("Certificate"))
    }

    pub fn copied_secrets(&self) -> Api<Secret> {
        Api::namespaced(self.provider.client(), COPIES)
    }

    pub async fn consumer_has_crd(&self, plural: &str) -> bool {
        let crds: Api<CustomResourceDefinition> = Api::all(self.consumer.client());
        crds.get_opt(&format!("{plural}.{}", cert_manager::GROUP)).await.unwrap().is_some()
    }

    /// Lists the writes of our processes on either side in some seconds, leases and heartbeats apart.
    pub async fn writes_at_rest(&self) -> Vec<String> {
        let logs = [self.consumer.audit(), self.provider.audit()];
        for log in &logs {
            log.settled(Duration::from_secs(2)).await.unwrap();
        }
        let marks = logs.each_ref().map(|log| log.mark().unwrap());
        tokio::time::sleep(REST).await;
        let mut late = Vec::new();
        for (log, mark) in logs.iter().zip(marks) {
            let entries = log.entries_since(mark).unwrap();
            late.extend(entries.into_iter().filter(|entry| {
                let is_heartbeat =
                    entry.object_ref.as_ref().is_some_and(|object| object.resource == "clusterbindings");
                let is_ours = ACCOUNTS.iter().any(|account| entry.user.username.ends_with(account));
                is_ours && entry.is_write() && !entry.is_lease() && !is_heartbeat
            }));
        }
        late.iter().map(portolan_testkit::AuditEntry::line).collect()
    }
}
