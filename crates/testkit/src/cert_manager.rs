//! The real cert-manager as a service of a provider: its own controllers, built from its Go module and kept in the
//! user's cache, and the manifests of `docs/examples/cert-manager`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt};
use portolan_control_plane::{ENVIRONMENT, GoModule};

use crate::binaries::cached;
use crate::control_plane::ControlPlane;
use crate::eventually::{eventually, watch_until};
use crate::process::ManagedProcess;
use crate::progress::Progress;
use crate::workdir::Workdir;
use crate::workload::is_established;

/// The API group of its kinds.
pub const GROUP: &str = "cert-manager.io";
/// The user that its controllers are on the provider.
pub const USER: &str = "cert-manager";

const PROGRAM: &str = "certmanager";
const UPSTREAM: &str = "github.com/cert-manager/cert-manager";
const CRDS: &str = "crds";
/// Those that its controllers watch.
const KINDS: [&str; 4] = ["issuers", "clusterissuers", "certificates", "certificaterequests"];
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/cert-manager");
const TIMEOUT: Duration = Duration::from_secs(30);

static MODULE: GoModule = GoModule {
    what: "cert-manager",
    name: "cert-manager",
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cert-manager"),
    target: ".",
    files: &["main.go"],
    cgo: true,
    seconds: 240,
    complete: keep_crds,
};

/// Its program and its CRDs.
#[derive(Clone, Debug)]
pub struct CertManager {
    directory: PathBuf,
}

/// Its controllers running on a cluster. Dropping it ends them.
#[derive(Debug)]
pub struct Running {
    process: ManagedProcess,
    // After the process, which logs into it.
    _workdir: Workdir,
}

impl Running {
    /// The last `lines` lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }
}

/// Returns `true` if there is a Go to build it with.
pub fn has_go() -> bool {
    Command::new("go").arg("version").output().is_ok_and(|output| output.status.success())
}

impl CertManager {
    /// Finds it in the user's cache, and builds it where it is missing: some minutes, once.
    pub async fn locate(progress: &dyn Progress) -> Result<Self> {
        Ok(Self { directory: cached(&MODULE, progress).await? })
    }

    /// Installs its CRDs and starts its controllers.
    pub async fn start(&self, plane: &ControlPlane) -> Result<Running> {
        self.install(&plane.client()).await?;
        let workdir = Workdir::new(USER)?;
        let kubeconfig = plane.kubeconfig_for_certificate(USER, Some("system:masters"))?;
        let kubeconfig = workdir.write_private("kubeconfig", &kubeconfig)?;
        let mut command = Command::new(self.directory.join(PROGRAM));
        command.env_clear().env("KUBECONFIG", kubeconfig).env("HOME", workdir.path());
        let process = ManagedProcess::start(USER, command, &workdir)?;
        let running = Running { process, _workdir: workdir };
        eventually("cert-manager runs", TIMEOUT, async || {
            let log = running.log_tail(20);
            ensure!(running.process.exited().is_none(), "it has ended: {log}");
            Ok(log.contains("running").then_some(()))
        })
        .await?;
        Ok(running)
    }

    async fn install(&self, client: &Client) -> Result<()> {
        let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
        for kind in KINDS {
            let file = self.directory.join(CRDS).join(format!("{GROUP}_{kind}.yaml"));
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let crd: CustomResourceDefinition = serde_saphyr::from_str(&text).context(kind)?;
            crds.create(&PostParams::default(), &crd).await.context(kind)?;
            watch_until(crds.clone(), &crd.name_any(), is_established, TIMEOUT).await?;
        }
        Ok(())
    }
}

/// Keeps the CRDs beside the program: Go may forget its modules.
fn keep_crds(directory: &Path) -> Result<()> {
    let mut list = Command::new("go");
    list.args(["list", "-m", "-f", "{{.Dir}}", UPSTREAM]).current_dir(MODULE.path).envs(ENVIRONMENT);
    let output = list.output().context("cannot start go")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let module = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let kept = directory.join(CRDS);
    fs::create_dir(&kept).context("cannot keep the CRDs")?;
    for kind in KINDS {
        let file = format!("{GROUP}_{kind}.yaml");
        fs::copy(module.join("deploy").join(CRDS).join(&file), kept.join(&file)).context(file)?;
    }
    Ok(())
}

/// Describes one of its kinds to dynamic APIs.
pub fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", kind))
}

/// Applies a file of `docs/examples/cert-manager`, as `kubectl apply --server-side -f FILE` does.
pub async fn apply(client: &Client, file: &str) -> Result<()> {
    let path = Path::new(EXAMPLES).join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for document in text.split("\n---\n") {
        let object: DynamicObject = serde_saphyr::from_str(document).with_context(|| file.to_owned())?;
        apply_object(client, &object).await.with_context(|| format!("{file}: {}", object.name_any()))?;
    }
    Ok(())
}

async fn apply_object(client: &Client, object: &DynamicObject) -> Result<()> {
    let types = object.types.as_ref().context("it has no kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types)?);
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply("kubectl").force();
    api.patch(&object.name_any(), &params, &Patch::Apply(object)).await?;
    Ok(())
}
