//! Requests of the reference gateway's clients, word for word, and their answers.

use serde_json::{Value, json};

use super::support::{rule, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_lists_with_variables() {
    let world = world().await;
    world.namespace("replay-a").await;
    for index in 0..3 {
        world
            .config_map("replay-a", &format!("list-test-cm-{index}"), &[("key", &format!("value-{index}"))])
            .await;
    }
    let query = "query($ns:String,$s:String){v1{ConfigMaps(namespace:$ns,labelselector:$s,limit:2){resourceVersion continue remainingItemCount items{metadata{name namespace labels} data}}}}";
    let answer = world.ask(query, json!({"ns": "replay-a", "s": "test=list"})).await;
    let list = &answer["data"]["v1"]["ConfigMaps"];
    let item = |index: usize| json!({"metadata": {"name": format!("list-test-cm-{index}"), "namespace": "replay-a", "labels": {"test": "list"}}, "data": {"key": format!("value-{index}")}});
    assert_eq!(list["items"], json!([item(0), item(1)]));
    assert!(list["resourceVersion"].as_str().unwrap().parse::<u64>().is_ok());
    // With a selector, the API server does not count the remaining items.
    assert_eq!(list["remainingItemCount"], Value::Null);
    let rest = "query($c:String){v1{ConfigMaps(namespace:\"replay-a\",labelselector:\"test=list\",limit:2,continue:$c){continue items{metadata{name}}}}}";
    let answer = world.ask(rest, json!({"c": list["continue"]})).await;
    assert_eq!(
        answer["data"]["v1"]["ConfigMaps"],
        json!({"continue": "", "items": [{"metadata": {"name": "list-test-cm-2"}}]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn b_c_get_one_as_fields_and_as_yaml() {
    let world = world().await;
    world.namespace("replay-b").await;
    world.config_map("replay-b", "example-config", &[("key", "val")]).await;
    let answer = world
        .ask(
            "{v1{ConfigMap(name:\"example-config\",namespace:\"replay-b\"){metadata{name} data}}}",
            json!({}),
        )
        .await;
    assert_eq!(
        answer,
        json!({"data": {"v1": {"ConfigMap": {"metadata": {"name": "example-config"}, "data": {"key": "val"}}}}})
    );
    let answer =
        world.ask("{v1{ConfigMapYaml(name:\"example-config\",namespace:\"replay-b\")}}", json!({})).await;
    let yaml = answer["data"]["v1"]["ConfigMapYaml"].as_str().unwrap();
    assert!(yaml.starts_with("apiVersion: v1\ndata:\n    key: val\nkind: ConfigMap\nmetadata:\n"), "{yaml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d_e_f_write() {
    let world = world().await;
    world.namespace("replay-d").await;
    let create = "mutation($ns:String!,$object:V1ConfigMap_Input!){v1{createConfigMap(namespace:$ns,object:$object){metadata{name namespace}}}}";
    let object = json!({"metadata": {"name": "created-cm", "labels": {"app.kubernetes.io/name": "x"}}, "data": {"created": "true"}});
    let answer = world.ask(create, json!({"ns": "replay-d", "object": object})).await;
    assert_eq!(
        answer,
        json!({"data": {"v1": {"createConfigMap": {"metadata": {"name": "created-cm", "namespace": "replay-d"}}}}})
    );
    let update = "mutation{v1{updateConfigMap(name:\"created-cm\",namespace:\"replay-d\",object:{data:{key:\"new-value\"}}){metadata{name} data}}}";
    let answer = world.ask(update, json!({})).await;
    assert_eq!(
        answer["data"]["v1"]["updateConfigMap"],
        json!({"metadata": {"name": "created-cm"}, "data": {"created": "true", "key": "new-value"}})
    );
    let delete = "mutation{v1{deleteConfigMap(name:\"created-cm\",namespace:\"replay-d\")}}";
    assert_eq!(world.ask(delete, json!({})).await, json!({"data": {"v1": {"deleteConfigMap": true}}}));
    assert!(world.config_maps("replay-d").get_opt("created-cm").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn g_applies_yaml() {
    let world = world().await;
    world.namespace("replay-g").await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\n  namespace: replay-g\ndata:\n  a: \"on\"\n";
    let answer = world.ask("mutation($y:String!){applyYaml(yaml:$y)}", json!({"y": yaml})).await;
    let object: Value =
        serde_json::from_str(answer["data"]["applyYaml"].as_str().unwrap_or_else(|| panic!("{answer}")))
            .unwrap();
    assert_eq!((&object["kind"], &object["data"]), (&json!("ConfigMap"), &json!({"a": "on"})));
    let several = format!("{yaml}---\n{yaml}");
    let answer = world.ask("mutation($y:String!){applyYaml(yaml:$y)}", json!({"y": several})).await;
    assert!(
        answer["errors"][0]["message"]
            .as_str()
            .unwrap()
            .starts_with("multi-document YAML is not supported; provide a single document"),
        "{answer}"
    );
    let mixed = format!("apiVersion: v1\nkind: Nothing\nmetadata: {{name: x}}\n---\n{yaml}");
    let answer = world
        .ask("mutation($y:String!){applyYamlAll(yaml:$y){kind name code error}}", json!({"y": mixed}))
        .await;
    let results = answer["data"]["applyYamlAll"].as_array().unwrap();
    assert_eq!(
        (results[0]["code"].as_str(), results[1]["error"].as_str(), results[1]["name"].as_str()),
        (Some("INVALID"), None, Some("applied"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn h_names_the_kinds_of_a_category() {
    let world = world().await;
    let answer = world.ask("{typeByCategory(name:\"all\"){group version kind scope}}", json!({})).await;
    let kinds = answer["data"]["typeByCategory"].as_array().unwrap();
    assert!(
        kinds.contains(
            &json!({"group": "apps", "version": "v1", "kind": "Deployment", "scope": "Namespaced"})
        ),
        "{answer}"
    );
    let none = world.ask("{typeByCategory(name:\"nothing\"){kind}}", json!({})).await;
    assert_eq!(none, json!({"data": {"typeByCategory": []}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn j_one_forbidden_list_leaves_its_siblings() {
    let world = world().await;
    world.namespace("replay-j").await;
    world.config_map("replay-j", "seen", &[]).await;
    let token = world.limited("replay-j", "reader", vec![rule("", &["configmaps"], &["list"])]).await;
    let query = "{v1{Secrets(namespace:\"replay-j\"){items{metadata{name}}} ConfigMaps(namespace:\"replay-j\",labelselector:\"test=list\"){items{metadata{name}}}}}";
    let answer = world.gateway.post("a", Some(&token), &json!({"query": query})).await.json();
    assert_eq!(
        answer["data"]["v1"],
        json!({"Secrets": null, "ConfigMaps": {"items": [{"metadata": {"name": "seen"}}]}})
    );
    let error = &answer["errors"][0];
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("unable to list objects: secrets is forbidden: User \""),
        "{error}"
    );
    assert_eq!(
        (&error["path"], &error["locations"], &error["extensions"]["code"]),
        (&json!(["v1", "Secrets"]), &json!([{"line": 1, "column": 5}]), &json!("FORBIDDEN"))
    );
    assert_eq!(error["extensions"]["status"]["code"], 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn k_l_m_tell_what_is_wrong_with_a_query() {
    let world = world().await;
    let answer = world.ask("{nonExistentField}", json!({})).await;
    assert_eq!(answer["errors"][0]["message"], "Cannot query field \"nonExistentField\" on type \"Query\".");
    let modern = "accept: application/graphql-response+json\r\n";
    let ask = async |query: &str| {
        let answer = world
            .gateway
            .post_with("a", Some(&world.admin), modern, &json!({"query": query}).to_string())
            .await;
        (answer.status, answer.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(ask("{nonExistentField}").await.0, 400);
    let deep = format!("{{apps{{v1{{Deployments{{items{}{}}}}}}}}}", "{metadata".repeat(18), "}".repeat(18));
    assert_eq!(ask(&deep).await, (400, "query depth 22 exceeds maximum allowed depth of 20".to_owned()));
    assert!(ask("{").await.1.starts_with("failed to parse query: "));
    let empty = world.gateway.post("a", Some(&world.admin), &json!({})).await;
    assert_eq!(
        (empty.status, empty.json()["errors"][0]["message"].as_str()),
        (400, Some("Must provide an operation."))
    );
    let batch: Vec<Value> = (0..11).map(|_| json!({"query": "{__typename}"})).collect();
    let answer = world.gateway.post("a", Some(&world.admin), &json!(batch)).await;
    assert_eq!(
        answer.json()["errors"][0]["message"],
        "batch size 11 exceeds maximum allowed batch size of 10"
    );
    let answer = world.gateway.post("a", Some(&world.admin), &json!(batch[..2])).await;
    assert_eq!(answer.json(), json!([{"data": {"__typename": "Query"}}, {"data": {"__typename": "Query"}}]));
}
