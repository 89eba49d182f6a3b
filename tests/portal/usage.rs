//! Calls of users and plans, as a Prometheus tells them.

use serde_json::{Value, json};

use crate::{
    outside::{self, Answer, Asked, Outside},
    scene::Stage,
    site::Site,
};

/// The query of a request, as Prometheus reads it.
fn query(asked: &Asked) -> String {
    let url = url::Url::parse(&format!("http://x{}", asked.target())).unwrap();
    assert_eq!(url.path(), "/prom/api/v1/query", "{}", asked.head);
    url.query_pairs().find(|(name, _)| name == "query").unwrap().1.into_owned()
}

/// An instant vector.
fn vector(samples: &[(&str, &str, &str)]) -> Value {
    let sample = |(user, plan, value): &(&str, &str, &str)| json!({"metric": {"user": user, "plan": plan}, "value": [1_770_000_000.123, value]});
    let result: Vec<_> = samples.iter().map(sample).collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": result}})
}

async fn portal(stage: &Stage, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Outside, Site) {
    let prometheus = Outside::start(answer).await;
    let flag = format!("--usage-prometheus-url={}/prom/", prometheus.url);
    let site = Site::start(&stage.kubeconfig, Some(&stage.login), &[&flag]).await;
    (prometheus, site)
}

#[tokio::test]
async fn calls_are_shown_beside_the_limits_and_users_to_those_who_decide() {
    let stage = Stage::shared().await;
    let place = stage.toystore("counted").await;
    place.publish("owner1", "toys", &json!({})).await;
    let answer = |asked: &Asked| {
        let is_limited = query(asked).contains("limited_calls");
        outside::json(&vector(if is_limited {
            &[("alice", "gold", "2.2")]
        } else {
            &[("alice", "gold", "40.4"), ("bob", "gold", "3"), ("bob", "bronze", "1e1"), ("x", "", "9")]
        }))
    };
    let (prometheus, site) = portal(stage, answer).await;
    let path = "/api/kuadrant/apiproducts/counted/toys/usage";
    let owner = site.by(&stage.login, "owner1").get(path).await;
    assert_eq!(owner.status, 200, "{}", owner.text);
    let told = owner.json();
    let plan = |tier: &str, limit: u32, calls: u32, limited: u32| json!({"tier": tier, "limits": {"daily": limit}, "calls24h": calls, "limited24h": limited});
    let plans = json!([plan("gold", 100, 43, 2), plan("silver", 50, 0, 0), plan("bronze", 10, 10, 0)]);
    assert_eq!((&told["available"], &told["plans"]), (&json!(true), &plans), "{told}");
    let alice = json!({"user": "alice", "tier": "gold", "calls24h": 40, "limited24h": 2});
    assert!(told["users"].as_array().unwrap().contains(&alice), "{told}");
    let mut queries: Vec<_> = prometheus.asked().iter().map(query).collect();
    queries.sort();
    let expected = ["authorized_calls", "limited_calls"].map(|metric| {
        format!("sum by (user, plan) (increase({metric}{{limitador_namespace=\"counted/toystore\"}}[24h]))")
    });
    assert_eq!(queries, expected, "two fixed queries");
    // Who only calls the API learns of his own calls, and nothing of others.
    for (who, own) in [("alice", json!([alice])), ("owner2", json!([]))] {
        let consumer = site.by(&stage.login, who).get(path).await.json();
        assert_eq!((&consumer["plans"], &consumer["users"]), (&plans, &own), "{who}: {consumer}");
    }
    assert_eq!(site.by(&stage.login, "alice").get("/api/me").await.json()["features"]["usage"], true);
}

#[tokio::test]
async fn absent_figures_say_what_to_do() {
    let stage = Stage::shared().await;
    let place = stage.toystore("uncounted").await;
    place.publish("owner1", "toys", &json!({})).await;
    let path = "/api/kuadrant/apiproducts/uncounted/toys/usage";
    let why = async |site: &Site| {
        let answer = site.by(&stage.login, "alice").get(path).await;
        assert_eq!((answer.status, &answer.json()["available"]), (200, &json!(false)), "{}", answer.text);
        answer.json()["why"].as_str().unwrap().to_owned()
    };
    assert!(why(&stage.portal).await.contains("--usage-prometheus-url"));
    let (_empty, site) = portal(stage, |_| outside::json(&vector(&[]))).await;
    assert!(why(&site).await.contains("TelemetryPolicy"));
    let bad = json!({"status": "error", "errorType": "bad_data", "error": "parse error"}).to_string();
    let (_bad, site) = portal(stage, move |_| Some((400, String::new(), bad.clone().into_bytes()))).await;
    assert!(why(&site).await.contains("400"));
    let (_mute, site) = portal(stage, |_| None).await;
    assert!(why(&site).await.contains("does not answer"));
}
