//! What is kept, for how long, and what becomes of it when the API server is silent, ends, or comes back with a backup.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::DeleteParams};
use portolan_testkit::{ControlPlane, ControlPlaneOptions, eventually, workdir::Workdir, workload};
use serde_json::{Value, json};

use super::{
    super::support::{self, Gateway, SOON, World, apply, named, rule, world},
    Remembering, list, metric, names, of, one, reads, source,
};

/// What must not be kept is not kept, and is answered all the same.
#[tokio::test(flavor = "multi_thread")]
async fn some_kinds_are_never_kept() {
    let world = world().await;
    world.namespace("memory-never").await;
    world.config_map("memory-never", "a", &[]).await;
    let secret = Secret { metadata: named("a"), ..Secret::default() };
    apply(&Api::namespaced(world.cluster.client(), "memory-never"), &secret).await;
    let own = || vec![reads("", &["secrets"])];
    let memory = Remembering::start(of(world), "memory-never", own(), &[]).await;
    let secrets = "{v1{Secret(namespace:\"memory-never\",name:\"a\"){metadata{name}}}}";
    let told = Remembering::start(of(world), "memory-told", own(), &["--memory-secrets"]).await;
    told.remembered(&world.admin, secrets).await;
    for _ in 0..5 {
        for question in [secrets, &one("memory-never", "a")] {
            let answer = memory.ask(&world.admin, question, json!({})).await;
            assert_eq!((source(&answer), answer.get("errors")), ("cluster", None), "{answer}");
        }
    }
    // The account may not list ConfigMaps, and the gateway says so.
    eventually("the log says why", SOON, async || {
        memory.gateway.process.log_tail(2000).contains("answers 403 to the gateway").then_some(())
    })
    .await
    .unwrap();
    assert_eq!(metric(&memory.gateway, "portolan_gateway_memory_bytes").await, Some(0.0));
    // A cluster without a credential.
    let empty = Workdir::new("gateway-memory-empty").unwrap();
    let flag = format!("--memory-credentials={}", empty.path().display());
    let bare = Gateway::start("memory-bare", &[("a.json", &world.document)], &[&flag]).await;
    for _ in 0..5 {
        let answer =
            bare.post("a", Some(&world.admin), &json!({"query": one("memory-never", "a")})).await.json();
        assert_eq!((source(&answer), answer.get("errors")), ("cluster", None), "{answer}");
    }
    // Without any, nothing is said of memory at all.
    let answer = world.ask(&one("memory-never", "a"), json!({})).await;
    assert_eq!((answer.get("extensions"), answer.get("errors")), (None, None), "{answer}");
}

/// What does not fit the budget is not kept, and what is not read makes room.
#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_to_its_budget() {
    let world = world().await;
    world.namespace("memory-budget").await;
    let large = "x".repeat(100_000);
    for number in 0..8 {
        world.config_map("memory-budget", &format!("large-{number}"), &[("x", &large)]).await;
    }
    let own = vec![reads("", &["configmaps", "namespaces", "serviceaccounts"])];
    let memory = Remembering::start(of(world), "memory-budget", own, &["--memory-bytes=400000"]).await;
    memory.remembered(&world.admin, "{v1{Namespaces{items{metadata{name}}}}}").await;
    for _ in 0..5 {
        let answer = memory.ask(&world.admin, &one("memory-budget", "large-1"), json!({})).await;
        assert_eq!((source(&answer), answer.get("errors")), ("cluster", None), "{:?}", answer["extensions"]);
    }
    eventually("the log says why", SOON, async || {
        memory.gateway.process.log_tail(2000).contains("it does not fit the budget").then_some(())
    })
    .await
    .unwrap();
    let used = metric(&memory.gateway, "portolan_gateway_memory_bytes").await.unwrap();
    assert!(used > 0.0 && used < 400_000.0, "{used}");
    // A kind that grows beyond the budget while it is kept.
    let own = vec![reads("", &["configmaps"])];
    let growing = Remembering::start(of(world), "memory-growing", own, &["--memory-bytes=1500000"]).await;
    growing.remembered(&world.admin, &one("memory-budget", "large-1")).await;
    for number in 8..20 {
        world.config_map("memory-budget", &format!("large-{number}"), &[("x", &large)]).await;
    }
    eventually("the kind is dropped", SOON, async || {
        let answer = growing.ask(&world.admin, &one("memory-budget", "large-1"), json!({})).await;
        (source(&answer) == "cluster").then_some(())
    })
    .await
    .unwrap();
    let used = metric(&growing.gateway, "portolan_gateway_memory_bytes").await.unwrap();
    assert!(used <= 1_500_000.0, "{used}");
}

