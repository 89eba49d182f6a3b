//! Tools of the people on call: checks, metrics, flags, the standby.

use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::{
    api::coordination::v1::Lease,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use portolan_core::api::kubebind::APIServiceBindingBundle;
use portolan_testkit::{
    audit::AuditEntry,
    eventually::{eventually, watch_until, watch_until_gone},
    service::{ServiceOptions, run},
};
use serde_json::{Value, json};

use crate::support::{
    Clusters, RELEASE, SOON, Service, bundle_condition, clusters, command, create_bundle, konnector_as,
    object_with, plane, write_secret,
};

/// The checks whose name has this in it.
fn named<'a>(checks: &'a Value, part: &str) -> Vec<&'a Value> {
    let all = checks.as_array().unwrap().iter();
    let found: Vec<_> = all.filter(|check| check["name"].as_str().unwrap().contains(part)).collect();
    assert!(!found.is_empty(), "no check about {part}: {checks}");
    found
}

async fn check(kubeconfig: &str) -> (i32, Value) {
    let output = command(kubeconfig, &["check", "-o", "json"]).await;
    let checks: Result<Value, _> = serde_json::from_str(&output.stdout);
    assert!(checks.is_ok(), "{} {}", output.stdout, output.stderr);
    (output.status.code().unwrap(), checks.unwrap())
}

#[tokio::test]
async fn check_works_before_anything_is_installed_and_each_failure_has_a_cure() {
    let empty = plane("unchecked").await;
    let (code, checks) = check(&empty.kubeconfig()).await;
    assert_eq!(code, 1);
    for check in named(&checks, "CRD ").into_iter().chain(named(&checks, "running konnector")) {
        assert_eq!(check["ok"], false, "{check}");
        assert!(check["cure"].as_str().unwrap().contains("start the konnector"), "{check}");
        assert!(check["docs"].as_str().unwrap().starts_with("docs/konnector.md#"), "{check}");
    }
    assert!(
        named(&checks, "right to").iter().all(|check| check["ok"] == true),
        "an administrator may: {checks}"
    );
    let nobody = empty.kubeconfig_for_certificate("nobody", None).unwrap();
    let (_, checks) = check(&nobody).await;
    let bundles = named(&checks, "right to apiservicebindingbundles.kube-bind.io")[0];
    assert_eq!(
        (&bundles["ok"], &bundles["detail"]),
        (&false.into(), &"may not get, list, watch, patch".into())
    );
}

