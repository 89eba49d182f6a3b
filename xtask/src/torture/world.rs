//! Two clusters with our services between them, each behind a proxy whose connections can fall silent.

use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::{api::kubebind::APIServiceBindingBundle, names};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, Rbac, ServiceAccountSetup, ServiceProcess,
    cert_manager::{self, CertManager},
    control_plane::AUDIT_POLICY,
    eventually,
    ports::free_port,
    proxy::Proxy,
    workdir::Workdir,
};
use serde_json::{Value, json};

use super::{
    agree::Listed,
    history::Place,
    kinds::{CERTIFICATES, GROUP, ISSUERS, KINDS, Kind, stored_version},
    steps::Side,
};
use crate::{
    clusters::{self, Clusters},
    display::Display,
    services::{Binaries, RELEASE},
};

/// The consumer, as the provider knows it.
pub(super) const CONSUMER: &str = "torture";
/// Another consumer of the same provider, which nobody has bound.
const OTHER: &str = "other";
/// The namespaces of the consumer's objects.
pub(super) const NAMESPACES: [&str; 2] = ["torture-a", "torture-b"];
/// The issuer of every certificate.
pub(super) const ISSUER: &str = "self-signed";
/// Bodies of what is tortured, so that the log alone tells what became of each object.
const BODIES: &str = r#"- level: RequestResponse
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - {group: torture.dev}
  - {group: cert-manager.io}
  - {group: "", resources: [secrets]}
- level: Metadata
"#;

/// One of our processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Konnector,
    Provider,
}

pub(super) struct World {
    konnector: ServiceProcess,
    provider: ServiceProcess,
    /// A real controller on the provider, where it can be built.
    cert_manager: Option<cert_manager::Running>,
    pub(super) kinds: Vec<Kind>,
    konnector_account: String,
    provider_account: String,
    /// The content of the Secret: what it should be, and what belongs to somebody else.
    pub(super) kubeconfig: String,
    pub(super) others_kubeconfig: String,
    pub(super) binaries: Binaries,
    /// Between the konnector and the consumer, and between it and the provider.
    pub(super) near: Proxy,
    pub(super) far: Proxy,
    // After the processes, which talk to them.
    pub(super) clusters: Clusters,
    pub(super) files: Workdir,
}

impl World {
    /// Starts everything, and waits until all kinds are bound.
    pub(super) async fn start(display: &Display, binaries: Binaries) -> Result<Self> {
        let files = Workdir::new("torture")?;
        let policy = AUDIT_POLICY.replace("- level: Metadata\n", BODIES);
        let policy = files.write_private("audit-policy.yaml", &policy)?;
        let clusters = display.run("control planes", Box::pin(planes(display, &policy))).await?;
        let near = proxy(&clusters.consumer).await?;
        let far = proxy(&clusters.provider).await?;
        let provider_account = provider_account(&clusters.provider).await?;
        let konnector_account =
            through(&near, &clusters.consumer, &konnector_account(&clusters.consumer).await?);
        let provider = start_provider(&binaries, &provider_account).await?;
        let konnector = start_konnector(&binaries, &konnector_account).await?;
        let mut world = Self {
            konnector,
            provider,
            cert_manager: None,
            kinds: KINDS.to_vec(),
            konnector_account,
            provider_account,
            kubeconfig: String::new(),
            others_kubeconfig: String::new(),
            binaries,
            near,
            far,
            clusters,
            files,
        };
        if cert_manager::has_go() {
            display.run("cert-manager", Box::pin(world.start_cert_manager(display))).await?;
        } else {
            display.line("cert-manager is not among the kinds: there is no Go, https://go.dev/dl");
        }
        let kinds = format!("{} kinds of the provider are bound", world.kinds.len());
        display.run(&kinds, Box::pin(world.bind())).await?;
        Ok(world)
    }

    pub(super) fn plane(&self, side: Side) -> &ControlPlane {
        match side {
            Side::Consumer => &self.clusters.consumer,
            Side::Provider => &self.clusters.provider,
        }
    }

    pub(super) fn client(&self, side: Side) -> Client {
        self.plane(side).client()
    }

