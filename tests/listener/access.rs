//! From a ClusterAccess to a document: each kind of credential, and the document's shape.

use std::os::unix::fs::PermissionsExt as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::{api::core::v1::ServiceAccount, api::events::v1::Event};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, ObjectMeta, PostParams},
};
use portolan_core::kubeconfig::{KubeconfigCredentials, parse_of_cluster};
use portolan_testkit::eventually;
use serde_json::{Value, json};

use crate::scene::{RELEASE, SOON, Stage, condition, reference};

fn decoded(value: &Value) -> String {
    String::from_utf8(BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_makes_a_document_as_the_document_describes_it() {
    let stage = Stage::shared().await;
    stage.usual_secrets("bearer").await;
    stage.create("bearer", stage.usual("bearer")).await.unwrap();
    let access = stage.ready("bearer").await;
    let document = stage.document("bearer").unwrap();
    let members: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["definitions", "x-cluster-metadata"]);
    let metadata = &document["x-cluster-metadata"];
    assert_eq!(metadata["host"], stage.target.server_url());
    assert_eq!(metadata["path"], "bearer");
    assert_eq!(metadata["auth"]["type"], "token");
    assert_eq!(decoded(&metadata["auth"]["token"]), stage.token);
    assert!(decoded(&metadata["ca"]["data"]).contains("BEGIN CERTIFICATE"));

    let deployment = &document["definitions"]["io.k8s.api.apps.v1.Deployment"];
    let spec = json!({"$ref": "#/definitions/io.k8s.api.apps.v1.DeploymentSpec"});
    assert_eq!(deployment["properties"]["spec"]["$ref"], spec["$ref"]);
    for (extension, value) in [
        ("group-version-kind", json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])),
        ("scope", json!("Namespaced")),
        ("categories", json!(["all"])),
        ("plural", json!("deployments")),
        ("singular", json!("deployment")),
        ("short-names", json!(["deploy"])),
        ("subresources", json!(["scale", "status"])),
        ("preferred", json!(true)),
    ] {
        assert_eq!(deployment[format!("x-kubernetes-{extension}")], value, "{extension}");
    }
    let verbs = deployment["x-kubernetes-verbs"].as_array().unwrap();
    assert!(verbs.contains(&json!("list")) && verbs.contains(&json!("watch")));

    let mode = stage.file("bearer.json").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let status = access.status.clone().unwrap();
    assert_eq!(status.observed_path.as_deref(), Some("bearer"));
    assert!(status.kinds.unwrap() > 50 && status.server_version.unwrap().starts_with("v1."));
    assert!(status.schema_hash.is_some() && status.last_sync_time.is_some());
    assert_eq!(condition(&access, "Complete").unwrap().reason, "AllGroupVersions");
    told(stage, "bearer", "ReconcileSucceeded").await;
}

/// Waits for an Event about a ClusterAccess.
async fn told(stage: &Stage, name: &str, reason: &str) {
    let events: Api<Event> = Api::namespaced(stage.client(), "default");
    let look = async || -> Result<Option<()>, kube::Error> {
        let is = |event: &Event| {
            let on = event.regarding.as_ref().and_then(|on| on.name.as_deref());
            on == Some(name) && event.reason.as_deref() == Some(reason)
        };
        Ok(events.list(&ListParams::default()).await?.items.iter().any(is).then_some(()))
    };
    eventually("an Event", SOON, look).await.unwrap();
}

