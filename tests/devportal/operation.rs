//! Operation: restarts, `check`, few namespaces, and the account that Helm creates.

use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, ServiceOptions, ServiceProcess, command::install_chart, eventually,
    service, toystore, workdir::Workdir,
};
use serde_json::json;

use crate::scene::{CONTROLLER, RELEASE, SOON, Stage, options};

#[tokio::test]
async fn a_restart_writes_nothing_and_forgets_nothing() {
    let stage = Stage::start("devportal-restart", &[]).await;
    let place = stage.toystore("restart").await;
    place.product("p", None).await;
    place.product("auto", Some("automatic")).await;
    for (key, product) in [("k1", "p"), ("k2", "auto"), ("k3", "auto")] {
        place.ask(key, product, "alice").await;
    }
    place.key_says("k1", "NotApproved").await;
    place.key_says("k2", "SecretCreated").await;
    place.key_says("k3", "SecretCreated").await;
    place.product_says("auto", "KeySelectorUsable", "SelectorShared").await;
    place.product_says("p", "KeySelectorUsable", "SelectorShared").await;
    let value = place.value("k2").await;
    stage.plane.audit().settled(std::time::Duration::from_secs(2)).await.unwrap();
    stage.service.terminate(SOON).await.unwrap();
    let mark = stage.plane.audit().mark().unwrap();
    let again = ServiceProcess::start(options(&stage.kubeconfig, &[])).await.unwrap();
    stage.plane.audit().settled(std::time::Duration::from_secs(2)).await.unwrap();
    let writes = stage.plane.audit().writes_by_user(CONTROLLER, mark, false).unwrap();
    let lines: Vec<_> = writes
        .iter()
        .map(portolan_testkit::AuditEntry::line)
        .filter(|line| !line.contains("customresourcedefinitions"))
        .collect();
    assert!(lines.is_empty(), "{lines:#?}");
    assert_eq!(place.value("k2").await, value);
    let pending = place.key_says("k1", "NotApproved").await;
    assert!(place.secret("k1").await.is_none() && pending.status.unwrap().reviewed_by.is_none());
    again.terminate(SOON).await.unwrap();
}

#[tokio::test]
async fn the_check_names_what_is_wrong() {
    let stage = Stage::shared().await;
    let place = stage.namespace("checked").await;
    place.product("p", None).await;
    place.product_says("p", "Ready", "HTTPRouteNotFound").await;
    let mut options = ServiceOptions::new("devportal", stage.plane.kubeconfig());
    RELEASE.clone_into(&mut options.pod_namespace);
    let output =
        service::run(&options.args(["check", "-o", "json", "--namespaces", "checked"]), SOON).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", output.stdout);
    for expected in [
        "Ready of product checked/p",
        "HTTPRouteNotFound: ",
        "running controller",
        "docs/devportal.md#conditions",
        "planpolicies.extensions.kuadrant.io",
    ] {
        assert!(output.stdout.contains(expected), "{expected}: {}", output.stdout);
    }
}

#[tokio::test]
async fn a_chart_for_one_namespace_is_enough_and_foreign_kinds_may_come_later() {
    let home = Workdir::new("helm").unwrap();
    let plane = ControlPlane::start(ControlPlaneOptions::named("devportal-chart")).await.unwrap();
    let client = plane.client();
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "apis"}})).unwrap();
    namespaces.create(&kube::api::PostParams::default(), &namespace).await.unwrap();
    let names = ("devportal", "devportal", RELEASE);
    let Some(installed) = install_chart(home.path(), &plane, names, "--set namespaces={apis}").await.unwrap()
    else {
        return;
    };
    assert_eq!(installed.code, 0, "{installed:?}");
    let token = plane.token_for(RELEASE, "devportal", &[], 3600).await.unwrap();
    let kubeconfig = plane.kubeconfig_for_token(&token, RELEASE);
    let flags = ["--install-crds=if-missing", "--namespaces=apis"];
    let service = ServiceProcess::start(options(&kubeconfig, &flags)).await.unwrap();
    let stage = Stage { plane, service, kubeconfig };
    let apis = crate::scene::Place { stage: &stage, namespace: "apis".to_owned() };
    apis.product("p", Some("automatic")).await;
    apis.product_says("p", "Ready", "HTTPRouteNotFound").await;
    toystore::install(&client).await.unwrap();
    toystore::toystore(&client, "apis").await.unwrap();
    apis.ready("p").await;
    apis.ask("k1", "p", "alice").await;
    let look = async || apis.secret("k1").await;
    eventually("the Secret", SOON, look).await.unwrap();
    stage.service.terminate(SOON).await.unwrap();
}
