//! One consumer and one provider that the tests share, and words to talk about them.
//!
//! Tests keep out of each other's way by names: each has an API group, a consumer name and namespaces of its
//! own. A test that breaks a cluster or a process starts its own.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Namespace, Secret},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle},
    condition::{Condition, ConditionStatus, find},
};
use portolan_testkit::{
    control_plane::{ControlPlane, ControlPlaneOptions},
    eventually::eventually,
    ports::free_port,
    service::{CommandOutput, Rbac, ServiceAccountSetup, ServiceOptions, ServiceProcess, run},
    workload,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Longer than a connection may be silent (45 s) before another one takes its place: what is promised in seconds is in
/// `promises`, and is measured there.
pub const SOON: Duration = Duration::from_secs(75);
/// The namespace that the services run in.
pub const RELEASE: &str = "kube-bind";

/// Two clusters and the konnector between them.
pub struct Clusters {
    pub consumer: ControlPlane,
    pub provider: ControlPlane,
    pub konnector: ServiceProcess,
    pub provider_service: ServiceProcess,
    pub healthz: String,
    pub konnector_kubeconfig: String,
}

/// The clusters that the tests share.
pub async fn clusters() -> &'static Clusters {
    static SHARED: OnceCell<Clusters> = OnceCell::const_new();
    SHARED.get_or_init(|| async { Clusters::start("shared").await }).await.kept()
}

impl Clusters {
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, false).await
    }

    /// With a provider that exports what consumers share.
    pub async fn sharing(name: &str) -> Self {
        Self::start_with(name, true).await
    }

    /// As a kubelet keeps services that outlive one test.
    pub fn kept(&'static self) -> &'static Self {
        self.konnector.keep();
        self.provider_service.keep();
        self
    }

    async fn start_with(name: &str, sharing: bool) -> Self {
        let names = (format!("{name}-consumer"), format!("{name}-provider"));
        let (consumer, provider) = tokio::join!(plane(&names.0), plane(&names.1));
        let konnector_kubeconfig = konnector_account(&consumer).await;
        let (konnector, healthz) = konnector(&konnector_kubeconfig).await;
        let provider_service = if sharing {
            sharing_provider_service(&provider).await
        } else {
            provider_service(&provider).await
        };
        Self { consumer, provider, konnector, provider_service, healthz, konnector_kubeconfig }
    }
}

pub async fn plane(name: &str) -> ControlPlane {
    ControlPlane::start(ControlPlaneOptions::named(name)).await.unwrap()
}

/// An account for the konnector with exactly the rights of its chart.
pub async fn konnector_account(consumer: &ControlPlane) -> String {
    konnector_setup().create(consumer).await.unwrap()
}

/// The konnector's account, and the Secrets that it reads.
pub fn konnector_setup() -> ServiceAccountSetup {
    ServiceAccountSetup {
        service: "konnector".to_owned(),
        namespace: RELEASE.to_owned(),
        secret_namespaces: vec![RELEASE.to_owned(), "default".to_owned()],
        target_namespaces: Vec::new(),
    }
}

/// Starts a konnector. Gives it and the URL of its `/healthz`.
pub async fn konnector(kubeconfig: &str) -> (ServiceProcess, String) {
    konnector_as(kubeconfig, "konnector-0", &[]).await
}

/// Starts a konnector under the name of a pod, with more flags.
pub async fn konnector_as(kubeconfig: &str, pod: &str, flags: &[&str]) -> (ServiceProcess, String) {
    let port = free_port().unwrap();
    let mut options = ServiceOptions::new("konnector", kubeconfig).args([
        "--server-address".to_owned(),
        format!("127.0.0.1:{port}"),
        "--log-level".to_owned(),
        "info,portolan_konnector=debug".to_owned(),
    ]);
    if !flags.iter().any(|flag| flag.starts_with("--provider-polling-interval")) {
        options = options.args(["--provider-polling-interval=2s"]);
    }
    options = options.args(flags.iter().copied());
    RELEASE.clone_into(&mut options.pod_namespace);
    pod.clone_into(&mut options.pod_name);
    (ServiceProcess::start(options).await.unwrap(), format!("http://127.0.0.1:{port}/healthz"))
}

