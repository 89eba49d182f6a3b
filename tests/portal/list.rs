//! Lists: filters, order, pages, counts, and what is written is in the very next one.

use serde_json::{Value, json};

use crate::scene::{Place, Stage};

const PRODUCTS: &str = "/api/kuadrant/apiproducts";

async fn shop(place: &Place<'_>) {
    let owner = place.stage.portal.by(&place.stage.login, "owner1");
    let rows = [
        ("anchor", "Anchor charts", json!(["sea"]), "Published"),
        ("beacon", "Beacon lights", json!(["sea", "light"]), "Published"),
        ("compass", "Compass roses", json!(["land"]), "Published"),
        ("draft", "Draft of a dinghy", json!(["sea"]), "Draft"),
        ("eagle", "Eagle eyes", json!([]), "Published"),
    ];
    for (name, title, tags, status) in rows {
        let more = json!({"displayName": title, "tags": tags, "publishStatus": status});
        let made = owner.post(PRODUCTS, &place.product(name, &more)).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_cut_by_the_server() {
    let stage = Stage::shared().await;
    let place = stage.toystore("shop").await;
    shop(&place).await;
    let (owner, alice) = (stage.portal.by(&stage.login, "owner1"), stage.portal.by(&stage.login, "alice"));
    let list = |query: &str| format!("{PRODUCTS}?namespace=shop{query}");
    let published = ["anchor", "beacon", "compass", "eagle"];
    assert_eq!(owner.names(&list("&sort=name")).await, ["anchor", "beacon", "compass", "draft", "eagle"]);
    assert_eq!(alice.names(&list("&sort=name")).await, published);
    assert_eq!(owner.names(&list("&sort=-name&pageSize=2")).await, ["eagle", "draft"]);
    assert_eq!(owner.names(&list("&sort=-name&pageSize=2&page=3")).await, ["anchor"]);
    assert!(owner.names(&list("&page=9")).await.is_empty());
    assert_eq!(owner.names(&list("&search=LIGHT")).await, ["beacon"]);
    assert_eq!(owner.names(&list("&tag=light&tag=land&sort=name")).await, ["beacon", "compass"]);
    assert_eq!(owner.names(&list("&publishStatus=Draft")).await, ["draft"]);
    assert!(alice.names(&list("&publishStatus=Draft")).await.is_empty());
    assert_eq!(owner.names(&list("&route=toystore&tag=land")).await, ["compass"]);
    let page = alice.get(&list("&pageSize=2&sort=name")).await.json();
    assert_eq!(
        (&page["total"], &page["page"], &page["pageSize"]),
        (&json!(4), &json!(1), &json!(2)),
        "{page}"
    );
    let tags = page["facets"]["tag"].as_array().unwrap();
    let count = |tags: &[Value], value: &str| {
        tags.iter().find(|tag| tag["value"] == value).map(|tag| tag["count"].clone())
    };
    assert_eq!(count(tags, "sea"), Some(json!(2)), "the draft is not counted: {page}");
    let can = owner.get(&list("")).await.json()["can"]["shop/anchor"].clone();
    let can: Vec<_> =
        can.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    assert!(can.iter().any(|word| word == "update") && can.iter().any(|word| word == "delete"), "{can:?}");
    assert!(page["can"]["shop/anchor"].as_array().is_none_or(Vec::is_empty), "{page}");
    for wrong in ["&page=0", "&pageSize=501", "&page=x", "&sort=colour"] {
        assert_eq!(owner.get(&list(wrong)).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_is_written_is_in_the_next_list() {
    let stage = Stage::shared().await;
    let place = stage.toystore("next").await;
    let owner = stage.portal.by(&stage.login, "owner1");
    for round in 0..20 {
        let name = format!("p{round}");
        assert_eq!(owner.post(PRODUCTS, &place.product(&name, &json!({}))).await.status, 201);
        let path = format!("{PRODUCTS}?namespace=next&search={name}");
        assert_eq!(owner.names(&path).await, std::slice::from_ref(&name), "round {round}");
        let change = json!({"spec": {"displayName": format!("Renamed {round}")}});
        assert_eq!(owner.patch(&format!("{PRODUCTS}/next/{name}"), &change).await.status, 200);
        let listed = owner.get(&format!("{PRODUCTS}?namespace=next&search=renamed%20{round}")).await.json();
        assert_eq!(listed["items"][0]["spec"]["displayName"], change["spec"]["displayName"], "round {round}");
        assert_eq!(owner.delete(&format!("{PRODUCTS}/next/{name}")).await.status, 204);
        assert!(owner.names("/api/kuadrant/apiproducts?namespace=next").await.is_empty(), "round {round}");
    }
}

#[tokio::test]
async fn the_catalog_speaks_backstage_too() {
    let stage = Stage::shared().await;
    let place = stage.toystore("entities").await;
    place.publish("owner1", "toys", &json!({"tags": ["sea"]})).await;
    let owner = stage.portal.by(&stage.login, "owner1");
    let draft = place.product("hidden", &json!({"publishStatus": "Draft"}));
    assert_eq!(owner.post(PRODUCTS, &draft).await.status, 201);
    let alice = stage.portal.by(&stage.login, "alice");
    let entities = alice.get("/api/catalog/entities").await;
    let head = ["transfer-encoding", "content-type", "cache-control"].map(|name| entities.values(name));
    assert_eq!(head, [["chunked"], ["application/json"], ["no-store"]], "it comes in pieces");
    let entities = entities.json();
    let ours = |entities: &Value| -> Vec<Value> {
        let is = |entity: &&Value| entity["metadata"]["annotations"]["kuadrant.io/namespace"] == "entities";
        entities.as_array().unwrap().iter().filter(is).cloned().collect()
    };
    let found = ours(&entities);
    assert_eq!(found.len(), 1, "{entities}");
    let entity = &found[0];
    assert_eq!((&entity["apiVersion"], &entity["kind"]), (&json!("backstage.io/v1alpha1"), &json!("API")));
    assert_eq!(entity["metadata"]["annotations"]["kuadrant.io/apiproduct"], "toys", "{entity}");
    assert_eq!(entity["spec"]["owner"], "owner1", "{entity}");
    let yaml = stage.portal.with(&format!("{}accept: application/yaml\r\n", alice.headers));
    let yaml = yaml.get("/api/catalog/entities").await;
    let documents: Vec<Value> = yaml
        .text
        .split("---\n")
        .filter(|text| !text.trim().is_empty())
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect();
    assert_eq!(ours(&json!(documents)), found);
}

#[tokio::test]
async fn the_api_describes_itself() {
    let stage = Stage::shared().await;
    let document = stage.portal.by(&stage.login, "alice").get("/api/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document}");
    let paths = document["paths"].as_object().unwrap();
    for (path, method) in [
        ("/api/me", "get"),
        ("/api/kuadrant/apiproducts", "post"),
        ("/api/kuadrant/requests/my", "get"),
        ("/api/kuadrant/requests/bulk-approve", "post"),
    ] {
        assert!(paths.get(path).is_some_and(|item| item.get(method).is_some()), "{method} {path}");
    }
}