#[tokio::test]
async fn check_finds_nothing_where_all_is_well_and_names_what_is_wrong_with_a_provider() {
    let clusters = clusters().await;
    let service = Service::bind(clusters, "checked").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let account = &clusters.konnector_kubeconfig;
    // Other tests take rights on their own kinds away.
    let of_others = |check: &Value| {
        let name = check["name"].as_str().unwrap();
        name.starts_with("right to ") && name.contains(".dev") && !name.contains(".checked.dev")
    };
    let parts =
        ["this cluster", "CRD ", "right to", "running konnector", "checked", "right to cowboys.checked.dev"];
    // On a busy machine the provider may have been out of reach a moment ago.
    eventually("nothing is found", SOON * 4, async || {
        let (_, checks) = check(account).await;
        for part in ["reachability of", "TLS name of", "clock of", "token for", "exports of"] {
            named(&checks, &format!("{part} the provider of bundle checked"));
        }
        named(&checks, "lag of binding cowboys.checked.dev");
        let ours = parts.iter().flat_map(|part| named(&checks, part)).filter(|check| !of_others(check));
        let bad: Vec<_> = ours.filter(|check| check["ok"] != true).collect();
        ensure!(bad.is_empty(), "{bad:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();

    let name =
        service.kubeconfig.replace("    server: ", "    tls-server-name: elsewhere.example\n    server: ");
    write_secret(&service.consumer, "checked-name", "kubeconfig", &name).await;
    create_bundle(&service.consumer, "checked-name", "checked-name").await;
    let server = service.kubeconfig.replace(&clusters.provider.server_url(), "https://127.0.0.1:1");
    write_secret(&service.consumer, "checked-server", "kubeconfig", &server).await;
    create_bundle(&service.consumer, "checked-server", "checked-server").await;
    let (code, checks) = check(account).await;
    assert_eq!(code, 1);
    let ok = |name: &str| named(&checks, name)[0].get("ok").cloned();
    assert_eq!(ok("reachability of the provider of bundle checked-name"), Some(true.into()));
    assert_eq!(ok("TLS name of the provider of bundle checked-name"), Some(false.into()));
    assert_eq!(ok("reachability of the provider of bundle checked-server"), Some(false.into()));
    assert_eq!(ok("TLS name of the provider of bundle checked-server"), None, "it could not be asked");
}

#[tokio::test]
async fn a_standby_takes_over_within_20_seconds_and_who_lost_the_lease_ends() {
    let clusters = Clusters::start("standby").await;
    let service = Service::bind(&clusters, "standby").await;
    let (standby, _) = konnector_as(&clusters.konnector_kubeconfig, "konnector-1", &[]).await;
    clusters.konnector.pause();
    let (paused, leases) = (Instant::now(), Api::<Lease>::namespaced(service.consumer.clone(), RELEASE));
    service.create("billy", &json!({"intent": "ride"})).await;
    let taken = |lease: &Lease| {
        lease.spec.as_ref().is_some_and(|spec| spec.holder_identity.as_deref() == Some("konnector-1"))
    };
    watch_until(leases, "kube-bind", taken, SOON).await.unwrap();
    let took = paused.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    service.arrives("billy").await;
    clusters.konnector.resume();
    let end = clusters.konnector.wait_exit(SOON).await.unwrap();
    assert!(!end.success(), "it did not end because it was asked to");
    assert!(standby.exited().is_none());
}

#[tokio::test]
async fn wrong_flags_are_usage_errors() {
    let code = async |flag: &str| {
        let output = command("", &[flag]).await;
        assert!(!output.stderr.is_empty());
        output.status.code()
    };
    for flag in ["--provider-polling-interval=0", "--heartbeat-interval=0s", "--install-crds=perhaps"] {
        assert_eq!(code(flag).await, Some(64), "{flag}");
    }
}

#[tokio::test]
async fn crds_are_installed_always_where_missing_or_never() {
    let plane = plane("installing").await;
    let start = async |when: &str| {
        let port = portolan_testkit::ports::free_port().unwrap();
        let mut options = ServiceOptions::new("konnector", plane.kubeconfig())
            .args([format!("--install-crds={when}"), format!("--server-address=127.0.0.1:{port}")]);
        RELEASE.clone_into(&mut options.pod_namespace);
        options
    };
    crate::support::create_namespace(&plane.client(), RELEASE).await;
    let mut never = start("never").await;
    never.args.push(format!("--admin-address=127.0.0.1:{}", portolan_testkit::ports::free_port().unwrap()));
    let refused = run(&never, SOON).await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("--install-crds=never"), "{}", refused.stderr);

    let started = async |when: &str| {
        let options = start(when).await;
        let konnector = portolan_testkit::ServiceProcess::start(options).await.unwrap();
        assert!(konnector.terminate(SOON).await.unwrap().success());
    };
    started("if-missing").await;
    let crds: Api<CustomResourceDefinition> = Api::all(plane.client());
    let name = "apiservicebindingbundles.kube-bind.io";
    let change = json!({"spec": {"names": {"shortNames": ["mine"]}}});
    crds.patch(name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    let short_names = async || crds.get(name).await.unwrap().spec.names.short_names.unwrap_or_default();
    started("if-missing").await;
    started("never").await;
    assert_eq!(short_names().await, ["mine"]);
    started("always").await;
    assert_eq!(short_names().await, ["sbb"]);
}

#[tokio::test]
async fn a_bundle_counts_and_metrics_come_and_go_with_what_they_are_about() {
    let clusters = clusters().await;
    let service = Service::bind(clusters, "metered").await;
    service.create("billy", &json!({"intent": "ride"})).await;
    service.arrives("billy").await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let counted =
        |bundle: &APIServiceBindingBundle| bundle.status.as_ref().is_some_and(|s| s.ready == Some(1));
    let bundle = watch_until(bundles.clone(), "metered", counted, SOON).await.unwrap();
    let status = bundle.status.clone().unwrap();
    assert_eq!((status.exports, status.bound, status.conflicts), (Some(1), Some(1), Some(0)));
    assert_eq!(status.observed_generation, bundle.metadata.generation);
    assert!(status.last_sync_time.is_some());

    let labels = ["{resource=\"cowboys.metered.dev\"} 1", "{secret=\"default/metered\"}"];
    let families = [
        "portolan_konnector_api_requests_total{cluster=\"remote\",verb=\"create\"}",
        "portolan_konnector_api_requests_total{cluster=\"own\",verb=\"watch\"}",
        "portolan_konnector_queue_depth_keys{controller=\"sync\"}",
        "portolan_konnector_queue_wait_seconds_count{controller=\"sync\"}",
        "portolan_konnector_reconcile_seconds_count{controller=\"sync\"}",
        "portolan_konnector_sync_steps_total{step=\"create_copy\"}",
        "portolan_konnector_provider_last_contact_timestamp_seconds",
    ];
    // A step is counted once its answer is there, which a watch may overtake.
    eventually("all of them", SOON, async || {
        let metrics = clusters.konnector.metrics().await?;
        let missing: Vec<_> =
            families.iter().chain(&labels).filter(|text| !metrics.contains(**text)).collect();
        ensure!(missing.is_empty(), "{missing:?} in {metrics}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    // Another schema is another engine, which counts on.
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let short = json!({"spec": {"names": {"shortNames": ["metered"]}}});
    let before = clusters.consumer.audit().mark().unwrap();
    crds.patch(&service.export(), &PatchParams::default(), &Patch::Merge(&short)).await.unwrap();
    let audit = clusters.consumer.audit();
    let lists = |entry: &AuditEntry| entry.verb == "list" && entry.request_uri.contains("metered.dev/");
    eventually("another engine lists the objects", SOON, async || {
        Ok::<_, anyhow::Error>(audit.entries_since(before)?.iter().any(lists).then_some(()))
    })
    .await
    .unwrap();
    service.create("clara", &json!({"intent": "ride"})).await;
    service.arrives("clara").await;
    let two = "{resource=\"cowboys.metered.dev\"} 2";
    eventually("both objects are counted", SOON, async || {
        let metrics = clusters.konnector.metrics().await?;
        if metrics.contains(two) { Ok(Some(())) } else { Err(anyhow::anyhow!(metrics)) }
    })
    .await
    .unwrap();
    bundles.delete("metered", &DeleteParams::default()).await.unwrap();
    watch_until_gone(bundles, "metered", SOON).await.unwrap();
    eventually("labels of what is gone are gone", SOON, async || {
        let metrics = clusters.konnector.metrics().await?;
        let left = metrics.lines().find(|line| line.contains("metered")).map(str::to_owned);
        left.map_or(Ok(Some(())), |line| Err(anyhow::anyhow!(line)))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_conflict_is_counted_on_the_second_bundle() {
    let service = Service::bind(clusters().await, "twice-counted").await;
    write_secret(&service.consumer, "counted-again", "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, "counted-again", "counted-again").await;
    bundle_condition(&service.consumer, "counted-again", "Synced", ("False", "SyncErrors")).await;
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    let status = bundles.get("counted-again").await.unwrap().status.unwrap();
    assert_eq!((status.bound, status.ready, status.conflicts), (Some(0), Some(0), Some(1)));
    let object = service.create("billy", &json!({"intent": "ride"})).await;
    object_with(&service.there(), "billy", "is still the first one's", |copy| {
        copy.annotations().get("kube-bind.io/consumer-uid") == object.uid().as_ref()
    })
    .await;
}
