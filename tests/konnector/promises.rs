//! Promises in seconds, at five times the figure: a machine that is busy keeps them, and code that became ten times
//! slower does not. The figures themselves are measured by `cargo xtask bench konnector`.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::core::v1::ConfigMap,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceExport, ClusterBinding};
use portolan_testkit::{
    eventually::{eventually, watch_until, watch_until_gone},
    load, workload,
};
use serde_json::json;

use crate::support::{
    Clusters, SOON, Service, bundle_condition, create_bundle, kind_of, konnector, konnector_as, merge,
    merge_status, object_with, write_secret,
};

/// Factor by which something may take longer here than promised.
const FACTOR: f64 = 5.0;

/// Asserts that something took no longer than five times what is promised.
fn kept(what: &str, promised_ms: f64, took: Duration) {
    let took_ms = took.as_secs_f64() * 1000.0;
    assert!(took_ms < promised_ms * FACTOR, "{what}: {took_ms:.0} ms, promised are {promised_ms} ms");
}

async fn until(api: &Api<DynamicObject>, name: &str, is: impl Fn(&DynamicObject) -> bool) {
    watch_until(api.clone(), name, is, SOON).await.unwrap();
}

/// Waits for the event of a CRD on the consumer, established, from a watch that is open before anything happens.
async fn established(service: &Service, name: &str, begin: impl AsyncFnOnce()) -> Duration {
    let crds: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    let name = name.to_owned();
    let mut watch = tokio::task::JoinSet::new();
    watch.spawn(async move {
        watch_until(crds, &name, workload::is_established, SOON).await.unwrap();
        Instant::now()
    });
    // How long a watch takes to open.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    begin().await;
    watch.join_next().await.unwrap().unwrap() - start
}

#[tokio::test]
async fn a_bundle_and_a_new_export_bring_their_crds_in_time() {
    let clusters = Box::pin(Clusters::start("in-time")).await;
    let service = Service::offer(&clusters, "in-time").await;
    write_secret(&service.consumer, "in-time", "kubeconfig", &service.kubeconfig).await;
    let took = established(&service, &service.export(), async || {
        create_bundle(&service.consumer, "in-time", "in-time").await;
    })
    .await;
    kept("from a bundle to its CRD", 270.0, took);
    bundle_condition(&service.consumer, "in-time", "Ready", ("True", "")).await;

    let (mut crd, _) = kind_of("in-time-too");
    crd.labels_mut().insert("test".to_owned(), "in-time".to_owned());
    crd.labels_mut().remove(workload::EXPORTED);
    workload::install(&service.provider, &crd).await.unwrap();
    let took = established(&service, &crd.name_any(), async || {
        let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
        let label = json!({"metadata": {"labels": {workload::EXPORTED: "true"}}});
        crds.patch(&crd.name_any(), &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    })
    .await;
    kept("from a label to the CRD on the consumer", 500.0, took);
}

#[tokio::test]
async fn objects_follow_in_time() {
    let clusters = Box::pin(Clusters::start("follow")).await;
    let service = Service::bind(&clusters, "follow").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let (here, there) = (service.here(), service.there());
    let (mut specs, mut statuses, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let text = format!("round {round}");
        let start = Instant::now();
        merge(&here, "billy", json!({"spec": {"intent": text}})).await;
        // By asking: opening a watch takes longer than what is measured.
        object_with(&there, "billy", "follows", |copy| copy.data["spec"]["intent"] == text.as_str()).await;
        specs.push(start.elapsed());
        let start = Instant::now();
        merge_status(&there, "billy", json!({"result": text})).await;
        object_with(&here, "billy", "has it", |origin| origin.data["status"]["result"] == text.as_str())
            .await;
        statuses.push(start.elapsed());
        bare.push(bare_change(&service, round).await);
    }
    specs.sort_unstable();
    statuses.sort_unstable();
    bare.sort_unstable();
    for (what, all) in [("changes", specs), ("statuses", statuses)] {
        let over = |place: usize| all[place].saturating_sub(bare[place]);
        kept(&format!("the median of {what}"), 10.0, over(ROUNDS / 2));
        kept(&format!("the slowest of {what}"), 60.0, over(ROUNDS - 1));
    }

    let names: Vec<_> = (0..200).map(|number| format!("many-{number:03}")).collect();
    let make = |number: usize| {
        let object = DynamicObject::new(&names[number], &service.resource).within(&service.name);
        object.data(json!({"spec": {"intent": "ride ".repeat(117)}}))
    };
    let start = Instant::now();
    load::objects(&service.consumer, &service.resource, Some(&service.name), make, names.len(), 20)
        .await
        .unwrap();
    eventually("all copies are there", SOON, async || {
        let all = there.list_metadata(&ListParams::default()).await?.items;
        Ok::<_, kube::Error>((all.len() > names.len()).then_some(()))
    })
    .await
    .unwrap();
    kept("200 objects", 3_000.0, start.elapsed());
}

/// Changes that are made one after the other.
const ROUNDS: usize = 20;

/// Measures the same requests at this moment where nobody carries anything: a change on each side, and a look.
async fn bare_change(service: &Service, round: usize) -> Duration {
    let start = Instant::now();
    for client in [&service.consumer, &service.provider] {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
        let change = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "promises"}, "data": {"round": round.to_string()}});
        let params = PatchParams::apply("promises");
        maps.patch("promises", &params, &Patch::Apply(&change)).await.unwrap();
        maps.get("promises").await.unwrap();
    }
    start.elapsed()
}

