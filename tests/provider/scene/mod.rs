//! A provider on a control plane, and the actors around it. Each scene has names of its own.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::events::v1::Event, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, ListParams, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{APIServiceNamespace, APIServiceNamespaceSpec};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, ServiceAccountSetup, ServiceOptions, ServiceProcess,
    audit::summary,
    command::install_chart,
    eventually,
    service::{self, CommandOutput},
    watch_until,
    workdir::Workdir,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub const SOON: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_secs(1);
const RELEASE: &str = "portolan";

/// A control plane with a provider on it.
struct Stage {
    control_plane: ControlPlane,
    kubeconfig: String,
    /// Killed when it is dropped.
    provider: ServiceProcess,
}

impl Stage {
    async fn start(name: &str) -> Self {
        // Shorter than what `provider kubeconfig` asks for.
        let apiserver_args = vec!["--service-account-max-token-expiration=48h".to_owned()];
        let options = ControlPlaneOptions { apiserver_args, ..ControlPlaneOptions::named(name) };
        let control_plane = ControlPlane::start(options).await.unwrap();
        let kubeconfig = setup().create(&control_plane).await.unwrap();
        let provider = provider(&kubeconfig).await;
        Self { control_plane, kubeconfig, provider }
    }
}

fn setup() -> ServiceAccountSetup {
    ServiceAccountSetup::new("provider", RELEASE)
}

fn options(kubeconfig: &str) -> ServiceOptions {
    ServiceOptions::new("provider", kubeconfig)
}

async fn provider(kubeconfig: &str) -> ServiceProcess {
    ServiceProcess::start(options(kubeconfig)).await.unwrap()
}

/// Names for one test: its CRDs have a group of their own, and a label that its consumers select.
pub struct Scene {
    name: String,
    stage: StageOf,
}

enum StageOf {
    Shared(&'static Stage),
    Own(Box<Stage>),
}

/// The kubeconfig of a consumer, and its namespace.
pub struct Consumer {
    pub kubeconfig: String,
    pub namespace: String,
}

impl Scene {
    pub async fn shared(name: &str) -> Self {
        static SHARED: OnceCell<Stage> = OnceCell::const_new();
        let stage = SHARED.get_or_init(|| Stage::start("provider")).await;
        stage.provider.keep();
        Self { name: name.to_owned(), stage: StageOf::Shared(stage) }
    }

    /// With the account of the chart, as Helm has installed it; `None` where there is no Helm.
    pub async fn installed(name: &str, home: &Workdir) -> Option<Self> {
        let control_plane = ControlPlane::start(ControlPlaneOptions::named(name)).await.unwrap();
        let names = ("provider", "provider", RELEASE);
        let installed = install_chart(home.path(), &control_plane, names, "").await.unwrap()?;
        assert_eq!(installed.code, 0, "{installed:?}");
        let token = control_plane.token_for(RELEASE, "provider", &[], 3600).await.unwrap();
        let kubeconfig = control_plane.kubeconfig_for_token(&token, RELEASE);
        let provider = provider(&kubeconfig).await;
        let stage = Stage { control_plane, kubeconfig, provider };
        Some(Self { name: name.to_owned(), stage: StageOf::Own(Box::new(stage)) })
    }

    pub async fn of_its_own(name: &str) -> Self {
        Self { name: name.to_owned(), stage: StageOf::Own(Box::new(Stage::start(name).await)) }
    }

    fn stage(&self) -> &Stage {
        match &self.stage {
            StageOf::Shared(stage) => stage,
            StageOf::Own(stage) => stage,
        }
    }

    pub async fn restarted(self) -> Self {
        self.restarted_with(&[]).await
    }

    /// With other flags.
    pub async fn restarted_with(self, flags: &[&str]) -> Self {
        let StageOf::Own(mut stage) = self.stage else { panic!("others use this provider") };
        stage.provider.terminate(SOON).await.unwrap();
        let options = options(&stage.kubeconfig).args(flags.iter().copied());
        stage.provider = ServiceProcess::start(options).await.unwrap();
        Self { name: self.name, stage: StageOf::Own(stage) }
    }

    pub fn control_plane(&self) -> &ControlPlane {
        &self.stage().control_plane
    }

    pub fn client(&self) -> Client {
        self.control_plane().client()
    }

    /// Runs `provider kubeconfig` as an admin.
    pub async fn command(&self, arguments: &[&str]) -> CommandOutput {
        let all: Vec<_> = ["kubeconfig"].iter().chain(arguments).copied().collect();
        self.run(&all).await
    }

