//! Numbers and lists arrive as they were written, whatever their schema was before.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::Request,
};
use portolan_testkit::eventually::eventually;
use serde_json::{Value, json, value::RawValue};

use crate::support::{
    SOON, Service, binding_condition, clusters, create_bundle, merge, object_with, write_secret,
};

/// Numbers as people write them.
const NUMBERS: [&str; 14] = [
    "117.63331139400017",
    "1.5777777777770001",
    "0.1",
    "1e21",
    "1E-7",
    "-0.0",
    "9007199254740993",
    "-9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1.7976931348623157e308",
    "5e-324",
    "2.2250738585072014e-308",
    "0.30000000000000004",
];

async fn bind(name: &str, spec: Value) -> Service {
    let change = |crd: &mut CustomResourceDefinition| with_spec(crd, spec);
    let service = Service::offer_with(clusters().await, name, change).await;
    write_secret(&service.consumer, name, "kubeconfig", &service.kubeconfig).await;
    create_bundle(&service.consumer, name, name).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;
    service
}

fn with_spec(crd: &mut CustomResourceDefinition, spec: Value) {
    let mut versions = json!(crd.spec.versions);
    let properties = &mut versions[0]["schema"]["openAPIV3Schema"]["properties"];
    properties["spec"] = spec;
    properties["status"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    crd.spec.versions = serde_json::from_value(versions).unwrap();
}

/// The part of an object as its API server spells it, without any number being read on the way.
async fn raw(client: &Client, api: &Api<DynamicObject>, field: &str) -> anyhow::Result<String> {
    let request = Request::new(api.resource_url()).get("billy", &kube::api::GetParams::default())?;
    let text = client.request_text(request).await?;
    let object: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text)?;
    let part = object.get(field).ok_or_else(|| anyhow::anyhow!("{text}"))?;
    Ok(part.get().to_owned())
}

fn listed() -> String {
    format!("{{\"numbers\":[{}]}}", NUMBERS.join(","))
}

#[tokio::test]
async fn every_number_travels_as_it_was_written_in_both_directions() {
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let service = bind("numbers", free).await;
    let (here, there) = (service.here(), service.there());
    let body = format!(
        "{{\"apiVersion\":\"{}\",\"kind\":\"Cowboy\",\"metadata\":{{\"name\":\"billy\"}},\"spec\":{}}}",
        service.resource.api_version,
        listed()
    );
    eventually("it is made", SOON, async || {
        let request =
            Request::new(here.resource_url()).create(&PostParams::default(), body.clone().into_bytes())?;
        Ok::<_, anyhow::Error>(service.consumer.request_text(request).await.ok())
    })
    .await
    .unwrap();
    let same =
        async |field: &str, from: (&Client, &Api<DynamicObject>), to: (&Client, &Api<DynamicObject>)| {
            let said = raw(from.0, from.1, field).await.unwrap();
            eventually(&format!("{field} is the same, digit by digit"), SOON, async || {
                let arrived = raw(to.0, to.1, field).await?;
                if arrived == said { Ok(Some(())) } else { Err(anyhow::anyhow!("{said}\n{arrived}")) }
            })
            .await
            .unwrap();
            said
        };
    let (consumer, provider) = ((&service.consumer, &here), (&service.provider, &there));
    let said = same("spec", consumer, provider).await;
    assert!(said.contains("117.63331139400017") && said.contains("9007199254740993"), "{said}");
    // The first was made, and this one is an update.
    let change = RawValue::from_string(format!("{{\"spec\":{{\"more\":{}}}}}", listed())).unwrap();
    here.patch("billy", &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    same("spec", consumer, provider).await;
    let change = RawValue::from_string(format!("{{\"status\":{}}}", listed())).unwrap();
    there.patch_status("billy", &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    same("status", provider, consumer).await;
    // Nothing is written again and again because it reads otherwise than it was written.
    let version = there.get("billy").await.unwrap().metadata.resource_version;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(there.get("billy").await.unwrap().metadata.resource_version, version);
}

fn spec_with(list_type: &str, map_type: &str) -> Value {
    let port = json!({"type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}});
    let mut ports = json!({"type": "array", "items": port, "x-kubernetes-list-type": list_type});
    if list_type == "map" {
        ports["x-kubernetes-list-map-keys"] = json!(["name"]);
    }
    let strings = json!({"type": "object", "additionalProperties": {"type": "string"},
        "x-kubernetes-map-type": map_type});
    json!({"type": "object", "properties": {"ports": ports, "opts": strings}})
}

#[tokio::test]
async fn what_a_consumer_removes_goes_after_a_list_or_a_map_has_turned_from_atomic() {
    let service = bind("turned", spec_with("atomic", "atomic")).await;
    let port = |name: &str| json!({"name": name, "port": 1});
    let full = json!({"ports": [port("a"), port("b"), port("c")], "opts": {"x": "1", "y": "2"}});
    service.create("billy", &full).await;
    service.arrives("billy").await;
    turn(&service).await;

    let apart = json!({"ports": [port("a"), port("c")], "opts": {"x": "1", "y": null}});
    merge(&service.here(), "billy", json!({"spec": apart})).await;
    let expected = json!({"ports": [port("a"), port("c")], "opts": {"x": "1"}});
    object_with(&service.there(), "billy", "has lost what was removed", |o| o.data["spec"] == expected).await;

    // What the provider adds by itself is its own.
    let theirs = json!({
        "apiVersion": service.resource.api_version, "kind": "Cowboy", "metadata": {"name": "billy"},
        "spec": {"ports": [port("theirs")], "opts": {"theirs": "3"}},
    });
    service.there().patch("billy", &PatchParams::apply("operator"), &Patch::Apply(&theirs)).await.unwrap();
    merge(&service.here(), "billy", json!({"spec": {"ports": [port("c")], "opts": {"x": "4"}}})).await;
    let expected = |o: &DynamicObject| {
        let names = o.data["spec"]["ports"].as_array().unwrap().iter().map(|port| port["name"].clone());
        let names: std::collections::BTreeSet<_> =
            names.map(|name| name.as_str().unwrap().to_owned()).collect();
        names.into_iter().eq(["c", "theirs"]) && o.data["spec"]["opts"] == json!({"x": "4", "theirs": "3"})
    };
    object_with(&service.there(), "billy", "keeps what the provider has added", expected).await;
}

/// The provider's CRD is changed, and the consumer's follows.
async fn turn(service: &Service) {
    let crds: Api<CustomResourceDefinition> = Api::all(service.provider.clone());
    let mut crd = crds.get(&service.export()).await.unwrap();
    with_spec(&mut crd, spec_with("map", "granular"));
    crds.replace(&service.export(), &PostParams::default(), &crd).await.unwrap();
    let here: Api<CustomResourceDefinition> = Api::all(service.consumer.clone());
    eventually("the consumer's CRD follows", SOON, async || {
        let crd = json!(here.get(&service.export()).await?);
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        Ok::<_, kube::Error>((spec["properties"]["ports"]["x-kubernetes-list-type"] == "map").then_some(()))
    })
    .await
    .unwrap();
}
