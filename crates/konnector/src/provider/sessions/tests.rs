//! Sessions that are asked for at the same time, and one that takes the place of another.

use std::sync::atomic::{AtomicUsize, Ordering};

use kube::{Api, Client, client::Body, runtime::watcher};
use portolan_core::kubeconfig;
use portolan_runtime::{cache::Cache, events::EventReporter, metrics::Metrics};
use serde_json::json;
use tokio::task::JoinSet;

use super::*;

/// A client of an API server that never answers.
fn silent() -> Client {
    let service = tower::service_fn(|_: http::Request<Body>| {
        std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
    });
    Client::new(service, "default")
}

fn sessions(tasks: &Tasks) -> Sessions {
    let consumer = silent();
    let reporter = EventReporter::new(consumer.clone(), "tests", "tests");
    let (namespaces, _) = Cache::follow(Api::all(consumer.clone()), watcher::Config::default(), |_| {});
    let intervals = ProviderIntervals { poll: Duration::from_secs(60), heartbeat: Duration::from_secs(60) };
    let contact = Metrics::new("tests").gauges("contact", "For tests.", &["secret"]);
    Sessions::new(tasks, intervals, contact, RotationContext { consumer, reporter }, namespaces, false)
}

fn reference() -> ClusterSecretKeyRef {
    ClusterSecretKeyRef {
        name: "kubeconfig".to_owned(),
        namespace: "apis".to_owned(),
        key: "kubeconfig".to_owned(),
    }
}

fn access(token: &str) -> Arc<ProviderAccess> {
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "contract"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": false}}],
        "users": [{"name": "u", "user": {"token": token}}],
    });
    let kubeconfig = kubeconfig::parse(text.to_string().as_bytes()).unwrap();
    Arc::new(ProviderAccess { kubeconfig, fingerprint: token.to_owned(), renewed: None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_asks_at_the_same_time_gets_the_same_session() {
    for round in 0..300 {
        let tasks = Tasks::default();
        let (sessions, access) = (Arc::new(sessions(&tasks)), access("first"));
        let mut askers = JoinSet::new();
        for _ in 0..4 {
            let (sessions, access) = (Arc::clone(&sessions), Arc::clone(&access));
            askers
                .spawn(async move { sessions.ensure(&reference(), &access, Arc::new(|| {})).await.unwrap() });
        }
        let found = askers.join_all().await;
        let open = sessions.open(&reference()).unwrap();
        assert!(found.iter().all(|session| Arc::ptr_eq(session, &open)), "round {round}");
        assert!(!open.tasks.is_cancelled());
        tasks.cancel();
    }
}

#[tokio::test]
async fn those_who_work_with_a_session_are_told_when_another_takes_its_place() {
    let tasks = Tasks::default();
    let sessions = sessions(&tasks);
    let told = Arc::new(AtomicUsize::new(0));
    let ensure = async |token: &str| {
        let told = Arc::clone(&told);
        let notify = Arc::new(move || {
            told.fetch_add(1, Ordering::Relaxed);
        });
        sessions.ensure(&reference(), &access(token), notify).await.unwrap()
    };
    let first = ensure("first").await;
    assert!(Arc::ptr_eq(&ensure("first").await, &first));
    assert_eq!(told.load(Ordering::Relaxed), 0);
    let second = ensure("second").await;
    assert!(!Arc::ptr_eq(&second, &first) && first.tasks.is_cancelled() && !second.tasks.is_cancelled());
    assert_eq!(told.load(Ordering::Relaxed), 1);
    tasks.cancel();
}
