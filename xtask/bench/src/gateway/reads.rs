//! Processor time of the gateway for reads, beside that of the API server for what it is asked then.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http::{Request, StatusCode};
use kube::Client;
use portolan_testkit::load;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    lab::{Gateway, Lab, name, text},
    median,
};
use crate::figure::Value;

pub(super) const CONNECTIONS: usize = 8;
pub(super) const OBJECTS: usize = 1_000;
pub(super) const SIZE: usize = 700;
pub(super) const NAMESPACE: &str = "reads";
pub(super) const ROUNDS: usize = 3;
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// A read: as it is asked of the gateway, and of the API server.
pub(super) struct Read {
    query: fn(usize) -> String,
    answer: fn(usize) -> String,
    path: fn(usize) -> String,
    accept: &'static str,
    /// Answers that differ: those to later requests are the same ones again.
    answers: usize,
    /// Requests of a round.
    pub(super) count: usize,
}

pub(super) const READS: [Read; 3] = [
    Read {
        query: |number| {
            let name = name(number);
            format!("{{v1{{ConfigMap(name:\"{name}\",namespace:\"{NAMESPACE}\"){{metadata{{name}} data}}}}}}")
        },
        answer: |number| format!(r#"{{"data":{{"v1":{{"ConfigMap":{}}}}}}}"#, whole(number)),
        path: |number| format!("{}/{}", list_path(), name(number)),
        accept: "application/json",
        answers: OBJECTS,
        count: 3_000,
    },
    Read {
        query: |_| format!("{{v1{{ConfigMaps(namespace:\"{NAMESPACE}\"){{items{{metadata{{name}}}}}}}}}}"),
        answer: |_| list_of(|number| format!(r#"{{"metadata":{{"name":"{}"}}}}"#, name(number))),
        path: |_| list_path(),
        accept: METADATA,
        answers: 1,
        count: 200,
    },
    Read {
        query: |_| {
            format!("{{v1{{ConfigMaps(namespace:\"{NAMESPACE}\"){{items{{metadata{{name}} data}}}}}}}}")
        },
        answer: |_| list_of(whole),
        path: |_| list_path(),
        accept: "application/json",
        answers: 1,
        count: 120,
    },
];

fn list_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/configmaps")
}

fn whole(number: usize) -> String {
    format!(r#"{{"metadata":{{"name":"{}"}},"data":{{"text":"{}"}}}}"#, name(number), text(number, SIZE))
}

fn list_of(item: impl Fn(usize) -> String) -> String {
    let items: Vec<_> = (0..OBJECTS).map(item).collect();
    format!(r#"{{"data":{{"v1":{{"ConfigMaps":{{"items":[{}]}}}}}}}}"#, items.join(","))
}

/// Microseconds for each read, in turns with the API server.
pub(super) async fn through(lab: &Lab) -> Result<Vec<Value>> {
    lab.filled(NAMESPACE, OBJECTS, SIZE).await?;
    let gateway = lab.gateway(&[("a", &lab.document)]).await?;
    let direct = lab.direct().await?;
    let mut values = Vec::new();
    for read in &READS {
        // Connections, plans, and caches of the API server.
        through_gateway(lab, &gateway, read, CONNECTIONS * 4).await?;
        directly(&direct, read, CONNECTIONS * 4).await?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let before = lab.plane.apiserver_cpu_seconds()?;
            directly(&direct, read, read.count).await?;
            theirs.push(each(lab.plane.apiserver_cpu_seconds()? - before, read.count));
            let before = gateway.process.cpu_seconds()?;
            through_gateway(lab, &gateway, read, read.count).await?;
            ours.push(each(gateway.process.cpu_seconds()? - before, read.count));
        }
        values.push(Value::beside(median(ours), median(theirs)));
    }
    Ok(values)
}

/// Microseconds of each of some requests.
pub(super) fn each(seconds: f64, requests: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let requests = requests as f64;
    seconds * 1_000_000.0 / requests
}

async fn through_gateway(lab: &Lab, gateway: &Gateway, read: &Read, count: usize) -> Result<()> {
    asked(lab, gateway, read, (count, None)).await
}

/// Asks the gateway, and checks every answer. With a source, answers must be from there.
pub(super) async fn asked(
    lab: &Lab,
    gateway: &Gateway,
    read: &Read,
    (count, source): (usize, Option<&'static str>),
) -> Result<()> {
    let extensions = json!({"memory": source != Some("cluster")});
    let asked = |number| {
        let query = (read.query)(number);
        let body = source
            .map_or_else(|| json!({"query": query}), |_| json!({"query": query, "extensions": extensions}));
        lab.request_of(gateway, "a", &body)
    };
    let requests: Vec<_> = (0..read.answers).map(asked).collect();
    let answers: Vec<_> = (0..read.answers).map(read.answer).collect();
    let is_right = move |number: usize, body: &[u8]| {
        let answer = answers[number % answers.len()].as_bytes();
        let Some(source) = source else { return body == answer };
        let rest = body.strip_prefix(&answer[..answer.len() - 1]).unwrap_or_default();
        rest.starts_with(format!(",\"extensions\":{{\"source\":\"{source}\"").as_bytes())
    };
    let make = move |number: usize| requests[number % requests.len()].clone();
    let report = load::http_checked(make, is_right, CONNECTIONS, count).await?;
    let wrong = (&report.statuses, report.wrong, &report.failure);
    ensure!(report.all(StatusCode::OK), "not every answer was right: {wrong:?}");
    Ok(())
}

async fn directly(client: &Client, read: &Read, count: usize) -> Result<()> {
    let objects = OBJECTS / read.answers;
    let paths: Arc<[String]> = (0..count).map(|number| (read.path)(number % read.answers)).collect();
    let mut workers = JoinSet::new();
    for worker in 0..CONNECTIONS {
        let (client, paths, accept) = (client.clone(), Arc::clone(&paths), read.accept);
        workers.spawn(async move {
            for path in paths.iter().skip(worker).step_by(CONNECTIONS) {
                let request = Request::get(path).header("accept", accept).body(Vec::new())?;
                let answer = client.request_text(request).await?;
                let listed = answer.matches("\"name\":\"object-").count();
                ensure!(listed == objects, "{path} has {listed} objects instead of {objects}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = workers.join_next().await {
        done.context("a worker panicked")??;
    }
    Ok(())
}