/// Kinds of CRDs are kept if the gateway may read that the API server itself serves them.
async fn who_serves_a_kind_must_be_known(cluster: &ControlPlane, document: &Value, admin: &str) {
    let cowboys = || reads("wildwest.dev", &["cowboys"]);
    let may_know = vec![cowboys(), rule("apiregistration.k8s.io", &["apiservices"], &["get"])];
    let question = "{wildwest_dev{v1alpha1{Cowboys{items{metadata{name}}}}}}";
    let known = Remembering::start((cluster, document), "memory-known", may_know, &[]).await;
    known.remembered(admin, question).await;
    let unknown = Remembering::start((cluster, document), "memory-unknown", vec![cowboys()], &[]).await;
    eventually("the log says why", SOON, async || {
        let answer = unknown.ask(admin, question, json!({})).await;
        assert_eq!((source(&answer), answer.get("errors")), ("cluster", None), "{answer}");
        unknown.gateway.process.log_tail(2000).contains("who serves it is not known").then_some(())
    })
    .await
    .unwrap();
}

/// The API server is silent, ends, changes meanwhile, and comes back with a backup: memory is never older than it says.
#[tokio::test(flavor = "multi_thread")]
async fn memory_knows_when_it_may_be_old() {
    let cluster = ControlPlane::start(ControlPlaneOptions::named("gateway-memory")).await.unwrap();
    workload::install(&cluster.client(), &workload::wildwest()).await.unwrap();
    let (admin, document) = (support::administrator(&cluster).await, support::document(&cluster).await);
    who_serves_a_kind_must_be_known(&cluster, &document, &admin).await;
    let own = vec![reads("", &["configmaps"])];
    let memory =
        Remembering::start((&cluster, &document), "memory-life", own, &["--request-timeout=4s"]).await;
    let gateway = Gateway::start("memory-life-plain", &[("a.json", &document)], &[]).await;
    let world = World { cluster, document, gateway, admin };
    world.namespace("life").await;
    world.config_map("life", "a", &[]).await;
    let question = list("life", ",labelselector:\"test=list\"");
    let answer = memory.remembered(&world.admin, &question).await;
    assert_eq!(names(&answer), ["a"]);

    // Silence: within a second, nothing is answered from memory any more.
    world.cluster.pause_apiserver();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let frozen = memory.ask(&world.admin, &question, json!({})).await;
    world.cluster.resume_apiserver();
    assert_eq!((source(&frozen), frozen.get("data")), ("", None), "{frozen}");
    memory.remembered(&world.admin, &question).await;

    // An end, and a change that no watch has seen.
    world.cluster.stop_apiserver();
    world.cluster.start_apiserver().await.unwrap();
    world.config_maps("life").delete("a", &DeleteParams::default()).await.unwrap();
    world.config_map("life", "b", &[]).await;
    let answer = memory.ask(&world.admin, &question, json!({})).await;
    assert_eq!(names(&answer), ["b"], "{answer}");
    let answer = memory.remembered(&world.admin, &question).await;
    assert_eq!(names(&answer), ["b"]);

    // A backup: versions run backwards, and what was written before counts no more.
    let backup = Workdir::new("gateway-memory-backup").unwrap();
    let directory = backup.path().join("etcd");
    world.cluster.back_up(&directory).unwrap();
    let write = "mutation{v1{createConfigMap(namespace:\"life\",object:{metadata:{name:\"c\",labels:{test:\"list\"}}}){kind}}}";
    let written = memory.ask(&world.admin, write, json!({})).await;
    assert_eq!(written.get("errors"), None, "{written}");
    world.cluster.restore(&directory).await.unwrap();
    eventually("memory has what the backup has", SOON * 2, async || {
        let answer = memory.ask(&world.admin, &question, json!({})).await;
        (source(&answer) == "memory" && names(&answer) == ["b"]).then_some(())
    })
    .await
    .unwrap();

    // Another document: another endpoint, whose memory is its own.
    let held = metric(&memory.gateway, "portolan_gateway_memory_bytes").await.unwrap();
    assert!(held > 0.0);
    let mut changed = world.document.clone();
    changed["x-changed"] = json!(true);
    memory.gateway.write("a.json", &changed.to_string());
    eventually("the old memory is gone", SOON, async || {
        metric(&memory.gateway, "portolan_gateway_memory_bytes")
            .await
            .filter(|bytes| *bytes == 0.0)
            .map(|_| ())
    })
    .await
    .unwrap();
    memory.remembered(&world.admin, &question).await;
}