/// Checks that every reference of a document has a target, and that every kind of discovery is there.
#[tokio::test]
async fn a_stock_cluster_has_one_definition_of_each_type() {
    let stage = Stage::shared().await;
    stage.usual_secrets("stock").await;
    stage.create("stock", stage.usual("stock")).await.unwrap();
    stage.ready("stock").await;
    let document = stage.document("stock").unwrap();
    let definitions = document["definitions"].as_object().unwrap();
    for schema in definitions.values() {
        for name in portolan_core::schema_document::referred(schema) {
            assert!(definitions.contains_key(name), "{name} is nowhere");
        }
    }
    let twins: Vec<_> = definitions.keys().filter(|name| name.contains("ObjectMeta")).collect();
    assert_eq!(twins, ["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]);
    // Nor has a kind that others hold: apps/v1 describes claims, and does not serve them.
    let set = &definitions["io.k8s.api.apps.v1.StatefulSetSpec"]["properties"]["volumeClaimTemplates"];
    let claim = "io.k8s.api.core.v1.PersistentVolumeClaim";
    assert_eq!(set["items"]["$ref"], format!("#/definitions/{claim}"));
    assert_eq!(definitions[claim]["x-kubernetes-plural"], "persistentvolumeclaims");
    let twins: Vec<_> = definitions.keys().filter(|name| name.ends_with(".apps.v1")).collect();
    assert_eq!(twins, Vec::<&String>::new());
    let kinds = definitions.values().filter(|schema| schema.get("x-kubernetes-plural").is_some()).count();
    assert!(kinds > 60, "{kinds}");
}

#[tokio::test]
async fn a_kubeconfig_needs_no_host() {
    let stage = Stage::shared().await;
    let kubeconfig = stage.target.kubeconfig_for_token(&stage.token, "default");
    stage.secret("kubeconfig", &[("kubeconfig", &kubeconfig)]).await;
    let spec =
        json!({"path": "from.kubeconfig", "auth": {"kubeconfigSecretRef": reference("kubeconfig", None)}});
    stage.create("kubeconfig", spec).await.unwrap();
    stage.ready("kubeconfig").await;
    let metadata = &stage.document("from.kubeconfig").unwrap()["x-cluster-metadata"];
    assert_eq!(metadata["host"], stage.target.server_url());
    assert_eq!(metadata["auth"]["type"], "kubeconfig");
    assert_eq!(decoded(&metadata["auth"]["kubeconfig"]), kubeconfig);
    assert!(decoded(&metadata["ca"]["data"]).contains("BEGIN CERTIFICATE"));
}

#[tokio::test]
async fn a_client_certificate_is_written_out() {
    let stage = Stage::shared().await;
    let kubeconfig = stage.target.kubeconfig_for_certificate("lister", Some("system:masters")).unwrap();
    let KubeconfigCredentials::ClientCertificate { certificate, key } =
        parse_of_cluster(kubeconfig.as_bytes()).unwrap().credentials
    else {
        panic!("no certificate")
    };
    let certificate = String::from_utf8(certificate).unwrap();
    let key = String::from_utf8(secrecy::ExposeSecret::expose_secret(&key).to_vec()).unwrap();
    stage.secret("certs", &[("tls.crt", &certificate), ("tls.key", &key)]).await;
    stage.config_map("certs-ca", "ca.crt", &stage.target.ca_pem()).await;
    let spec = json!({
        "host": stage.target.server_url(),
        "auth": {"clientCertificateRef": reference("certs", None)},
        "ca": {"configMapRef": reference("certs-ca", None)},
    });
    stage.create("certs", spec).await.unwrap();
    stage.ready("certs").await;
    let auth = &stage.document("certs").unwrap()["x-cluster-metadata"]["auth"];
    assert_eq!(auth["type"], "clientCert");
    assert_eq!(decoded(&auth["certData"]).trim(), certificate.trim());
    assert!(decoded(&auth["keyData"]).contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_service_account_is_written_out_as_a_token() {
    let stage = Stage::shared().await;
    let metadata = ObjectMeta { name: Some("gateway-reader".to_owned()), ..ObjectMeta::default() };
    let account = ServiceAccount { metadata, ..ServiceAccount::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client(), RELEASE);
    accounts.create(&PostParams::default(), &account).await.unwrap();
    stage.secret("management-ca", &[("ca.crt", &stage.management.ca_pem())]).await;
    let spec = json!({
        "host": stage.management.server_url(),
        "auth": {"serviceAccountRef": {"name": "gateway-reader", "namespace": RELEASE, "token_expiration": "1h"}},
        "ca": {"secretRef": reference("management-ca", None)},
    });
    stage.create("account", spec).await.unwrap();
    let access = stage.ready("account").await;
    let auth = &stage.document("account").unwrap()["x-cluster-metadata"]["auth"];
    assert_eq!(auth["type"], "token");
    assert_eq!(decoded(&auth["token"]).split('.').count(), 3);
    // It may read discovery, as everybody may, and nothing more.
    let watched = condition(&access, "Watched").map(|condition| condition.reason.clone());
    if watched.as_deref() != Some("WatchForbidden") {
        let is = |access: &portolan_core::api::gateway::ClusterAccess| {
            condition(access, "Watched").is_some_and(|watched| watched.reason == "WatchForbidden")
        };
        portolan_testkit::watch_until(stage.accesses(), "account", is, SOON).await.unwrap();
    }
}

#[tokio::test]
async fn a_filter_keeps_what_it_names_and_what_that_needs() {
    let stage = Stage::shared().await;
    stage.usual_secrets("filtered").await;
    let mut spec = stage.usual("filtered");
    spec["schemaFilter"] =
        json!({"include": [{"group": "apps", "versions": ["v1"], "kinds": ["StatefulSet"]}]});
    stage.create("filtered", spec).await.unwrap();
    let access = stage.ready("filtered").await;
    assert_eq!(access.status.unwrap().kinds, Some(1));
    let document = stage.document("filtered").unwrap();
    let definitions = document["definitions"].as_object().unwrap();
    assert!(definitions.contains_key("io.k8s.api.core.v1.PodTemplateSpec"));
    assert!(!definitions.contains_key("io.k8s.api.core.v1.Secret"));
    let claims = &definitions["io.k8s.api.core.v1.PersistentVolumeClaim"];
    assert!(claims.get("x-kubernetes-group-version-kind").is_none(), "it is a type there, and no kind");
}

#[tokio::test]
async fn of_two_with_one_path_the_older_serves() {
    let stage = Stage::shared().await;
    stage.usual_secrets("twins").await;
    let mut spec = stage.usual("twins");
    spec["path"] = "twins".into();
    stage.create("twin-z", spec.clone()).await.unwrap();
    stage.ready("twin-z").await;
    // The age is in whole seconds.
    let older = stage.accesses().get("twin-z").await.unwrap().creation_timestamp();
    spec["schemaFilter"] = json!({"include": [{"kinds": ["ConfigMap"]}]});
    let look = async || {
        let made = stage.create("twin-a", spec.clone()).await.ok()?;
        if made.creation_timestamp() > older {
            return Some(());
        }
        stage.delete("twin-a").await;
        None
    };
    eventually("a younger one", SOON, look).await.unwrap();
    let younger = stage.reason("twin-a", "PathConflict").await;
    assert!(crate::scene::message(&younger).contains("twin-z"));
    told(stage, "twin-a", "PathConflict").await;
    stage.delete("twin-z").await;
    stage.ready("twin-a").await;
    let document =
        stage.document_when("twins", |d| d["definitions"].get("io.k8s.api.apps.v1.Deployment").is_none());
    assert!(document.await["definitions"].get("io.k8s.api.core.v1.ConfigMap").is_some());
}
