//! Lists: how long they take, and whether they show what has just been written.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, StatusCode};
use kube::api::ListParams;
use portolan_testkit::{Percentiles, load};
use serde_json::json;

use super::lab::Lab;
use crate::{
    devportal::lab::{self, NAMESPACE},
    figure::Value,
};

const CONNECTIONS: usize = 2;
const LISTS: usize = 4_000;
const WARM_UP: usize = 200;
/// Lists of the API server: each has all products.
const DIRECT: usize = 100;
/// Both kinds of lists are measured in turns.
const TURNS: usize = 4;
const ROUNDS: usize = 100;
const PRODUCTS: &str = "/api/kuadrant/apiproducts";

/// The time of a list, and the lists that were stale.
pub(super) async fn read(lab: &Lab) -> Result<Vec<Value>> {
    lists(lab, WARM_UP).await?;
    direct(lab, DIRECT / TURNS).await?;
    let (mut ours, mut theirs) = (Percentiles::new(), Percentiles::new());
    for _ in 0..TURNS {
        ours.merge(&lists(lab, LISTS / TURNS).await?);
        theirs.merge(&direct(lab, DIRECT / TURNS).await?);
    }
    Ok(vec![Value::beside(ours.p99(), theirs.p99()), stale(lab).await?.into()])
}

async fn lists(lab: &Lab, count: usize) -> Result<Percentiles> {
    let asked = [
        (&lab.consumer, format!("{PRODUCTS}?catalog=true&pageSize=24")),
        (&lab.consumer, format!("{PRODUCTS}?catalog=true&pageSize=24&search=p-09&sort=-created")),
        (&lab.admin, "/api/kuadrant/requests?status=Pending".to_owned()),
        (&lab.admin, "/api/kuadrant/requests/my".to_owned()),
    ];
    let request = |(token, path): &(&String, String)| {
        let get = Request::get(format!("{}{path}", lab.origin()));
        get.header("authorization", format!("Bearer {token}")).body(Vec::new())
    };
    let requests: Vec<_> = asked.iter().map(request).collect::<Result<_, _>>()?;
    let make = move |number: usize| requests[number % requests.len()].clone();
    // Nobody's own keys are none here; every other list has rows.
    let is_right = |number: usize, body: &[u8]| number % 4 == 3 || body.len() > 2_000;
    let report = load::http_checked(make, is_right, CONNECTIONS, count).await?;
    ensure!(report.all(StatusCode::OK), "lists failed: {:?} {:?}", report.statuses, report.failure);
    Ok(report.latencies)
}

/// The same for lists of the API server itself.
async fn direct(lab: &Lab, count: usize) -> Result<Percentiles> {
    let products = lab.cluster.products();
    let listed = stream::iter(0..count).map(async |_| {
        let begun = Instant::now();
        let all = products.list_metadata(&ListParams::default()).await?.items.len();
        let took = begun.elapsed();
        ensure!(all >= lab::PRODUCTS, "the API server lists {all} products only");
        anyhow::Ok(took)
    });
    Ok(listed.buffer_unordered(CONNECTIONS).try_collect::<Vec<_>>().await?.into_iter().collect())
}

/// Number of lists that do not show what was written just before.
async fn stale(lab: &Lab) -> Result<f64> {
    let mut stale = 0_u32;
    for round in 0..ROUNDS {
        let name = format!("fresh-{round}");
        let (path, title) = (format!("{PRODUCTS}/{NAMESPACE}/{name}"), format!("Renamed {round}"));
        let target = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "route-000",
            "namespace": NAMESPACE});
        let spec = json!({"displayName": name, "publishStatus": "Published", "targetRef": target});
        let product = json!({"metadata": {"name": name}, "spec": spec});
        lab.send(&lab.admin, &format!("POST {PRODUCTS}"), (201, Some(&product))).await?;
        stale += u32::from(!shows(lab, &name, &name).await?);
        let change = json!({"spec": {"displayName": title}});
        lab.send(&lab.admin, &format!("PATCH {path}"), (200, Some(&change))).await?;
        stale += u32::from(!shows(lab, &name, &title).await?);
        lab.send(&lab.admin, &format!("DELETE {path}"), (204, None)).await?;
        stale += u32::from(shows(lab, &name, &name).await?);
    }
    Ok(f64::from(stale))
}

/// Returns `true` if the catalog has a product with this title.
async fn shows(lab: &Lab, name: &str, title: &str) -> Result<bool> {
    let line = format!("GET {PRODUCTS}?catalog=true&pageSize=24&search={name}");
    let listed = lab.send(&lab.consumer, &line, (200, None)).await?.json();
    let has = |item: &serde_json::Value| {
        item["metadata"]["name"] == name && (title == name || item["spec"]["displayName"] == title)
    };
    Ok(listed["items"].as_array().is_some_and(|items| items.iter().any(has)))
}
