//! Histories of a chart's CRDs on a real API server, under Helm 3, which merges on the client, and Helm 4, which
//! applies on the server: one more field, one more version, back again, uninstalled, reinstalled, and created by
//! somebody else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use portolan_testkit::{ControlPlane, clients::Toolchain, workdir::Workdir};
use serde_json::{Value, json};

use crate::{cluster, helm, kubectl, repository};

const CRD: &str = "apiservicebindingbundles.kube-bind.io";
const OBJECT: &str = "apiVersion: kube-bind.io/v1alpha2\nkind: APIServiceBindingBundle\nmetadata: {name: kept}\n\
                      spec: {kubeconfigSecretRef: {name: a, namespace: default, key: k}}\n";

/// A release of the konnector's chart on its own cluster.
struct Release {
    plane: ControlPlane,
    home: Workdir,
    helm: u8,
}

impl Release {
    async fn new(version: u8, name: &str) -> Option<Self> {
        let home = Workdir::new("history").unwrap();
        let plane = cluster(&format!("{name}-{version}")).await;
        let release = Self { plane, home, helm: version };
        let there = helm(version, &release.plane, &release.home, "version").await;
        if there.is_none() {
            println!("skipped: {}: {}", module_path!(), Toolchain::Go.absence());
        }
        there.map(|_| release)
    }

    /// A copy of the chart with another CRD.
    fn chart(&self, name: &str, change: impl Fn(&mut Value)) -> PathBuf {
        let copy = self.home.path().join(name);
        // The library is a link, which would be broken in the copy.
        let from = repository().join("charts/konnector");
        let copied = Command::new("cp").args(["--recursive", "--dereference"]).arg(from).arg(&copy).status();
        assert!(copied.unwrap().success());
        let file = copy.join("files/crds").join(format!("{CRD}.yaml"));
        let mut crd: Value = serde_saphyr::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        change(&mut crd);
        fs::write(file, serde_json::to_string(&crd).unwrap()).unwrap();
        copy
    }

    async fn run(&self, arguments: &str) -> Result<(), String> {
        let ran = helm(self.helm, &self.plane, &self.home, arguments).await.unwrap();
        if ran.code == 0 { Ok(()) } else { Err(ran.stderr) }
    }

    async fn install(&self, chart: &Path) -> Result<(), String> {
        let chart = chart.display();
        self.run(&format!("upgrade --install r {chart} --namespace history --create-namespace")).await
    }

    async fn kubectl(&self, arguments: &str, stdin: &str) -> String {
        let ran = kubectl(&self.plane, &self.home, arguments, stdin).await;
        assert_eq!(ran.code, 0, "{arguments}: {ran:?}");
        ran.stdout
    }

    async fn crd(&self) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get crd {CRD} --output json"), "").await).unwrap()
    }

    async fn has_field(&self) -> bool {
        self.crd().await["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            ["added"]
            .is_object()
    }

    async fn established(&self) {
        self.kubectl(&format!("wait --for=condition=Established crd/{CRD} --timeout=30s"), "").await;
    }
}

fn with_field(crd: &mut Value) {
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["added"] =
        json!({"type": "string"});
}

/// Adds a version to the first one, in which objects are stored from now on.
fn with_version(crd: &mut Value) {
    let mut version = crd["spec"]["versions"][0].clone();
    version["name"] = "v1alpha3".into();
    crd["spec"]["versions"][0]["storage"] = false.into();
    crd["spec"]["versions"].as_array_mut().unwrap().push(version);
}

async fn a_field_comes_and_goes_and_comes_back_with_the_release(version: u8) {
    let Some(release) = Release::new(version, "field").await else { return };
    let (old, new) = (release.chart("old", |_| ()), release.chart("new", with_field));
    release.install(&old).await.unwrap();
    release.established().await;
    release.kubectl("apply --server-side --filename -", OBJECT).await;
    assert!(!release.has_field().await);
    release.install(&new).await.unwrap();
    assert!(release.has_field().await, "an upgrade brings the field");
    release.run("rollback r 1 --namespace history").await.unwrap();
    assert!(!release.has_field().await, "a rollback takes it away again");
    release.install(&new).await.unwrap();
    // No pod can run here to drain.
    release.run("uninstall r --namespace history --no-hooks").await.unwrap();
    assert!(release.crd().await["metadata"]["deletionTimestamp"].is_null(), "the CRD stays");
    let kept = release.kubectl("get apiservicebindingbundles --output name", "").await;
    assert_eq!(kept.trim(), "apiservicebindingbundle.kube-bind.io/kept");
    release.install(&old).await.unwrap();
    assert!(!release.has_field().await, "installed again, the release writes it again");
}

async fn an_older_chart_is_refused_once_objects_are_stored_in_a_newer_version(version: u8) {
    let Some(release) = Release::new(version, "version").await else { return };
    let (old, new) = (release.chart("old", |_| ()), release.chart("new", with_version));
    release.install(&old).await.unwrap();
    release.established().await;
    release.install(&new).await.unwrap();
    let stored = release.crd().await["status"]["storedVersions"].clone();
    assert_eq!(stored, json!(["v1alpha2", "v1alpha3"]));
    let refused = release.install(&old).await.unwrap_err();
    assert!(refused.contains(&format!("CRD {CRD} has objects that are stored as v1alpha3")), "{refused}");
    assert!(refused.contains("does not know: install a newer chart"), "{refused}");
    let refused = release.run("rollback r 1 --namespace history").await.unwrap_err();
    assert!(refused.contains("storedVersions"), "{refused}");
    assert_eq!(release.crd().await["status"]["storedVersions"], stored, "nothing is lowered");
}

async fn crds_that_kubectl_has_made_stand_in_nobodys_way(version: u8) {
    let Some(release) = Release::new(version, "adopted").await else { return };
    let folder = repository().join("charts/konnector/files/crds");
    release.kubectl(&format!("create --filename {}", folder.display()), "").await;
    release.established().await;
    for _ in 0..2 {
        release.install(&release.chart_once("own")).await.unwrap();
    }
    let labels = release.crd().await["metadata"]["labels"]["app.kubernetes.io/managed-by"].clone();
    assert!(labels.is_null(), "they are somebody else's still: {labels}");
    let told = release.kubectl("get deployment r --namespace history --output jsonpath={..args}", "").await;
    assert!(told.contains("--install-crds=always"), "the pods bring them up to date: {told}");
}

impl Release {
    fn chart_once(&self, name: &str) -> PathBuf {
        let there = self.home.path().join(name);
        if there.is_dir() { there } else { self.chart(name, |_| ()) }
    }
}

#[tokio::test]
async fn a_field_lives_under_helm_3() {
    a_field_comes_and_goes_and_comes_back_with_the_release(3).await;
}

#[tokio::test]
async fn a_field_lives_under_helm_4() {
    a_field_comes_and_goes_and_comes_back_with_the_release(4).await;
}

#[tokio::test]
async fn a_version_lives_under_helm_3() {
    an_older_chart_is_refused_once_objects_are_stored_in_a_newer_version(3).await;
}

#[tokio::test]
async fn a_version_lives_under_helm_4() {
    an_older_chart_is_refused_once_objects_are_stored_in_a_newer_version(4).await;
}

#[tokio::test]
async fn helm_3_leaves_others_crds_alone() {
    crds_that_kubectl_has_made_stand_in_nobodys_way(3).await;
}

#[tokio::test]
async fn helm_4_leaves_others_crds_alone() {
    crds_that_kubectl_has_made_stand_in_nobodys_way(4).await;
}