/// Starts the provider as a ServiceAccount with exactly the rights of its chart.
pub async fn provider_service(provider: &ControlPlane) -> ServiceProcess {
    provider_service_with(provider, &[]).await
}

/// The same, with more flags.
pub async fn provider_service_with(provider: &ControlPlane, flags: &[&str]) -> ServiceProcess {
    let setup = ServiceAccountSetup::new("provider", RELEASE);
    start_provider(&setup.create(provider).await.unwrap(), flags).await
}

/// The same, with what its chart adds where consumers may share kinds.
async fn sharing_provider_service(provider: &ControlPlane) -> ServiceProcess {
    let mut rules = Rbac::load("provider").unwrap();
    rules.cluster_rules.append(&mut rules.shared_rules);
    let setup = ServiceAccountSetup::new("provider", RELEASE);
    start_provider(&setup.create_with(provider, &rules).await.unwrap(), &["--allow-shared"]).await
}

async fn start_provider(kubeconfig: &str, flags: &[&str]) -> ServiceProcess {
    let mut options = ServiceOptions::new("provider", kubeconfig);
    options = options.args(flags.iter().copied());
    RELEASE.clone_into(&mut options.pod_namespace);
    ServiceProcess::start(options).await.unwrap()
}

/// A service of the provider for one consumer, as far as their administrators prepare it.
pub struct Service {
    pub name: String,
    pub resource: ApiResource,
    pub kubeconfig: String,
    pub consumer: Client,
    pub provider: Client,
}

impl Service {
    /// A kind of its own on the provider, and a kubeconfig for a consumer that sees only this kind.
    pub async fn offer(clusters: &Clusters, name: &str) -> Self {
        Self::offer_with(clusters, name, |_| ()).await
    }

    /// The same for a kind that is another from its first moment: what is changed later, consumers may see too late.
    pub async fn offer_with(
        clusters: &Clusters,
        name: &str,
        change: impl FnOnce(&mut CustomResourceDefinition),
    ) -> Self {
        let (consumer, provider) = (clusters.consumer.client(), clusters.provider.client());
        let (mut crd, resource) = kind_of(name);
        change(&mut crd);
        workload::install(&provider, &crd).await.unwrap();
        grant_group(&consumer, &resource.group).await;
        create_namespace(&consumer, name).await;
        let kubeconfig = kubeconfig_for(clusters, name, &format!("test={name}")).await;
        Self { name: name.to_owned(), resource, kubeconfig, consumer, provider }
    }

    /// The same, bound by a Secret and a bundle of the service's name, until the binding is ready.
    pub async fn bind(clusters: &Clusters, name: &str) -> Self {
        let service = Self::offer(clusters, name).await;
        write_secret(&service.consumer, name, "kubeconfig", &service.kubeconfig).await;
        create_bundle(&service.consumer, name, name).await;
        binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
        service
    }

    /// The name of the export, of the binding and of the CRD.
    pub fn export(&self) -> String {
        format!("cowboys.{}.dev", self.name)
    }

    pub fn contract_namespace(&self) -> String {
        format!("kube-bind-{}", self.name)
    }

    /// Objects on the consumer.
    pub fn here(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.consumer.clone(), &self.name, &self.resource)
    }

    /// Their copies on the provider.
    pub fn there(&self) -> Api<DynamicObject> {
        let namespace = format!("{}-{}", self.contract_namespace(), self.name);
        Api::namespaced_with(self.provider.clone(), &namespace, &self.resource)
    }

    pub async fn create(&self, name: &str, spec: &Value) -> DynamicObject {
        let object = cowboy(&self.resource, name, spec);
        // Shortly after a kind was deleted and recreated, the API server may serve it, stop and start again.
        eventually("the kind is served", SOON, async || {
            match self.here().create(&PostParams::default(), &object).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok::<_, kube::Error>(None),
                other => other.map(Some),
            }
        })
        .await
        .unwrap()
    }

    pub async fn arrives(&self, name: &str) -> DynamicObject {
        object_with(&self.there(), name, "arrives on the provider", |_| true).await
    }
}

