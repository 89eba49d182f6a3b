//! Operation: flags, `check`, a single cluster, and the account that Helm creates.

use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, ServiceOptions, ServiceProcess, command::install_chart, eventually,
    service, workdir::Workdir,
};
use serde_json::Value;

use crate::scene::{RELEASE, SOON, Stage, options};

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_one_line() {
    let stage = Stage::shared().await;
    let run = async |env: &[(&str, &str)], flags: &[&str]| {
        let mut options =
            ServiceOptions::new("listener", stage.kubeconfig.clone()).args(flags.iter().copied());
        options.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let output = service::run(&options, SOON).await.unwrap();
        assert_eq!(output.stderr.trim_end().lines().count(), 1, "{}", output.stderr);
        (output.status.code(), output.stderr)
    };
    let (code, said) = run(&[("ENABLE_KCP", "true")], &[]).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("kcp is not supported"), "{said}");
    let (code, said) = run(&[], &["--definitions-dir="]).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("documents go nowhere"), "{said}");
}

#[tokio::test]
async fn the_check_names_what_is_wrong() {
    let stage = Stage::shared().await;
    stage.usual_secrets("checked").await;
    let mut spec = stage.usual("checked");
    spec["host"] = "https://127.0.0.1:1".into();
    stage.create("checked", spec).await.unwrap();
    stage.reason("checked", "Unreachable").await;
    let mut options = ServiceOptions::new("listener", stage.management.kubeconfig());
    RELEASE.clone_into(&mut options.pod_namespace);
    let options = options.args(["check", "-o", "json"]);
    let output = service::run(&options, SOON).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", output.stdout);
    let text = output.stdout;
    for expected in [
        "document of cluster checked",
        "Unreachable: ",
        "running listener",
        "docs/listener.md#troubleshooting",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    stage.delete("checked").await;
}

#[tokio::test]
async fn one_cluster_alone_needs_no_cluster_access() {
    let stage = Stage::shared().await;
    let directory = Workdir::new("single").unwrap();
    let kubeconfig = stage.target.kubeconfig_for_token(&stage.token, "default");
    let mut options = options(&kubeconfig, &directory, &["--single-path", "alone"]);
    options.env.push(("MULTICLUSTER".to_owned(), "false".to_owned()));
    let listener = ServiceProcess::start(options).await.unwrap();
    let file = directory.path().join("alone.json");
    let look = async || serde_json::from_slice::<Value>(&std::fs::read(&file).ok()?).ok();
    let document = eventually("the document", SOON, look).await.unwrap();
    let metadata = &document["x-cluster-metadata"];
    assert_eq!((&metadata["host"], &metadata["path"]), (&stage.target.server_url().into(), &"alone".into()));
    assert_eq!(metadata["auth"]["type"], "token");
    assert!(document["definitions"]["io.k8s.api.core.v1.Pod"]["x-kubernetes-plural"] == "pods");
    listener.terminate(SOON).await.unwrap();

    // Nor does the check look for what is not needed.
    let mut check = self::options(&kubeconfig, &directory, &[]).args(["check", "-o", "json"]);
    check.env.push(("MULTICLUSTER".to_owned(), "false".to_owned()));
    let output = service::run(&check, SOON).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", output.stdout);
    assert!(output.stdout.contains("credential for gateways"), "{}", output.stdout);
}

#[tokio::test]
async fn the_account_that_helm_makes_is_enough() {
    let home = Workdir::new("helm").unwrap();
    let plane = ControlPlane::start(ControlPlaneOptions::named("listener-chart")).await.unwrap();
    let names = ("listener", "listener", RELEASE);
    let values = "--set tls.secretName=tls";
    let Some(installed) = install_chart(home.path(), &plane, names, values).await.unwrap() else { return };
    assert_eq!(installed.code, 0, "{installed:?}");
    let token = plane.token_for(RELEASE, "listener", &[], 3600).await.unwrap();
    let kubeconfig = plane.kubeconfig_for_token(&token, RELEASE);
    let directory = Workdir::new("chart").unwrap();
    let mut options = options(&kubeconfig, &directory, &["--install-crds=if-missing"]);
    options.ready_within = Some(SOON);
    ServiceProcess::start(options).await.unwrap().terminate(SOON).await.unwrap();
}
