//! Changes reach the document soon: CRDs of the target, credentials, paths, and deleted ClusterAccesses.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use portolan_testkit::{eventually, workload};

use crate::scene::{SOON, Stage, reader};

/// Five times the promise, for machines that are busy.
const PROMISE: Duration = Duration::from_secs(10);

fn has_cowboys(document: &serde_json::Value) -> bool {
    let definitions = document["definitions"].as_object().unwrap();
    definitions.iter().any(|(name, schema)| {
        name.contains("wildwest")
            && schema.get("x-kubernetes-plural").is_some_and(|plural| plural == "cowboys")
    })
}

#[tokio::test]
async fn a_new_crd_is_in_the_document_soon_and_gone_soon() {
    let stage = Stage::shared().await;
    stage.usual_secrets("crds").await;
    stage.create("crds", stage.usual("crds")).await.unwrap();
    let before = stage.ready("crds").await.status.unwrap();
    assert!(!has_cowboys(&stage.document("crds").unwrap()));
    let crds: Api<CustomResourceDefinition> = Api::all(stage.target.client());
    let begun = Instant::now();
    crds.create(&PostParams::default(), &workload::wildwest()).await.unwrap();
    stage.document_when("crds", has_cowboys).await;
    assert!(begun.elapsed() < PROMISE, "{:?}", begun.elapsed());
    let changed = |access: &portolan_core::api::gateway::ClusterAccess| {
        access.status.as_ref().is_some_and(|status| status.schema_hash != before.schema_hash)
    };
    let after = portolan_testkit::watch_until(stage.accesses(), "crds", changed, SOON).await.unwrap();
    assert!(after.status.unwrap().kinds > before.kinds);
    let begun = Instant::now();
    crds.delete("cowboys.wildwest.dev", &DeleteParams::default()).await.unwrap();
    stage.document_when("crds", |document| !has_cowboys(document)).await;
    assert!(begun.elapsed() < PROMISE, "{:?}", begun.elapsed());
}