/// The kubeconfig that the provider's administrator hands to a consumer.
pub async fn kubeconfig_for(clusters: &Clusters, consumer: &str, exports: &str) -> String {
    kubeconfig_of(&clusters.provider, consumer, exports).await
}

/// The same, by the administrator of another provider.
pub async fn kubeconfig_of(provider: &ControlPlane, consumer: &str, exports: &str) -> String {
    let arguments = ["kubeconfig", "--consumer", consumer, "--exports", exports].map(str::to_owned);
    let options = ServiceOptions::new("provider", provider.kubeconfig()).args(arguments);
    let output = run(&options, SOON).await.unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout
}

/// Runs a command of the konnector with a kubeconfig, as a person does.
pub async fn command(kubeconfig: &str, arguments: &[&str]) -> CommandOutput {
    let mut options = ServiceOptions::new("konnector", kubeconfig).args(arguments.iter().copied());
    RELEASE.clone_into(&mut options.pod_namespace);
    // A check asks the providers of all the bundles that the tests have left, one by one.
    run(&options, SOON * 4).await.unwrap()
}

/// Counts the copies of a service's kind.
pub async fn copies(service: &Service) -> usize {
    let everywhere: Api<DynamicObject> = Api::all_with(service.provider.clone(), &service.resource);
    everywhere.list(&ListParams::default()).await.unwrap().items.len()
}

/// Waits until the consumer's CRD of a service is gone.
pub async fn no_crd(service: &Service) {
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    eventually("the consumer's CRD is gone", SOON, async || match crds.get_opt(&service.export()).await? {
        None => Ok(Some(())),
        Some(crd) => Err(anyhow::anyhow!("{}", json!(crd.status))),
    })
    .await
    .unwrap();
}

/// Merges a change into an object.
pub async fn merge(api: &Api<DynamicObject>, name: &str, change: Value) -> DynamicObject {
    api.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap()
}

/// Merges a change into the status of an object.
pub async fn merge_status(api: &Api<DynamicObject>, name: &str, change: Value) {
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&json!({"status": change}))).await.unwrap();
}

/// A kind of its own for one test: `cowboys.<test>.dev`.
pub fn kind_of(test: &str) -> (CustomResourceDefinition, ApiResource) {
    let group = format!("{test}.dev");
    let mut crd = workload::wildwest();
    crd.metadata.name = Some(format!("cowboys.{group}"));
    crd.labels_mut().insert("test".to_owned(), test.to_owned());
    crd.spec.group.clone_from(&group);
    let resource = ApiResource {
        api_version: format!("{group}/v1alpha1"),
        group,
        version: "v1alpha1".to_owned(),
        kind: "Cowboy".to_owned(),
        plural: "cowboys".to_owned(),
    };
    (crd, resource)
}

/// An object of a test's kind.
pub fn cowboy(resource: &ApiResource, name: &str, spec: &Value) -> DynamicObject {
    let mut object = DynamicObject::new(name, resource);
    object.data = json!({"spec": spec});
    object
}

/// Lets the konnector read and mark the objects of a group, as its `PermissionDenied` message tells people to.
pub async fn grant_group(consumer: &Client, group: &str) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {
            "name": format!("kube-bind-{group}"),
            "labels": {"rbac.kube-bind.io/aggregate-to-konnector": "true"},
        },
        "rules": [{
            "apiGroups": [group], "resources": ["*"], "verbs": ["get", "list", "watch", "patch"],
        }],
    });
    let role: ClusterRole = serde_json::from_value(role).unwrap();
    let params = PatchParams::apply("test").force();
    let api: Api<ClusterRole> = Api::all(consumer.clone());
    api.patch(&role.name_any(), &params, &Patch::Apply(&role)).await.unwrap();
}

