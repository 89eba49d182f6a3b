//! Queries of every kind, in every form.

use k8s_openapi::api::core::v1::{ReplicationController, Service};
use kube::Api;
use portolan_testkit::eventually;
use serde_json::{Value, json};

use super::support::{SOON, apply, world};

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_the_cluster_is_listed() {
    let world = world().await;
    let introspection =
        world.ask("{__schema{types{name fields{name args{name} type{name ofType{name}}}}}}", json!({})).await;
    let types = introspection["data"]["__schema"]["types"].as_array().unwrap();
    let fields = |name: &str| {
        types
            .iter()
            .find(|ty| ty["name"] == name)
            .map(|ty| ty["fields"].as_array().cloned().unwrap_or_default())
            .unwrap_or_default()
    };
    let mut lists = Vec::new();
    for top in fields("Query") {
        let (name, ty) = (top["name"].as_str().unwrap(), top["type"]["name"].as_str().unwrap_or_default());
        let is_list = |field: &Value| {
            field["args"].as_array().unwrap().iter().any(|arg| arg["name"] == "labelselector")
        };
        for field in fields(ty) {
            let inner = field["type"]["name"].as_str().unwrap_or_default();
            if is_list(&field) {
                lists.push(format!(
                    "{{{name}{{x:{}(limit:1){{items{{kind apiVersion metadata{{name}}}}}}}}}}",
                    field["name"].as_str().unwrap()
                ));
            }
            for below in fields(inner).iter().filter(|below| is_list(below)) {
                lists.push(format!(
                    "{{{name}{{{}{{x:{}(limit:1){{items{{kind apiVersion metadata{{name}}}}}}}}}}}}",
                    field["name"].as_str().unwrap(),
                    below["name"].as_str().unwrap()
                ));
            }
        }
    }
    assert!(lists.len() > 55, "{lists:?}");
    for query in lists {
        let answer = world.ask(&query, json!({})).await;
        assert_eq!(answer.get("errors"), None, "{query}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_lists_have_their_kind() {
    let world = world().await;
    for selected in ["kind apiVersion metadata{name}", "kind apiVersion metadata{name} spec{finalizers}"] {
        let query = format!(
            "{{v1{{Namespaces(labelselector:\"kubernetes.io/metadata.name=default\"){{items{{{selected}}}}}}}}}"
        );
        let item = &world.ask(&query, json!({})).await["data"]["v1"]["Namespaces"]["items"][0];
        assert_eq!(
            (&item["kind"], &item["apiVersion"], &item["metadata"]["name"]),
            (&json!("Namespace"), &json!("v1"), &json!("default"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_is_its_own_plural_is_listed() {
    let world = world().await;
    let query = "{v1{Endpoints_list(namespace:\"default\"){items{kind}} Endpoints(name:\"none\",namespace:\"default\"){kind}}}";
    let answer = world.ask(query, json!({})).await;
    assert!(answer["data"]["v1"]["Endpoints_list"]["items"].is_array(), "{answer}");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_in_the_order_of_the_query() {
    let world = world().await;
    let query = "{v1{n:Namespace(name:\"default\"){metadata{uid name} kind __typename}}}";
    let answer = world.gateway.post("a", Some(&world.admin), &json!({"query": query})).await;
    let order: Vec<_> = ["uid", "name", "kind", "__typename"]
        .iter()
        .map(|key| answer.text.find(&format!("\"{key}\":")).unwrap())
        .collect();
    assert!(order.is_sorted(), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_sorted() {
    let world = world().await;
    world.namespace("sorted").await;
    for (name, value) in [("a", "3"), ("b", "1"), ("c", "2")] {
        world.config_map("sorted", name, &[("n", value)]).await;
    }
    let names = async |arguments: &str| {
        let query = format!(
            "{{v1{{ConfigMaps(namespace:\"sorted\",labelselector:\"test=list\"{arguments}){{items{{metadata{{name}}}}}}}}}}"
        );
        let answer = world.ask(&query, json!({})).await;
        let items = answer["data"]["v1"]["ConfigMaps"]["items"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| panic!("{answer}"));
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect::<String>()
    };
    assert_eq!(names("").await, "abc");
    assert_eq!(names(",sortBy:\"data.n\"").await, "bca");
    assert_eq!(names(",sortBy:\"kind\"").await, "abc");
    assert_eq!(names(",fieldselector:\"metadata.name=b\"").await, "b");
    let query =
        "{v1{ConfigMaps(namespace:\"sorted\",labelselector:\"test=list\",sortBy:\"spec.x\"){items{kind}}}}";
    let answer = world.ask(query, json!({})).await;
    assert_eq!(answer["errors"][0]["message"], "specified sortBy field does not exist");
    let wrong = world.ask("{v1{ConfigMaps(labelselector:\"a b\"){items{kind}}}}", json!({})).await;
    assert_eq!(wrong["errors"][0]["extensions"]["code"], "INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_of_the_request_and_not_of_the_plan() {
    let world = world().await;
    let query = "query($a:Boolean!,$b:Boolean!){v1{p:Namespaces(limit:1)@include(if:$a){items{metadata{name}}} p:Namespaces(limit:1)@include(if:$b){items{kind}}}}";
    let keys = async |a: bool, b: bool| {
        let answer = world.ask(query, json!({"a": a, "b": b})).await;
        let v1 = answer["data"]["v1"].as_object().unwrap().clone();
        let item =
            v1.get("p").map(|list| list["items"][0].as_object().unwrap().keys().cloned().collect::<Vec<_>>());
        item.unwrap_or_default().join(",")
    };
    for _ in 0..2 {
        assert_eq!((keys(true, false).await, keys(false, true).await), ("metadata".into(), "kind".into()));
        assert_eq!(
            (keys(true, true).await, keys(false, false).await),
            ("kind,metadata".into(), String::new())
        );
    }
    let answer = world
        .ask("query($n:Boolean=true){v1 @include(if:$n){Namespaces{items{kind}}}}", json!({"n": null}))
        .await;
    assert!(answer["errors"][0]["message"].is_string() && answer.get("data").is_none(), "{answer}");
    assert_eq!(
        world.ask("{v1 @skip(if:true){Namespaces{items{kind}}}}", json!({})).await,
        json!({"data": {}})
    );
}

/// A CRD with fields whose names are invalid in GraphQL, or look alike.
fn awkward() -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "foo-bar": {"type": "string"}, "foo_bar": {"type": "integer"}, "big": {"type": "integer", "format": "int64"},
        "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "oddities.odd.example.com"},
        "spec": {"group": "odd.example.com", "scope": "Namespaced", "names": {"plural": "oddities", "singular": "oddity", "kind": "Oddity"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_kinds_with_awkward_names_are_read_and_written() {
    let world = world().await;
    let crd = awkward();
    let apply = "mutation($y:String!){applyYaml(yaml:$y)}";
    let answer = world.ask(apply, json!({"y": crd.to_string()})).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    let document = eventually("the kind is described", SOON, async || {
        let document = super::support::document(&world.cluster).await;
        anyhow::Ok(
            document["definitions"]
                .as_object()
                .unwrap()
                .values()
                .any(|definition| definition["x-kubernetes-plural"] == "oddities")
                .then_some(document),
        )
    });
    world.gateway.write("odd.json", &document.await.unwrap().to_string());
    world
        .gateway
        .until("odd", &world.admin, "{odd_example_com{v1{Oddities{items{kind}}}}}", |answer| {
            answer.json()["data"]["odd_example_com"]["v1"]["Oddities"].is_object()
        })
        .await;
    let fields = world
        .gateway
        .post(
            "odd",
            Some(&world.admin),
            &json!({"query": "{__type(name:\"OddExampleComV1OdditySpec\"){fields{name type{name}}}}"}),
        )
        .await
        .json();
    let odd = fields["data"]["__type"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .find(|name| name.starts_with("foo_bar_"))
        .unwrap_or_else(|| panic!("{fields}"))
        .to_owned();
    let create = format!(
        "mutation($n:Int){{odd_example_com{{v1{{createOddity(namespace:\"default\",object:{{metadata:{{name:\"a\"}},spec:{{{odd}:\"text\",foo_bar:7,big:$n,port:\"80\",any_json:{{x:[1]}}}}}}){{kind spec{{{odd} foo_bar big port port_json any any_json}}}}}}}}}}"
    );
    let answer = world
        .gateway
        .post(
            "odd",
            Some(&world.admin),
            &json!({"query": create, "variables": {"n": 9_007_199_254_740_993_i64}}),
        )
        .await
        .json();
    let spec = &answer["data"]["odd_example_com"]["v1"]["createOddity"]["spec"];
    let expected = json!({odd: "text", "foo_bar": 7, "big": 9_007_199_254_740_993_i64, "port": "80", "port_json": 80, "any": "{\"x\":[1]}", "any_json": {"x": [1]}});
    assert_eq!(spec, &expected, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_of_a_category_come_together() {
    let world = world().await;
    let query = "{resourcesByCategory(name:\"all\",namespace:\"default\"){apiVersion kind metadata yaml}}";
    let answer = world.ask(query, json!({})).await;
    let all = answer["data"]["resourcesByCategory"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let service = all.iter().find(|object| object["kind"] == "Service").unwrap();
    assert_eq!((&service["apiVersion"], &service["metadata"]["name"]), (&json!("v1"), &json!("kubernetes")));
    assert!(service["yaml"].as_str().unwrap().starts_with("apiVersion: v1\nkind: Service\n"));
    // In pages, each object comes once.
    world.namespace("paged").await;
    let services: Api<Service> = Api::namespaced(world.cluster.client(), "paged");
    let sets: Api<ReplicationController> = Api::namespaced(world.cluster.client(), "paged");
    for name in ["a", "b", "c"] {
        let spec = json!({"ports": [{"port": 80}]});
        apply(&services, &serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap())
            .await;
        let spec = json!({"replicas": 0, "selector": {"a": name}, "template": {"metadata": {"labels": {"a": name}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}});
        apply(&sets, &serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap())
            .await;
    }
    let (mut seen, mut place, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let query = "query($c:String){resourcesByCategory(name:\"all\",namespace:\"paged\",limit:2,continue:$c){kind metadata continue}}";
        let answer = world.ask(query, json!({"c": place})).await;
        let page =
            answer["data"]["resourcesByCategory"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        assert!(page.len() <= 2 && answer.get("errors").is_none(), "{answer}");
        seen.extend(page.iter().map(|object| format!("{} {}", object["kind"], object["metadata"]["name"])));
        pages += 1;
        place = page.last().map_or(Value::Null, |last| last["continue"].clone());
        if place.is_null() {
            break;
        }
    }
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((seen.len(), distinct.len(), pages >= 3), (6, 6, true), "{seen:?}");
    let odd = world.ask("{resourcesByCategory(name:\"all\",continue:\"x\"){kind}}", json!({})).await;
    assert_eq!(odd["errors"][0]["extensions"]["code"], "INVALID", "{odd}");
}
