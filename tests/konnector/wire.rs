//! The wire contract with older clients and other backends: bindings made by hand, `/healthz`, versions.

use std::collections::BTreeMap;

use k8s_openapi::api::{core::v1::Secret, rbac::v1::Role};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use portolan_core::api::kubebind::{
    APIServiceBinding, APIServiceExportRequest, ClusterBinding, binding_v1alpha1,
};
use portolan_testkit::{eventually::eventually, load};
use serde_json::{Value, json};

use crate::support::{
    Clusters, RELEASE, SOON, Service, binding_condition, bundle_condition, clusters, create_bundle, matching,
    write_secret,
};

pub fn hand_made(name: &str, secret: &str) -> APIServiceBinding {
    serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBinding", "metadata": {"name": name},
        "spec": {"kubeconfigSecretRef": {"name": secret, "namespace": "default", "key": "kubeconfig"}},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_binding_made_by_hand_works_and_is_never_adopted_by_a_bundle() {
    let service = Service::offer(clusters().await, "by-cli").await;
    write_secret(&service.consumer, "by-cli", "kubeconfig", &service.kubeconfig).await;
    // As the command-line client leaves it: in the namespace of the release, under a name of its own.
    let labels = BTreeMap::from([("kube-bind.io/provider-kubeconfig".to_owned(), "true".to_owned())]);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some("kubeconfig-9lbzx".to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        string_data: Some(BTreeMap::from([("kubeconfig".to_owned(), service.kubeconfig.clone())])),
        ..Secret::default()
    };
    let secrets: Api<Secret> = Api::namespaced(service.consumer.clone(), RELEASE);
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    let mut binding = hand_made(&service.export(), "kubeconfig-9lbzx");
    RELEASE.clone_into(&mut binding.spec.kubeconfig_secret_ref.namespace);
    let made = bindings.create(&PostParams::default(), &binding).await.unwrap();
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let column =
        bindings.get(&service.export()).await.unwrap().annotations()["kube-bind.io/resources"].clone();
    assert_eq!(column, service.export());

    create_bundle(&service.consumer, "by-cli", "by-cli").await;
    let conflict = bundle_condition(&service.consumer, "by-cli", "Synced", ("False", "SyncErrors")).await;
    assert!(conflict.message.contains("was not made by a bundle"), "{}", conflict.message);
    let bundles: Api<portolan_core::api::kubebind::APIServiceBindingBundle> =
        Api::all(service.consumer.clone());
    bundles.delete("by-cli", &kube::api::DeleteParams::default()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let now = bindings.get(&service.export()).await.unwrap();
    assert_eq!(now.uid(), made.uid());
    assert!(now.owner_references().is_empty() && now.metadata.deletion_timestamp.is_none());
}

#[tokio::test]
async fn bindings_are_served_in_v1alpha1_too() {
    let service = Service::bind(clusters().await, "old-version").await;
    let old: Api<binding_v1alpha1::APIServiceBinding> = Api::all(service.consumer.clone());
    let binding = old.get(&service.export()).await.unwrap();
    assert_eq!(binding.spec.kubeconfig_secret_ref.name, "old-version");
    let wrong_key = json!({
        "apiVersion": "kube-bind.io/v1alpha1", "kind": "APIServiceBinding", "metadata": {"name": "wrong-key"},
        "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "default", "key": "other"}},
    });
    let resource = kube::api::ApiResource::erase::<binding_v1alpha1::APIServiceBinding>(&());
    let any: Api<kube::api::DynamicObject> = Api::all_with(service.consumer.clone(), &resource);
    let refused = any.create(&PostParams::default(), &serde_json::from_value(wrong_key).unwrap()).await;
    assert!(refused.unwrap_err().to_string().contains("key"));
}

#[tokio::test]
async fn a_refused_request_of_the_same_name_is_said_on_the_binding() {
    let service = Service::offer(clusters().await, "asked").await;
    write_secret(&service.consumer, "asked", "kubeconfig", &service.kubeconfig).await;
    let requests: Api<APIServiceExportRequest> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let request = serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExportRequest", "metadata": {"name": "asked-for"},
        "spec": {"resources": [{"group": "asked.dev", "resource": "cowboys"}]},
    }))
    .unwrap();
    requests.create(&PostParams::default(), &request).await.unwrap();
    let status = json!({"status": {"phase": "Failed", "terminalMessage": "not for you"}});
    requests.patch_status("asked-for", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    bindings.create(&PostParams::default(), &hand_made("asked-for", "asked")).await.unwrap();
    let said =
        binding_condition(&service.consumer, "asked-for", "Connected", ("False", "APIServiceExportFailed"))
            .await;
    assert_eq!(said.message, "not for you");

    bindings.create(&PostParams::default(), &hand_made("never-asked-for", "asked")).await.unwrap();
    let said = binding_condition(
        &service.consumer,
        "never-asked-for",
        "Connected",
        ("False", "APIServiceExportNotFound"),
    )
    .await;
    assert_eq!(
        said.message,
        "APIServiceExport never-asked-for not found on the service provider cluster. Rerun kubectl bind for repair."
    );
}

