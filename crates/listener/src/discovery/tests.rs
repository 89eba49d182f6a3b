//! Targets that are too large, too slow or just starting, without a network: what they cost the listener and others.

use std::{
    convert::Infallible,
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    response::{IntoResponse as _, Response},
};
use futures::future::join_all;
use http::{StatusCode, Uri, header};
use parking_lot::Mutex;
use portolan_core::kubeconfig::KubeconfigCredentials;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, advance};

use super::*;

const MIB: usize = 1024 * 1024;

/// A target whose answers are made by a function of the path; none is no answer.
fn target(
    workshop: &Arc<PartWorkshop>,
    answer: impl Fn(&str) -> Option<Response> + Clone + Send + Sync + 'static,
) -> Discovery {
    let serve = move |uri: Uri| {
        let answer = answer(uri.path());
        async move {
            match answer {
                Some(answer) => answer,
                None => pending().await,
            }
        }
    };
    let kubeconfig = RestrictedKubeconfig {
        server: "https://h".to_owned(),
        certificate_authority: None,
        tls_server_name: None,
        credentials: KubeconfigCredentials::Token("t".to_owned().into()),
        namespace: "default".to_owned(),
    };
    Discovery {
        client: Client::new(Router::new().fallback(serve), "default"),
        target: Arc::new(kubeconfig),
        filter: None,
        workshop: Arc::clone(workshop),
        turns: Arc::default(),
    }
}

fn json_of(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// The body of an answer that begins and never ends.
fn endless(beginning: Vec<u8>) -> Response {
    let chunks = stream::iter([Ok::<_, Infallible>(Bytes::from(beginning))]).chain(stream::pending());
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(chunks)).into_response()
}

/// The group of a path to an OpenAPI document.
fn group(path: &str) -> Option<&str> {
    path.strip_prefix("/openapi/v3/apis/")?.strip_suffix("/v1")
}

