//! Usability of a bundle: the state of its bindings, in conditions, columns, Events and metrics.

use anyhow::ensure;
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceBindingBundle},
    condition::Severity,
};
use portolan_testkit::{eventually::eventually, service::ServiceProcess, workload};
use serde_json::{Value, json};

use crate::support::{
    SOON, Service, binding_condition, bundle_condition, clusters, create_bundle, grant_group, kind_of,
    write_secret,
};

/// The warnings on an object, by reason, with how many there are of each.
pub async fn warnings(client: &kube::Client, kind: &str, name: &str) -> Vec<(String, String)> {
    let events: Api<Event> = Api::all(client.clone());
    let all = events.list(&ListParams::default()).await.unwrap().items;
    let about = |event: &Event| {
        let on = event.regarding.clone().unwrap_or_default();
        event.type_.as_deref() == Some("Warning")
            && on.kind.as_deref() == Some(kind)
            && on.name.as_deref() == Some(name)
    };
    let told = all.into_iter().filter(about);
    told.map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect()
}

/// The value of a metric of the konnector, if it has one.
pub async fn metric(konnector: &ServiceProcess, series: &str) -> Option<f64> {
    let text = konnector.metrics().await.unwrap();
    let name = format!("portolan_konnector_{series} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
}

async fn row(client: &kube::Client, name: &str) -> Value {
    let uri = format!("/apis/kube-bind.io/v1alpha2/apiservicebindingbundles/{name}");
    let request = http::Request::get(uri).header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = client.request(request.body(Vec::new()).unwrap()).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let names = columns.map(|column| column["name"].as_str().unwrap().to_owned());
    names.zip(table["rows"][0]["cells"].as_array().unwrap().clone()).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn a_bundle_is_ready_when_everything_that_it_has_bound_can_be_used() {
    let clusters = clusters().await;
    let service = Service::offer(clusters, "usable").await;
    // Another kind of the same service, which the konnector may not work with yet.
    let (mut other, resource) = kind_of("usable-too");
    other.labels_mut().insert("test".to_owned(), "usable".to_owned());
    workload::install(&service.provider, &other).await.unwrap();
    write_secret(&service.consumer, "usable", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "usable", "usable").await;

    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    let denied = "cowboys.usable-too.dev";
    binding_condition(&service.consumer, denied, "InformersSynced", ("False", "PermissionDenied")).await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let said = eventually("the bundle names what is not ready", SOON, async || {
        let status = bundles.get("usable").await?.status.unwrap_or_default();
        let ready = portolan_core::condition::find(&status.conditions, "Ready").cloned();
        let ready = ready.filter(|ready| {
            ready.message.contains("1 of 2 are not ready: cowboys.usable-too.dev (PermissionDenied)")
        });
        ensure!(ready.is_some(), "{}", json!(status));
        Ok(ready.zip(Some(status)))
    });
    let (ready, status) = said.await.unwrap();
    assert_eq!((ready.reason.as_str(), ready.severity), ("BindingsNotReady", Severity::Error));
    assert_eq!((status.bound, status.ready, status.not_ready), (Some(2), Some(1), Some(1)));
    let columns = row(&service.consumer, "usable").await;
    assert_eq!(
        (&columns["Bound"], &columns["Usable"], &columns["Ready"]),
        (&2.into(), &1.into(), &"False".into())
    );
    assert_eq!(metric(&clusters.konnector, r#"bundle_ready{bundle="usable"}"#).await, Some(0.0));
    assert!(metric(&clusters.konnector, r#"bindings{reason="PermissionDenied"}"#).await >= Some(1.0));

    // People are told on both, and once.
    for (kind, name, reason) in [
        ("APIServiceBindingBundle", "usable", "BindingsNotReady"),
        ("APIServiceBinding", denied, "PermissionDenied"),
    ] {
        let what = format!("an Event {reason}");
        let told = eventually(&what, SOON, async || {
            let told = warnings(&service.consumer, kind, name).await;
            let told: Vec<_> = told.into_iter().filter(|(said, _)| said == reason).collect();
            Ok::<_, anyhow::Error>((!told.is_empty()).then_some(told))
        });
        assert_eq!(told.await.unwrap().len(), 1, "{name}");
    }
    // Where nothing changes, nothing is written.
    let version = bundles.get("usable").await.unwrap().resource_version();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(bundles.get("usable").await.unwrap().resource_version(), version);

    grant_group(&service.consumer, &resource.group).await;
    bundle_condition(&service.consumer, "usable", "Ready", ("True", "")).await;
    binding_condition(&service.consumer, denied, "Ready", ("True", "")).await;
    let columns = row(&service.consumer, "usable").await;
    assert_eq!((&columns["Usable"], &columns["Ready"]), (&2.into(), &"True".into()));
    assert_eq!(metric(&clusters.konnector, r#"bundle_ready{bundle="usable"}"#).await, Some(1.0));
}

#[tokio::test]
async fn changes_are_timed_until_the_copy_has_them_and_series_go_with_what_they_count() {
    let clusters = clusters().await;
    let service = Service::bind(clusters, "timed").await;
    let count = r#"copy_latency_seconds_count{resource="cowboys.timed.dev"}"#;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    eventually("the first copy was timed", SOON, async || {
        let seen = metric(&clusters.konnector, count).await;
        ensure!(seen == Some(1.0), "{seen:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    crate::support::merge(&service.here(), "billy", json!({"spec": {"intent": "rest"}})).await;
    // A status that comes up is no change on the consumer.
    crate::support::merge_status(&service.there(), "billy", json!({"result": "resting"})).await;
    crate::support::object_with(&service.here(), "billy", "rests", |o| {
        o.data["status"]["result"] == "resting"
    })
    .await;
    eventually("the change was timed", SOON, async || {
        let seen = metric(&clusters.konnector, count).await;
        ensure!(seen == Some(2.0), "{seen:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    let sum = metric(&clusters.konnector, r#"copy_latency_seconds_sum{resource="cowboys.timed.dev"}"#).await;
    assert!(sum > Some(0.0) && sum < Some(60.0), "{sum:?}");

    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.delete("timed", &DeleteParams::default()).await.unwrap();
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    eventually("the binding is gone", SOON, async || {
        Ok::<_, kube::Error>(bindings.get_opt(&service.export()).await?.is_none().then_some(()))
    })
    .await
    .unwrap();
    eventually("the series are gone", SOON, async || {
        let text = clusters.konnector.metrics().await?;
        let left: Vec<_> = text.lines().filter(|line| line.contains("timed")).collect();
        ensure!(left.iter().all(|line| line.contains("last_contact")), "{left:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}
