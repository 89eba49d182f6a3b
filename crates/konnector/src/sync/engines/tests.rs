//! An engine that is paused, and the one that takes its place.

use std::time::Duration;

use kube::{Api, Client, api::ApiResource, client::Body, runtime::watcher};
use portolan_core::{api::kubebind::ClusterSecretKeyRef, kubeconfig};
use portolan_runtime::{cache::Cache, events::EventReporter, metrics::Metrics};
use serde_json::json;

use super::*;
use crate::{
    metrics::KonnectorMetrics,
    provider::{ProviderIntervals, RotationContext, Session, Sessions},
    secrets::ProviderAccess,
    sync::{KeyRules, SchemaVersions},
};

/// A client of an API server that never answers.
fn silent() -> Client {
    let service = tower::service_fn(|_: http::Request<Body>| {
        std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
    });
    Client::new(service, "default")
}

fn context() -> EngineContext {
    EngineContext {
        consumer: silent(),
        metrics: KonnectorMetrics::register(&Metrics::new("tests")),
        reporter: EventReporter::new(silent(), "tests", "tests"),
        keys: KeyRules::new(&[], &[]),
        on_state: Arc::new(|| {}),
    }
}

/// A session with a provider that is not there.
async fn session(tasks: &Tasks) -> Arc<Session> {
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "contract"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": false}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    });
    let kubeconfig = kubeconfig::parse(text.to_string().as_bytes()).unwrap();
    let access = Arc::new(ProviderAccess { kubeconfig, fingerprint: String::new(), renewed: None });
    let [name, namespace, key] = ["kubeconfig", "apis", "kubeconfig"].map(str::to_owned);
    let reference = ClusterSecretKeyRef { name, namespace, key };
    let intervals = ProviderIntervals { poll: Duration::from_secs(60), heartbeat: Duration::from_secs(60) };
    let contact = Metrics::new("tests").gauges("contact", "For tests.", &["secret"]);
    let rotation = RotationContext { consumer: silent(), reporter: context().reporter };
    let (namespaces, _) = Cache::follow(Api::all(silent()), watcher::Config::default(), |_| {});
    let sessions = Sessions::new(tasks, intervals, contact, rotation, namespaces, false);
    sessions.ensure(&reference, &access, Arc::new(|| {})).await.unwrap()
}

#[tokio::test]
async fn the_place_of_copies_is_known_while_nobody_writes_there() {
    let tasks = Tasks::default();
    let resource = ApiResource {
        group: "a.dev".to_owned(),
        version: "v1".to_owned(),
        api_version: "a.dev/v1".to_owned(),
        kind: "A".to_owned(),
        plural: "as".to_owned(),
    };
    let spec = SyncSpec {
        remote: resource.clone(),
        resource,
        has_status_subresource: true,
        placement: Placement::Prefixed,
        defaults: Arc::default(),
        schema: SchemaVersions::default(),
        export_uid: "u".to_owned(),
        session: session(&tasks).await,
    };
    let engines = SyncEngines::new(&tasks);
    let key = EngineKey { binding: "as".to_owned(), crd: "as.a.dev".to_owned() };
    let known = Some((EngineMode::Sync, Placement::Prefixed));
    assert_eq!(engines.current(&key), None);
    for round in 0..2 {
        engines.ensure(&key, &spec, EngineMode::Sync, context);
        assert_eq!(
            (engines.state(&key), engines.current(&key)),
            (Some(EngineState::Starting), known),
            "{round}"
        );
        engines.pause(&key.binding, &key.crd);
        assert_eq!((engines.state(&key), engines.current(&key)), (None, known), "{round}");
        assert_eq!(engines.orphaned(&key.binding), 0, "{round}");
    }
    engines.stop(&key.binding, &[]);
    assert_eq!(engines.current(&key), None);
    tasks.cancel();
}