/// One kind in each of these groups, described in this many bytes.
fn answer_of(groups: &[&str], bytes: usize, path: &str) -> Response {
    if let Some(group) = group(path) {
        return json_of(&json!({"components": {"schemas": {format!("{group}.Widget"): {
            "description": "d".repeat(bytes),
            "x-kubernetes-group-version-kind": [{"group": group, "version": "v1", "kind": "Widget"}],
        }}}}));
    }
    let item = |group: &&str| {
        json!({"metadata": {"name": group}, "versions": [{"version": "v1", "resources": [
            {"resource": "widgets", "responseKind": {"kind": "Widget"}}]}]})
    };
    let entry = |group: &&str| {
        let url = format!("/openapi/v3/apis/{group}/v1?hash=1");
        (format!("apis/{group}/v1"), json!({"serverRelativeURL": url}))
    };
    match path {
        "/version" => json_of(&json!({"gitVersion": "v1.35.0"})),
        "/api" => json_of(&json!({"kind": "APIGroupDiscoveryList"})),
        "/apis" => {
            let items: Vec<_> = groups.iter().map(item).collect();
            json_of(&json!({"kind": "APIGroupDiscoveryList", "items": items}))
        }
        "/openapi/v3" => {
            let paths: serde_json::Map<_, _> = groups.iter().map(entry).collect();
            json_of(&json!({"paths": paths}))
        }
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

#[tokio::test]
async fn no_more_is_fetched_than_may_be_kept() {
    let groups: Vec<_> = (0..100).map(|number| format!("g{number}")).collect();
    let fetched = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetched);
    let large = target(&PartWorkshop::new(MIB), move |path| {
        count.fetch_add(usize::from(group(path).is_some()), Ordering::Relaxed);
        let groups: Vec<_> = groups.iter().map(String::as_str).collect();
        Some(answer_of(&groups, MIB * 9 / 10, path))
    });
    let problem = large.look(&DiscoveredApi::default()).await.unwrap_err();
    assert_eq!(problem.reason, "SchemaTooLarge");
    let fetched = fetched.load(Ordering::Relaxed);
    assert!(fetched <= 5 + 2 * SIDE_BY_SIDE, "{fetched} of 100, of which 4 may be kept");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_describes_is_told() {
    let described = Arc::new(Mutex::new(vec!["a"]));
    let current = Arc::clone(&described);
    let target = target(&PartWorkshop::new(MIB), move |path| {
        let described = current.lock().clone();
        let groups: &[&str] = if path == "/openapi/v3" { &described } else { &["a", "b"] };
        Some(answer_of(groups, 10, path))
    });
    let late = target.look(&DiscoveredApi::default()).await.unwrap();
    assert!(late.failed.is_empty() && names(&late) == ["a/v1"], "it may be late: {:?}", late.failed);
    advance(Duration::from_secs(30)).await;
    let missing = target.look(&late).await.unwrap();
    assert!(missing.failed["b/v1"].contains("no OpenAPI v3 document"), "{:?}", missing.failed);
    described.lock().push("b");
    let whole = target.look(&missing).await.unwrap();
    assert_eq!((names(&whole), whole.failed.len(), whole.undescribed.len()), (vec!["a/v1", "b/v1"], 0, 0));
}

#[tokio::test]
async fn other_categories_are_seen_though_no_hash_has_moved() {
    let category = Arc::new(Mutex::new("all"));
    let current = Arc::clone(&category);
    let target = target(&PartWorkshop::new(MIB), move |path| {
        if path != "/apis" {
            return Some(answer_of(&["a"], 10, path));
        }
        let category = *current.lock();
        let widgets =
            json!({"resource": "widgets", "responseKind": {"kind": "Widget"}, "categories": [category]});
        let item =
            json!({"metadata": {"name": "a"}, "versions": [{"version": "v1", "resources": [widgets]}]});
        Some(json_of(&json!({"kind": "APIGroupDiscoveryList", "items": [item]})))
    });
    let before = target.look(&DiscoveredApi::default()).await.unwrap();
    assert!(!target.lists_other(&before, None).await);
    *category.lock() = "mine";
    let [a, b] = ["a", "b"].map(|group| BTreeSet::from([group.to_owned()]));
    assert!(target.lists_other(&before, None).await && target.lists_other(&before, Some(&a)).await);
    assert!(!target.lists_other(&before, Some(&b)).await, "nobody has asked for its group");
    let after = target.look(&before).await.unwrap();
    assert!(after.fetched == 1 && !after.serves_the_same(&before));
    assert!(!target.lists_other(&after, None).await);
}

/// The time in which a target is looked at while others are, of which none comes to an end.
async fn time_beside(others: &[Discovery], target: &Discovery) -> Duration {
    let (begun, nothing) = (Instant::now(), DiscoveredApi::default());
    let others = join_all(others.iter().map(|other| other.look(&nothing)));
    tokio::select! {
        biased;
        _ = others => panic!("they came to an end"),
        looked = target.look(&nothing) => assert_eq!(looked.unwrap().failed, BTreeMap::new()),
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_answer_holds_up_nobody() {
    let workshop = PartWorkshop::new(32 * MIB);
    let sound = target(&workshop, |path| Some(answer_of(&["a", "b"], 10, path)));
    let hung: Vec<_> = (0..40).map(|_| target(&workshop, |_| None)).collect();
    assert_eq!(time_beside(&hung, &sound).await, Duration::ZERO);
    // The same if they begin to answer.
    let begun: Vec<_> = (0..40).map(|_| target(&workshop, |_| Some(endless(b"{".to_vec())))).collect();
    assert_eq!(time_beside(&begun, &sound).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn large_answers_that_come_slowly_hold_up_nobody() {
    let workshop = PartWorkshop::new(32 * MIB);
    let slow = || {
        target(&workshop, |path| {
            let is_part = group(path).is_some();
            Some(if is_part { endless(vec![b' '; 3 * MIB]) } else { answer_of(&["a", "b", "c"], 0, path) })
        })
    };
    let sound = target(&workshop, |path| Some(answer_of(&["large"], 3 * MIB, path)));
    // One has one turn, however many answers it sends.
    assert_eq!(time_beside(&[slow()], &sound).await, Duration::ZERO);
    let slow = [slow(), slow(), slow()];
    let took = time_beside(&slow, &sound).await;
    assert!(took <= Duration::from_secs(5), "as long as it takes to see that two of them are slow: {took:?}");
    // From then on they wait for each other.
    for _ in 0..2 {
        let took = time_beside(&slow, &sound).await;
        assert_eq!(took, Duration::ZERO);
    }
}

/// What a target that has started does, and the answer of its `/readyz`.
type StartState = Arc<Mutex<(Vec<&'static str>, StatusCode)>>;

fn starting(state: &StartState) -> Discovery {
    let state = Arc::clone(state);
    target(&PartWorkshop::new(MIB), move |path| {
        let (groups, ready) = state.lock().clone();
        Some(if path == "/readyz" { ready.into_response() } else { answer_of(&groups, 10, path) })
    })
}

fn names(found: &DiscoveredApi) -> Vec<&str> {
    found.parts.keys().map(String::as_str).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_starting_api_server_does_not_serve_yet_is_kept() {
    let state = StartState::new(Mutex::new((vec!["a", "crds"], StatusCode::OK)));
    let target = starting(&state);
    let before = target.look(&DiscoveredApi::default()).await.unwrap();
    assert_eq!((names(&before), before.rechecks), (vec!["a/v1", "crds/v1"], 0));

    *state.lock() = (vec!["a"], StatusCode::INTERNAL_SERVER_ERROR);
    let early = target.look(&before).await.unwrap();
    advance(Duration::from_secs(60)).await;
    let early = target.look(&early).await.unwrap();
    assert_eq!(early.references(), before.references());
    assert!(early.failed["crds/v1"].contains("not ready") && early.rechecks > 0, "{:?}", early.failed);
    // One that is seen for the first time is looked at again, too.
    let first = target.look(&DiscoveredApi::default()).await.unwrap();
    assert!(first.failed.contains_key("all group-versions") && first.rechecks > 0, "{:?}", first.failed);

    state.lock().0.push("crds");
    state.lock().1 = StatusCode::OK;
    let back = target.look(&early).await.unwrap();
    assert_eq!((back.references(), back.failed.len()), (before.references(), 0));
    // What goes while it is ready is gone at once.
    state.lock().0.pop();
    assert_eq!(names(&target.look(&back).await.unwrap()), ["a/v1"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_ask_whether_it_is_ready_looks_twice() {
    let state = StartState::new(Mutex::new((vec!["a", "crds"], StatusCode::FORBIDDEN)));
    let target = starting(&state);
    let before = target.look(&DiscoveredApi::default()).await.unwrap();
    assert_eq!((before.failed.len(), before.rechecks), (0, 0));
    state.lock().0.pop();
    let once = target.look(&before).await.unwrap();
    assert_eq!((once.references(), once.is_settled("crds")), (before.references(), false));
    advance(Duration::from_secs(1)).await;
    assert_eq!(target.look(&once).await.unwrap().references(), before.references());
    advance(Duration::from_secs(1)).await;
    let twice = target.look(&once).await.unwrap();
    assert_eq!(names(&twice), ["a/v1"]);
    assert!(twice.is_settled("crds") && twice.rechecks > 0);
}