pub async fn create_namespace(client: &Client, name: &str) {
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

/// Writes a Secret in `default`, as `kubectl create secret generic NAME --from-file=KEY=FILE` does.
pub async fn write_secret(consumer: &Client, name: &str, key: &str, content: &str) {
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([(key.to_owned(), ByteString(content.as_bytes().to_vec()))])),
        ..Secret::default()
    };
    let api: Api<Secret> = Api::namespaced(consumer.clone(), "default");
    // Deleting first removes a key that the former content had.
    if api.get_opt(name).await.unwrap().is_some() {
        api.replace(name, &PostParams::default(), &secret).await.unwrap();
    } else {
        api.create(&PostParams::default(), &secret).await.unwrap();
    }
}

/// The bundle of the quick start, under another name and with another Secret.
pub async fn create_bundle(consumer: &Client, name: &str, secret: &str) -> APIServiceBindingBundle {
    let bundle = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
        "metadata": {"name": name},
        "spec": {"kubeconfigSecretRef": {"name": secret, "namespace": "default", "key": "kubeconfig"}},
    });
    let bundle = serde_json::from_value(bundle).unwrap();
    Api::all(consumer.clone()).create(&PostParams::default(), &bundle).await.unwrap()
}

/// Waits until a condition of a bundle has this status and reason.
pub async fn bundle_condition(
    consumer: &Client,
    name: &str,
    condition: &str,
    expected: (&str, &str),
) -> Condition {
    let api: Api<APIServiceBindingBundle> = Api::all(consumer.clone());
    eventually(&format!("bundle {name} has {condition} {expected:?}"), SOON, async || {
        let bundle = api.get(name).await?;
        matching(&bundle.status.unwrap_or_default().conditions, condition, expected)
    })
    .await
    .unwrap()
}

/// Waits until a condition of a binding has this status and reason.
pub async fn binding_condition(
    consumer: &Client,
    name: &str,
    condition: &str,
    expected: (&str, &str),
) -> Condition {
    let api: Api<APIServiceBinding> = Api::all(consumer.clone());
    eventually(&format!("binding {name} has {condition} {expected:?}"), SOON, async || {
        let binding = api.get(name).await?;
        matching(&binding.status.unwrap_or_default().conditions, condition, expected)
    })
    .await
    .unwrap()
}

/// The condition, or what is seen instead as an error, which `eventually` repeats when time is up.
pub fn matching(
    conditions: &[Condition],
    wanted: &str,
    (status, reason): (&str, &str),
) -> anyhow::Result<Option<Condition>> {
    let found = find(conditions, wanted);
    let same = found.is_some_and(|c| {
        let is = match c.status {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        };
        is == status && c.reason == reason
    });
    if same { Ok(found.cloned()) } else { Err(anyhow::anyhow!("{conditions:?}")) }
}

/// Waits until an object exists and fulfils a predicate.
pub async fn object_with(
    api: &Api<DynamicObject>,
    name: &str,
    what: &str,
    is: impl Fn(&DynamicObject) -> bool,
) -> DynamicObject {
    eventually(&format!("{name} {what}"), SOON, async || {
        let object = api.get(name).await?;
        if is(&object) { Ok(Some(object)) } else { Err(anyhow::anyhow!("{}", json!(object))) }
    })
    .await
    .unwrap()
}

/// Waits until an object is gone.
pub async fn object_gone(api: &Api<DynamicObject>, name: &str) {
    eventually(&format!("{name} is gone"), SOON, async || match api.get_opt(name).await? {
        None => Ok(Some(())),
        Some(object) => Err(anyhow::anyhow!("{}", json!(object.metadata))),
    })
    .await
    .unwrap();
}