    /// Runs a command of the provider as an admin.
    pub async fn run(&self, arguments: &[&str]) -> CommandOutput {
        let mut options = options(&self.control_plane().kubeconfig()).args(arguments.iter().copied());
        RELEASE.clone_into(&mut options.pod_namespace);
        service::run(&options, SOON).await.unwrap()
    }

    pub async fn kubeconfig(&self, arguments: &[&str]) -> CommandOutput {
        let output = self.command(arguments).await;
        assert!(output.status.success(), "{}", output.stderr);
        output
    }

    /// A consumer that gets the CRDs of this scene.
    pub async fn consumer(&self, name: &str) -> Consumer {
        let output =
            self.kubeconfig(&["--consumer", name, "--exports", &format!("scene={}", self.name)]).await;
        Consumer { kubeconfig: output.stdout, namespace: format!("kube-bind-{name}") }
    }

    pub fn group(&self) -> String {
        format!("{}.example.dev", self.name)
    }

    pub fn crd_name(&self, plural: &str) -> String {
        format!("{plural}.{}", self.group())
    }

    pub fn resource(&self, plural: &str) -> ApiResource {
        let (group, version) = (self.group(), "v1".to_owned());
        ApiResource {
            api_version: format!("{group}/v1"),
            group,
            version,
            kind: kind(plural),
            plural: plural.to_owned(),
        }
    }

    pub fn crd(&self, plural: &str, scope: &str) -> CustomResourceDefinition {
        let labels = json!({"kube-bind.io/exported": "true", "scene": self.name});
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let version =
            json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        let crd = json!({
            "metadata": {"name": self.crd_name(plural), "labels": labels},
            "spec": {
                "group": self.group(), "scope": scope, "names": {"plural": plural, "kind": kind(plural)},
                "versions": [version],
            },
        });
        serde_json::from_value(crd).unwrap()
    }

    pub async fn create_crd(&self, plural: &str, scope: &str) {
        Api::all(self.client()).create(&PostParams::default(), &self.crd(plural, scope)).await.unwrap();
    }

    pub async fn patch_crd(&self, plural: &str, patch: &Value) {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client());
        crds.patch(&self.crd_name(plural), &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Waits for a warning on an object of this name.
    pub async fn event(&self, name: &str, reason: &str) {
        let events: Api<Event> = Api::all(self.client());
        let look = async || {
            let all = events.list(&ListParams::default()).await?;
            let of_object = |event: &Event| {
                event.reason.as_deref() == Some(reason)
                    && event.regarding.as_ref().is_some_and(|on| on.name.as_deref() == Some(name))
            };
            Ok::<_, kube::Error>(all.items.into_iter().find(of_object))
        };
        eventually(&format!("event {reason} on {name}"), SOON, look).await.unwrap();
    }

    /// Asks for a namespace and waits for the answer.
    pub async fn answered(&self, client: &Client, contract: &str, namespace: &str) -> String {
        let requests: Api<APIServiceNamespace> = Api::namespaced(client.clone(), contract);
        let request = APIServiceNamespace::new(namespace, APIServiceNamespaceSpec {});
        requests.create(&PostParams::default(), &request).await.unwrap();
        let answer = |request: &APIServiceNamespace| request.status.clone()?.namespace;
        let request =
            watch_until(requests, namespace, |request| answer(request).is_some(), SOON).await.unwrap();
        answer(&request).unwrap()
    }

    /// Counts the provider's writes so far to an object.
    pub fn writes_to(&self, namespace: &str, name: &str) -> usize {
        let writes = self.control_plane().audit().writes(&setup().user()).unwrap();
        let objects = writes.into_iter().filter_map(|write| write.object_ref);
        objects.filter(|object| object.namespace == namespace && object.name == name).count()
    }

    /// Counts the provider's writes so far, leases left out, once it has come to rest.
    pub async fn writes_when_settled(&self) -> BTreeMap<String, usize> {
        let audit = self.control_plane().audit();
        // The leases of provider and tests keep the log growing, so rest is when no write comes any more.
        let mut count = usize::MAX;
        loop {
            let writes = audit.writes(&setup().user()).unwrap();
            if writes.len() == count {
                let counts = summary(&writes)
                    .into_iter()
                    .map(|((verb, resource, _), n)| (format!("{verb} {resource}"), n));
                return counts.fold(BTreeMap::new(), |mut sums, (what, n)| {
                    *sums.entry(what).or_default() += n;
                    sums
                });
            }
            count = writes.len();
            tokio::time::sleep(QUIET).await;
        }
    }
}

fn kind(plural: &str) -> String {
    let singular = plural.trim_end_matches('s');
    format!("{}{}", singular[..1].to_uppercase(), &singular[1..])
}

pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}