    /// A new kubeconfig for the consumer's contract, by way of the proxy.
    pub(super) async fn new_kubeconfig(&self, consumer: &str) -> Result<String> {
        let server = format!("https://{}", self.far.address());
        let arguments = ["kubeconfig", "--consumer", consumer, "--server", &server];
        self.binaries.run("provider", &self.clusters.provider, &arguments).await
    }

    /// Writes the Secret that the bundle names.
    pub(super) async fn write_secret(&self, kubeconfig: &str) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client(Side::Consumer), "default");
        let change = json!({"stringData": {"kubeconfig": kubeconfig}});
        secrets.patch(CONSUMER, &PatchParams::default(), &Patch::Merge(&change)).await?;
        Ok(())
    }

    /// Starts a process again that has ended.
    pub(super) async fn revive(&mut self, service: Service) -> Result<()> {
        match service {
            Service::Konnector => {
                self.konnector = start_konnector(&self.binaries, &self.konnector_account).await?;
            }
            Service::Provider => {
                self.provider = start_provider(&self.binaries, &self.provider_account).await?;
            }
        }
        Ok(())
    }

    pub(super) fn process(&self, service: Service) -> &ServiceProcess {
        match service {
            Service::Konnector => &self.konnector,
            Service::Provider => &self.provider,
        }
    }

    /// All objects of a side that are tortured, each in the version that keeps everything.
    pub(super) async fn list(&self, side: Side) -> Result<Listed> {
        let client = self.client(side);
        let mut all = Vec::new();
        for kind in self.kinds.iter().copied() {
            if let Some(version) = stored(&client, kind).await? {
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.resource(&version));
                let list = api.list(&ListParams::default()).await.context(kind.plural)?;
                all.extend(list.items.iter().map(|object| listed(kind.plural, &json!(object))));
            }
        }
        let secrets = Api::<Secret>::all(client).list(&ListParams::default()).await?.items;
        let secrets = secrets.iter().map(|secret| listed("secrets", &json!(secret)));
        all.extend(secrets.filter(|(place, _)| is_tortured(side, place)));
        Ok(all)
    }

    async fn bind(&mut self) -> Result<()> {
        let (consumer, provider) = (self.client(Side::Consumer), self.client(Side::Provider));
        for kind in KINDS {
            clusters::offer(&provider, &kind.crd()).await?;
        }
        clusters::grant(&consumer, GROUP).await?;
        clusters::grant(&consumer, cert_manager::GROUP).await?;
        grant_claims(&consumer).await?;
        for name in NAMESPACES {
            let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
            Api::all(consumer.clone()).create(&PostParams::default(), &namespace).await?;
        }
        self.kubeconfig = self.new_kubeconfig(CONSUMER).await?;
        self.others_kubeconfig = self.new_kubeconfig(OTHER).await?;
        clusters::create_secret(&consumer, CONSUMER, &self.kubeconfig).await?;
        let bundle = json!({
            "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
            "metadata": {"name": CONSUMER, "annotations": {"kube-bind.io/accept-claims": "all"}},
            "spec": {"kubeconfigSecretRef": {"name": CONSUMER, "namespace": "default", "key": "kubeconfig"}},
        });
        let bundle: APIServiceBindingBundle = serde_json::from_value(bundle)?;
        Api::all(consumer.clone()).create(&PostParams::default(), &bundle).await?;
        for kind in &self.kinds {
            clusters::binding_ready(&consumer, &kind.crd_name()).await?;
        }
        if self.cert_manager.is_some() { self.make_issuers().await } else { Ok(()) }
    }

    async fn start_cert_manager(&mut self, display: &Display) -> Result<()> {
        let program = CertManager::locate(display).await?;
        self.cert_manager = Some(program.start(&self.clusters.provider).await?);
        cert_manager::apply(&self.clusters.provider.client(), "provider-offer.yaml").await?;
        self.kinds.extend([ISSUERS, CERTIFICATES]);
        Ok(())
    }

    /// Makes the issuers that sign the certificates of the run.
    async fn make_issuers(&self) -> Result<()> {
        let resource = cert_manager::resource(ISSUERS.name);
        for namespace in NAMESPACES {
            let mut issuer = DynamicObject::new(ISSUER, &resource);
            issuer.data = json!({"spec": {"selfSigned": {}}});
            let issuers: Api<DynamicObject> =
                Api::namespaced_with(self.client(Side::Consumer), namespace, &resource);
            // A kind that is seconds old may be served, and then not for a moment.
            eventually("the issuer is taken", clusters::SOON, async || {
                issuers.create(&PostParams::default(), &issuer).await.map(Some)
            })
            .await?;
        }
        Ok(())
    }

    pub(super) async fn stop(self) {
        for service in [&self.konnector, &self.provider] {
            // One that does not end in time is killed.
            let _ = service.terminate(clusters::SOON).await;
        }
    }
}