#[tokio::test]
async fn healthz_answers_where_probes_look_for_it() {
    let clusters = clusters().await;
    Service::bind(clusters, "probed").await;
    let report = load::http_get(&clusters.healthz, 1, 1).await.unwrap();
    assert_eq!(report.statuses, BTreeMap::from([(200, 1)]), "{report:?}");
    let (status, body) = clusters.konnector.admin_get("/readyz?verbose").await.unwrap();
    assert_eq!((status, body.as_str()), (200, "[+] api-server\n[+] caches\n[+] lease\n"));
    let metrics = clusters.konnector.metrics().await.unwrap();
    assert!(metrics.contains("portolan_konnector_reconciles_total"), "{metrics}");
    let (status, body) = clusters.provider_service.admin_get("/readyz").await.unwrap();
    assert_eq!((status, body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn secrets_cannot_be_swapped_under_a_bundle() {
    let service = Service::bind(clusters().await, "immutable").await;
    let bundles: Api<portolan_core::api::kubebind::APIServiceBindingBundle> =
        Api::all(service.consumer.clone());
    let change = json!({"spec": {"kubeconfigSecretRef": {"name": "other"}}});
    let refused = bundles.patch("immutable", &PatchParams::default(), &Patch::Merge(&change)).await;
    assert!(refused.unwrap_err().to_string().contains("kubeconfigSecretRef is immutable"));
}

#[tokio::test]
async fn the_provider_gets_a_sign_of_life_and_the_binding_says_so() {
    let service = Service::bind(clusters().await, "alive").await;
    let api: Api<ClusterBinding> = Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let status = eventually("the ClusterBinding has a heartbeat", SOON, async || {
        let status = api.get("cluster").await?.status.unwrap_or_default();
        Ok::<_, anyhow::Error>(status.last_heartbeat_time.is_some().then_some(status))
    })
    .await
    .unwrap();
    assert_eq!(status.heartbeat_interval.as_deref(), Some("5m0s"));
    assert!(status.konnector_version.unwrap().starts_with('v'));
    let secret = status.consumer_secret_ref.unwrap();
    assert_eq!((secret.namespace.as_str(), secret.name.as_str()), ("default", "alive"));
    matching(&status.conditions, "ValidVersion", ("True", "")).unwrap().unwrap();
    binding_condition(&service.consumer, &service.export(), "Heartbeating", ("True", "")).await;
}

#[tokio::test]
async fn a_sign_of_life_that_failed_is_given_again_soon_and_one_that_nobody_keeps_is_not_spoken_of() {
    let clusters = Clusters::start("heartbeats").await;
    let service = Service::bind(&clusters, "heartbeats").await;
    let (consumer, contract) = (&service.consumer, service.contract_namespace());
    binding_condition(consumer, &service.export(), "Heartbeating", ("True", "")).await;
    let roles: Api<Role> = Api::namespaced(service.provider.clone(), &contract);
    let whole = roles.get("kube-binder").await.unwrap();
    let mut without = json!({"rules": whole.rules});
    for rule in without["rules"].as_array_mut().unwrap() {
        rule["resources"].as_array_mut().unwrap().retain(|resource| resource != "clusterbindings/status");
    }
    let params = PatchParams::default();
    roles.patch("kube-binder", &params, &Patch::Merge(&without)).await.unwrap();
    // What it finds makes it report again; the right may still be known to the API server for a moment.
    let bindings: Api<ClusterBinding> = Api::namespaced(service.provider.clone(), &contract);
    let said: Api<APIServiceBinding> = Api::all(consumer.clone());
    eventually("the report is refused", SOON, async || {
        let old = json!({"status": {"lastHeartbeatTime": "2026-01-01T00:00:00Z"}});
        bindings.patch_status("cluster", &params, &Patch::Merge(&old)).await?;
        let status = said.get(&service.export()).await?.status.unwrap_or_default();
        let expected = ("False", "ClusterBindingUpdateFailed");
        Ok::<_, anyhow::Error>(matching(&status.conditions, "Heartbeating", expected).ok().flatten())
    })
    .await
    .unwrap();
    let again = json!({"rules": whole.rules});
    roles.patch("kube-binder", &params, &Patch::Merge(&again)).await.unwrap();
    binding_condition(consumer, &service.export(), "Heartbeating", ("True", "")).await;

    clusters.provider_service.kill();
    bindings.delete("cluster", &DeleteParams::default()).await.unwrap();
    eventually("nothing is said of it", SOON, async || {
        let status = said.get(&service.export()).await?.status.unwrap_or_default();
        let speaks = status.conditions.iter().any(|condition| condition.r#type == "Heartbeating");
        Ok::<_, anyhow::Error>((!speaks).then_some(()))
    })
    .await
    .unwrap();
    binding_condition(consumer, &service.export(), "Ready", ("True", "")).await;
}

#[tokio::test]
async fn the_columns_of_kubectl_get_are_filled() {
    let service = Service::bind(clusters().await, "columns").await;
    bundle_condition(&service.consumer, "columns", "Ready", ("True", "")).await;
    let row = async |resource: &str, name: &str| {
        let uri = format!("/apis/kube-bind.io/v1alpha2/{resource}/{name}");
        let request =
            http::Request::get(uri).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
        let table: Value = service.consumer.request(request.body(Vec::new()).unwrap()).await.unwrap();
        let columns = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap().to_owned());
        columns.zip(table["rows"][0]["cells"].as_array().unwrap().clone()).collect::<BTreeMap<_, _>>()
    };
    let bundle = row("apiservicebindingbundles", "columns").await;
    assert_eq!(
        (&bundle["Ready"], &bundle["Bound"], &bundle["Resources"]),
        (&json!("True"), &json!(1), &json!(service.export()))
    );
    let binding = row("apiservicebindings", &service.export()).await;
    assert_eq!((&binding["Ready"], &binding["Resources"]), (&json!("True"), &json!(service.export())));
    for row in [bundle, binding] {
        assert_eq!(row["Provider"], "Portolan provider");
    }
}
