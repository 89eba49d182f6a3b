//! What it costs to follow a relation from each object of a list.

use anyhow::{Result, ensure};
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ApiResource, core::DynamicObject};
use portolan_testkit::load;
use serde_json::{Value as Json, json};

use super::{
    lab::{Gateway, Lab, name, text},
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
    let has_owner = |number: usize, item: &Json| item["owner"]["metadata"]["name"] == name(number % OWNERS);
    let has_data = |number: usize, item: &Json| item["data"]["text"] == text(number, SIZE);
    let expected =
        [listed(lab, &gateway, &followed, has_owner).await?, listed(lab, &gateway, &plain, has_data).await?];
    let lists = [(followed.as_str(), expected[0].as_str()), (plain.as_str(), expected[1].as_str())];
    let (mut ours, mut without) = (Vec::new(), Vec::new());
    for list in lists {
        asked(lab, &gateway, list, CONNECTIONS * 2).await?;
    }
    for _ in 0..ROUNDS {
        for (list, all) in lists.into_iter().zip([&mut ours, &mut without]) {
            let before = gateway.process.cpu_seconds()?;
            asked(lab, &gateway, list, READS).await?;
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

/// The answer to a list of which every item is right.
async fn listed(
    lab: &Lab,
    gateway: &Gateway,
    query: &str,
    is_right: impl Fn(usize, &Json) -> bool,
) -> Result<String> {
    let answer = lab.ask(gateway, "a", query).await?;
    let json = answer.json();
    let items = json["data"]["v1"]["ConfigMaps"]["items"].as_array().map_or(&[][..], Vec::as_slice);
    let all_right = items.iter().enumerate().all(|(number, item)| is_right(number, item));
    ensure!(items.len() == OBJECTS && all_right, "another answer: {}", answer.text);
    Ok(answer.text)
}

/// Asks for a list many times, and compares each answer.
async fn asked(lab: &Lab, gateway: &Gateway, (query, expected): (&str, &str), count: usize) -> Result<()> {
    let (request, expected) = (lab.request(gateway, "a", query), expected.to_owned());
    let make = move |_: usize| request.clone();
    let is_right = move |_: usize, body: &[u8]| body == expected.as_bytes();
    let report = load::http_checked(make, is_right, CONNECTIONS, count).await?;
    let wrong = (&report.statuses, report.wrong, &report.failure);
    ensure!(report.all(StatusCode::OK), "not every answer was right: {wrong:?}");
    Ok(())
}