/// The contract namespace of the consumer.
pub(super) fn contract() -> String {
    format!("{}{CONSUMER}", names::CONTRACT_NAMESPACE_PREFIX)
}

/// The version of a kind that a side stores; `None` where it has no such CRD.
pub(super) async fn stored(client: &Client, kind: Kind) -> kube::Result<Option<String>> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    Ok(crds.get_opt(&kind.crd_name()).await?.as_ref().and_then(stored_version))
}

/// Returns `true` if an object is one that the run looks after: Secrets are elsewhere as well.
pub(super) fn is_tortured(side: Side, place: &Place) -> bool {
    let ours = |namespace: &&str| match side {
        Side::Consumer => place.namespace == *namespace,
        Side::Provider => place.namespace.ends_with(&format!("-{namespace}")),
    };
    place.plural != "secrets" || NAMESPACES.iter().any(ours)
}

fn listed(plural: &str, object: &Value) -> (Place, Value) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let place = Place { plural: plural.to_owned(), namespace: text("namespace"), name: text("name") };
    (place, object.clone())
}

async fn planes(display: &Display, policy: &Path) -> Result<Clusters> {
    let binaries = portolan_testkit::binaries::locate(display).await?;
    let start = |name| {
        let mut options = ControlPlaneOptions::named(name);
        options.binaries = Some(binaries.clone());
        options.apiserver_args = vec![format!("--audit-policy-file={}", policy.display())];
        ControlPlane::start(options)
    };
    let (provider, consumer) = tokio::try_join!(start("provider"), start("consumer"))?;
    Ok(Clusters { provider, consumer })
}

async fn proxy(plane: &ControlPlane) -> Result<Proxy> {
    let url = plane.server_url();
    let port = url.rsplit(':').next().unwrap_or_default().parse().context("the API server has a port")?;
    Proxy::start(port).await
}

/// A kubeconfig whose way leads through a proxy.
fn through(proxy: &Proxy, plane: &ControlPlane, kubeconfig: &str) -> String {
    kubeconfig.replace(&plane.server_url(), &format!("https://{}", proxy.address()))
}

/// The provider, as an installer has it who lets consumers share kinds.
async fn provider_account(plane: &ControlPlane) -> Result<String> {
    let mut rules = Rbac::load("provider")?;
    rules.cluster_rules.append(&mut rules.shared_rules);
    ServiceAccountSetup::new("provider", RELEASE).create_with(plane, &rules).await
}

async fn konnector_account(plane: &ControlPlane) -> Result<String> {
    let mut setup = ServiceAccountSetup::new("konnector", RELEASE);
    setup.secret_namespaces.push("default".to_owned());
    setup.create(plane).await
}

async fn start_provider(binaries: &Binaries, account: &str) -> Result<ServiceProcess> {
    binaries.start_as("provider", account, &["--allow-shared".to_owned()]).await
}

async fn start_konnector(binaries: &Binaries, account: &str) -> Result<ServiceProcess> {
    let health = format!("--server-address=127.0.0.1:{}", free_port()?);
    let poll = "--provider-polling-interval=2s".to_owned();
    binaries.start_as("konnector", account, &[health, poll]).await
}

/// Grants the rights that the claims of the kinds need.
async fn grant_claims(consumer: &Client) -> Result<()> {
    let role = json!({
        "metadata": {
            "name": "kube-bind-claims", "labels": {"rbac.kube-bind.io/aggregate-to-konnector": "true"},
        },
        "rules": [{"apiGroups": [""], "resources": ["secrets"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"]}],
    });
    let role: k8s_openapi::api::rbac::v1::ClusterRole = serde_json::from_value(role)?;
    let name = role.name_any();
    let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(consumer.clone());
    roles.create(&PostParams::default(), &role).await.context(name)?;
    Ok(())
}