/// A CRD in a group of its own.
fn thing(group: &str) -> CustomResourceDefinition {
    let schema = serde_json::json!({"openAPIV3Schema": {"type": "object"}});
    let crd = serde_json::json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("things.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    serde_json::from_value(crd).unwrap()
}

#[tokio::test]
async fn crds_that_come_together_are_all_in_the_document_soon() {
    let stage = Stage::shared().await;
    stage.usual_secrets("together").await;
    stage.create("together", stage.usual("together")).await.unwrap();
    stage.ready("together").await;
    let crds: Api<CustomResourceDefinition> = Api::all(stage.target.client());
    let groups: Vec<_> = (0..6).map(|number| format!("together{number}.example")).collect();
    let begun = Instant::now();
    let making = groups.iter().map(|group| {
        let (crds, crd) = (crds.clone(), thing(group));
        async move { crds.create(&PostParams::default(), &crd).await }
    });
    futures::future::try_join_all(making).await.unwrap();
    let has_all = |document: &serde_json::Value| {
        let definitions = document["definitions"].as_object().unwrap();
        let things = definitions.values().filter(|schema| schema["x-kubernetes-plural"] == "things");
        let found = things.map(|schema| schema["x-kubernetes-group-version-kind"][0]["group"].as_str());
        let found: std::collections::BTreeSet<_> = found.flatten().collect();
        groups.iter().all(|group| found.contains(group.as_str()))
    };
    stage.document_when("together", has_all).await;
    assert!(begun.elapsed() < PROMISE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_restart_of_the_target_takes_no_kind_away() {
    let stage = Stage::start("target-restart").await;
    stage.usual_secrets("kept").await;
    stage.create("kept", stage.usual("kept")).await.unwrap();
    stage.ready("kept").await;
    let crds: Api<CustomResourceDefinition> = Api::all(stage.target.client());
    crds.create(&PostParams::default(), &workload::wildwest()).await.unwrap();
    stage.document_when("kept", has_cowboys).await;
    let watching = async {
        loop {
            assert!(has_cowboys(&stage.document("kept").unwrap()), "{}", stage.listener.log_tail(40));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let restarting = async {
        stage.target.stop_apiserver();
        stage.target.start_apiserver().await.unwrap();
        // Its CRDs and their OpenAPI come in this time.
        tokio::time::sleep(Duration::from_secs(15)).await;
    };
    tokio::select! {
        () = watching => {}
        () = restarting => {}
    }
    stage.ready("kept").await;
    // A change that no hash of OpenAPI shows is seen, too.
    let categories = serde_json::json!(["westerns"]);
    let names = serde_json::json!({"spec": {"names": {"categories": categories}}});
    let begun = Instant::now();
    crds.patch("cowboys.wildwest.dev", &PatchParams::default(), &Patch::Merge(names)).await.unwrap();
    let has_categories = |document: &serde_json::Value| {
        let mut definitions = document["definitions"].as_object().unwrap().values();
        definitions.any(|schema| schema["x-kubernetes-categories"] == categories)
    };
    stage.document_when("kept", has_categories).await;
    assert!(begun.elapsed() < PROMISE, "{:?}", begun.elapsed());
    // What is deleted goes as before.
    let begun = Instant::now();
    crds.delete("cowboys.wildwest.dev", &DeleteParams::default()).await.unwrap();
    stage.document_when("kept", |document| !has_cowboys(document)).await;
    assert!(begun.elapsed() < PROMISE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_rotated_credential_and_a_changed_path_are_followed() {
    let stage = Stage::shared().await;
    stage.usual_secrets("rotated").await;
    stage.create("rotated", stage.usual("rotated")).await.unwrap();
    stage.ready("rotated").await;
    let other = reader(&stage.target, "other", "clusterRules: []").await;
    let begun = Instant::now();
    stage.secret("rotated-token", &[("token", &format!("{other}\n"))]).await;
    let written = BASE64_STANDARD.encode(&other);
    stage
        .document_when("rotated", |document| document["x-cluster-metadata"]["auth"]["token"] == written)
        .await;
    assert!(begun.elapsed() < PROMISE, "{:?}", begun.elapsed());

    stage.change("rotated", serde_json::json!({"path": "moved"})).await;
    let moved = stage.document_when("moved", |_| true).await;
    assert_eq!(moved["x-cluster-metadata"]["path"], "moved");
    stage.document_gone("rotated").await;
    let status = stage.ready("rotated").await.status.unwrap();
    assert_eq!(status.observed_path.as_deref(), Some("moved"));

    // With a credential that does not work, the last good document stays.
    stage.secret("rotated-token", &[("token", "nonsense")]).await;
    let access = stage.reason("rotated", "Unauthorized").await;
    assert!(crate::scene::message(&access).ends_with("The last good document is still served."));
    assert_eq!(stage.document("moved").unwrap()["x-cluster-metadata"]["auth"]["token"], written);

    stage.delete("rotated").await;
    stage.document_gone("moved").await;
}

#[tokio::test]
async fn what_went_while_the_listener_was_down_is_removed_and_nothing_else() {
    let stage = Stage::start("restart").await;
    stage.usual_secrets("kept").await;
    for name in ["kept", "gone"] {
        stage.create(name, stage.usual("kept")).await.unwrap();
        stage.ready(name).await;
    }
    std::fs::write(stage.file("foreign.json"), "not ours").unwrap();
    let written = stage.file("kept.json").metadata().unwrap().modified().unwrap();
    let stage = stage.restarted(async |stage| stage.delete("gone").await).await;
    stage.document_gone("gone").await;
    assert_eq!(std::fs::read_to_string(stage.file("foreign.json")).unwrap(), "not ours");
    // Nor is somebody else's file ever overwritten.
    let mut spec = stage.usual("kept");
    spec["path"] = "foreign".into();
    stage.create("foreign", spec).await.unwrap();
    let access = stage.reason("foreign", "FileConflict").await;
    assert!(crate::scene::message(&access).contains("foreign.json"));
    assert_eq!(std::fs::read_to_string(stage.file("foreign.json")).unwrap(), "not ours");
    assert_eq!(
        stage.file("kept.json").metadata().unwrap().modified().unwrap(),
        written,
        "nothing had changed"
    );
    // With the file out of the way, the document is written.
    std::fs::remove_file(stage.file("foreign.json")).unwrap();
    stage.ready("foreign").await;
    let (code, report) = stage.listener.admin_get("/readyz?verbose").await.unwrap();
    assert_eq!(code, 200, "{report}");
    let metrics = stage.listener.metrics().await.unwrap();
    assert!(metrics.contains("portolan_listener_documents_count 2"), "{metrics}");
    stage.delete("foreign").await;
    let look = async || -> anyhow::Result<Option<()>> {
        Ok((!stage.listener.metrics().await?.contains("cluster=\"foreign\"")).then_some(()))
    };
    eventually("metrics go with their cluster", SOON, look).await.unwrap();
}