#[tokio::test]
async fn a_restart_is_over_in_time_and_memory_stays_small() {
    let mut clusters = Box::pin(Clusters::start("again")).await;
    let service = Service::bind(&clusters, "again").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let memory = clusters.konnector.rss_mb().unwrap();
    assert!(memory < 25.0 * FACTOR, "{memory} MB with one binding");
    clusters.konnector.kill();
    merge_status(&service.there(), "billy", json!({"result": "while you were away"})).await;
    let start = Instant::now();
    (clusters.konnector, _) = konnector(&clusters.konnector_kubeconfig).await;
    until(&service.here(), "billy", |origin| origin.data["status"]["result"] == "while you were away").await;
    kept("a restart", 5_000.0, start.elapsed());
}

/// The documents say that nothing is removed for four polling intervals, and that it goes after them.
#[tokio::test]
async fn four_polling_intervals_are_four_by_the_clock() {
    let interval = Duration::from_secs(3);
    let clusters = Box::pin(Clusters::start("four-polls")).await;
    let service = Service::bind(&clusters, "four-polls").await;
    clusters.konnector.kill();
    clusters.provider_service.kill();
    let exports: Api<APIServiceExport> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let held = json!({"metadata": {"finalizers": null}});
    exports.patch(&service.export(), &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
    exports.delete(&service.export(), &DeleteParams::default()).await.unwrap();
    watch_until_gone(exports, &service.export(), SOON).await.unwrap();

    let start = Instant::now();
    let flag = format!("--provider-polling-interval={}s", interval.as_secs());
    let (_konnector, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &[&flag]).await;
    let said =
        bundle_condition(&service.consumer, "four-polls", "Synced", ("False", "ProviderSuspect")).await;
    assert!(said.message.contains(&service.export()), "{}", said.message);
    let bindings: Api<APIServiceBinding> = Api::all(service.consumer.clone());
    watch_until_gone(bindings, &service.export(), SOON * 3).await.unwrap();
    let took = start.elapsed();
    assert!(took >= interval * 4, "gone after {took:?}, before four intervals of {interval:?}");
    kept("four polling intervals", interval.as_secs_f64() * 4_000.0, took);
}

#[tokio::test]
async fn a_sign_of_life_comes_as_often_as_the_flag_says() {
    let mut clusters = Box::pin(Clusters::start("often")).await;
    clusters.konnector.kill();
    let flags = ["--heartbeat-interval=2s"];
    (clusters.konnector, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-0", &flags).await;
    let service = Service::bind(&clusters, "often").await;
    let api: Api<ClusterBinding> = Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let next = async |last: Option<Time>| {
        let binding = watch_until(
            api.clone(),
            "cluster",
            |binding: &ClusterBinding| {
                let now = binding.status.as_ref().and_then(|status| status.last_heartbeat_time.clone());
                now.is_some() && now != last
            },
            SOON,
        );
        binding.await.unwrap().status.unwrap()
    };
    let mut status = next(None).await;
    assert_eq!(status.heartbeat_interval.as_deref(), Some("2s"));
    for _ in 0..3 {
        let start = Instant::now();
        status = next(status.last_heartbeat_time).await;
        kept("a sign of life", 2_000.0, start.elapsed());
    }
}
