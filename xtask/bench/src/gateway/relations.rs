//! What it costs to follow a relation from each object of a list.

use anyhow::{Result, ensure};
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ApiResource, core::DynamicObject};
use portolan_testkit::load;
use serde_json::json;

use super::{
    lab::{Lab, name, text},
    median,
    reads::{CONNECTIONS, ROUNDS, each},
};
use crate::figure::Value;

const NAMESPACE: &str = "related";
const OBJECTS: usize = 1_000;
const OWNERS: usize = 100;
const SIZE: usize = 100;
const READS: usize = 60;

/// Microseconds for a list with the owner of each object, beside the same list without.
pub(super) async fn followed(lab: &Lab) -> Result<Vec<Value>> {
    lab.filled(NAMESPACE, OWNERS, SIZE).await?;
    fill(lab).await?;
    let gateway = lab.gateway(&[("a", &lab.document)]).await?;
    let list = |more: &str| {
        let arguments = format!("namespace:\"{NAMESPACE}\",labelselector:\"owned\"");
        format!("{{v1{{ConfigMaps({arguments}){{items{{metadata{{name}}{more}}}}}}}}}")
    };
    let (followed, plain) = (list(" owner{metadata{name}}"), list(" data"));
    let answer = lab.ask(&gateway, "a", &followed).await?.json();
    let items = answer["data"]["v1"]["ConfigMaps"]["items"].as_array().map_or(&[][..], Vec::as_slice);
    let is_followed = |(number, item): (usize, &serde_json::Value)| {
        item["owner"]["metadata"]["name"] == name(number % OWNERS)
    };
    ensure!(items.len() == OBJECTS && items.iter().enumerate().all(is_followed), "another answer: {answer}");
    let (mut ours, mut without) = (Vec::new(), Vec::new());
    for query in [&followed, &plain] {
        asked(lab, &gateway, query, CONNECTIONS * 2).await?;
    }
    for _ in 0..ROUNDS {
        for (query, all) in [(&followed, &mut ours), (&plain, &mut without)] {
            let before = gateway.process.cpu_seconds()?;
            asked(lab, &gateway, query, READS).await?;
            all.push(each(gateway.process.cpu_seconds()? - before, READS));
        }
    }
    Ok(vec![Value::beside(median(ours), median(without))])
}

/// Objects that each have one of the others as their owner.
async fn fill(lab: &Lab) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(lab.plane.client(), NAMESPACE);
    let mut uids = Vec::new();
    for number in 0..OWNERS {
        uids.push(api.get(&name(number)).await?.metadata.uid.unwrap_or_default());
    }
    let resource = ApiResource::erase::<ConfigMap>(&());
    let make = |number: usize| {
        let owner = number % OWNERS;
        let data = json!({"data": {"text": text(number, SIZE)}});
        let mut object = DynamicObject::new(&format!("owned-{number:04}"), &resource).data(data);
        object.metadata.labels = Some([("owned".to_owned(), String::new())].into());
        let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": name(owner), "uid": uids[owner], "controller": true}]);
        object.metadata.owner_references = serde_json::from_value(reference).ok();
        object
    };
    load::objects(&lab.plane.client(), &resource, Some(NAMESPACE), make, OBJECTS, CONNECTIONS).await?;
    Ok(())
}

async fn asked(lab: &Lab, gateway: &super::lab::Gateway, query: &str, count: usize) -> Result<()> {
    let request = lab.request(gateway, "a", query);
    let make = move |_: usize| request.clone();
    let is_right =
        |_: usize, body: &[u8]| body.starts_with(b"{\"data\":{\"v1\":{\"ConfigMaps\":{\"items\":[{");
    let report = load::http_checked(make, is_right, CONNECTIONS, count).await?;
    let wrong = (&report.statuses, report.wrong, &report.failure);
    ensure!(report.all(StatusCode::OK), "not every answer was right: {wrong:?}");
    Ok(())
}
