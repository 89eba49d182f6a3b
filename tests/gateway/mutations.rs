//! Mutations write what they say, nothing else, and in order.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};

use super::support::{apply, world};

fn deployment(name: &str) -> Deployment {
    let template =
        json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    serde_json::from_value(json!({"metadata": {"name": name, "annotations": {"note": "kept"}}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}}, "template": template}})).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_reaches_more_than_one_object() {
    let world = world().await;
    world.namespace("names").await;
    for name in ["a", "b", "c"] {
        world.config_map("names", name, &[]).await;
    }
    for name in ["", ".", "..", "a/status", "a%2Fb", "a?watch=1", "../../kube-system/configmaps/x"] {
        for (field, more) in [
            ("deleteConfigMap", ""),
            ("updateConfigMap", ",object:{data:{a:\"b\"}}"),
            ("applyConfigMap", ",object:{data:{a:\"b\"}}"),
            ("patchConfigMap", ",patch:[]"),
        ] {
            let selected = if field == "deleteConfigMap" { "" } else { "{kind}" };
            let query =
                format!("mutation($n:String!){{v1{{{field}(name:$n,namespace:\"names\"{more}){selected}}}}}");
            let answer = world.ask(&query, json!({"n": name})).await;
            assert_eq!(answer["data"]["v1"][field], Value::Null, "{answer}");
            assert_eq!(
                (&answer["errors"][0]["path"], &answer["errors"][0]["extensions"]["code"]),
                (&json!(["v1", field]), &json!("INVALID")),
                "{answer}"
            );
        }
        let answer = world
            .ask("query($n:String!){v1{ConfigMap(name:$n,namespace:\"names\"){kind}}}", json!({"n": name}))
            .await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "INVALID", "{answer}");
    }
    for query in [
        "mutation{v1{deleteConfigMap(name:\"a\",namespace:\"\")}}",
        "mutation{v1{deleteConfigMap(name:\"a\")}}",
    ] {
        assert_eq!(world.ask(query, json!({})).await["errors"][0]["extensions"]["code"], "INVALID");
    }
    assert_eq!(
        world
            .config_maps("names")
            .list(&kube::api::ListParams::default().labels("test=list"))
            .await
            .unwrap()
            .items
            .len(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_is_not_null() {
    let world = world().await;
    world.namespace("absent").await;
    let deployments: Api<Deployment> = Api::namespaced(world.cluster.client(), "absent");
    apply(&deployments, &deployment("d")).await;
    let query = |variables: &str| {
        format!(
            "mutation({variables}){{apps{{v1{{updateDeployment(name:\"d\",namespace:\"absent\",object:{{metadata:{{annotations:{{note:$l}}}},spec:{{replicas:$r}}}}){{spec{{replicas}} metadata{{annotations}}}}}}}}}}"
        )
    };
    let ask = async |head: &str, variables: Value| {
        let answer = world.ask(&query(head), variables).await;
        let written = &answer["data"]["apps"]["v1"]["updateDeployment"];
        (
            written["spec"]["replicas"].as_i64(),
            written["metadata"]["annotations"]["note"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(ask("$l:String,$r:Int", json!({})).await, (Some(3), Some("kept".to_owned())));
    assert_eq!(ask("$l:String,$r:Int=2", json!({})).await, (Some(2), Some("kept".to_owned())));
    // Without a number, the API server takes its default: one.
    assert_eq!(ask("$l:String,$r:Int=2", json!({"r": null, "l": null})).await, (Some(1), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_mutation_comes_after_another() {
    let world = world().await;
    world.namespace("serial").await;
    let query = "mutation{v1{a:createConfigMap(namespace:\"serial\",object:{metadata:{name:\"x\"},data:{n:\"1\"}}){metadata{name}} b:updateConfigMap(name:\"x\",namespace:\"serial\",object:{data:{n:\"2\"}}){data} c:deleteConfigMap(name:\"x\",namespace:\"serial\")}}";
    for _ in 0..50 {
        let answer = world.ask(query, json!({})).await;
        assert_eq!(
            answer,
            json!({"data": {"v1": {"a": {"metadata": {"name": "x"}}, "b": {"data": {"n": "2"}}, "c": true}}})
        );
    }
    let after_an_error = "mutation{v1{a:deleteConfigMap(name:\"none\",namespace:\"serial\") b:createConfigMap(namespace:\"serial\",object:{metadata:{name:\"y\"}}){kind}}}";
    let answer = world.ask(after_an_error, json!({})).await;
    assert_eq!(answer["data"]["v1"], json!({"a": null, "b": {"kind": "ConfigMap"}}));
    assert_eq!(
        (&answer["errors"][0]["path"], &answer["errors"][0]["extensions"]["code"]),
        (&json!(["v1", "a"]), &json!("NOT_FOUND"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_does_what_it_says() {
    let world = world().await;
    world.namespace("ways").await;
    let deployments: Api<Deployment> = Api::namespaced(world.cluster.client(), "ways");
    apply(&deployments, &deployment("d")).await;
    let answer = world.ask("mutation{apps{v1{scaleDeployment(name:\"d\",namespace:\"ways\",replicas:5){spec{replicas} metadata{name}}}}}", json!({})).await;
    assert_eq!(
        answer["data"]["apps"]["v1"]["scaleDeployment"],
        json!({"spec": {"replicas": 5}, "metadata": {"name": "d"}}),
        "{answer}"
    );
    let answer = world.ask("mutation{apps{v1{patchDeployment(name:\"d\",namespace:\"ways\",patch:[{op:\"replace\",path:\"/spec/replicas\",value:4}]){spec{replicas}}}}}", json!({})).await;
    assert_eq!(answer["data"]["apps"]["v1"]["patchDeployment"]["spec"]["replicas"], 4, "{answer}");
    let stale = "mutation{apps{v1{patchDeployment(name:\"d\",namespace:\"ways\",resourceVersion:\"1\",patch:[]){kind}}}}";
    assert!(world.ask(stale, json!({})).await["errors"][0]["extensions"]["code"].is_string());
    let stale = "mutation{apps{v1{updateDeployment(name:\"d\",namespace:\"ways\",resourceVersion:\"1\",object:{spec:{replicas:1}}){kind}}}}";
    assert_eq!(world.ask(stale, json!({})).await["errors"][0]["extensions"]["code"], "CONFLICT");
    let answer = world.ask("mutation{apps{v1{updateDeploymentStatus(name:\"d\",namespace:\"ways\",object:{status:{replicas:4,observedGeneration:9}}){status{observedGeneration}}}}}", json!({})).await;
    assert!(
        answer["data"]["apps"]["v1"]["updateDeploymentStatus"]["status"]["observedGeneration"].is_i64(),
        "{answer}"
    );
    let applied = "mutation($f:Boolean){v1{applyConfigMap(name:\"m\",namespace:\"ways\",fieldManager:\"me\",force:$f,object:{data:{a:\"1\"}}){data metadata{managedFields{manager}}}}}";
    let answer = world.ask(applied, json!({})).await;
    assert_eq!(
        answer["data"]["v1"]["applyConfigMap"],
        json!({"data": {"a": "1"}, "metadata": {"managedFields": [{"manager": "me"}]}}),
        "{answer}"
    );
    let other = "mutation{v1{applyConfigMap(name:\"m\",namespace:\"ways\",fieldManager:\"you\",object:{data:{a:\"2\"}}){data}}}";
    assert_eq!(world.ask(other, json!({})).await["errors"][0]["extensions"]["code"], "CONFLICT");
    let dry = "mutation{v1{deleteConfigMap(name:\"m\",namespace:\"ways\",dryRun:true)}}";
    assert_eq!(world.ask(dry, json!({})).await["data"]["v1"]["deleteConfigMap"], true);
    let wrong_uid = "mutation{v1{deleteConfigMap(name:\"m\",namespace:\"ways\",uid:\"x\")}}";
    assert_eq!(world.ask(wrong_uid, json!({})).await["errors"][0]["extensions"]["code"], "CONFLICT");
    assert!(world.config_maps("ways").get_opt("m").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn yaml_goes_round_without_a_change() {
    let world = world().await;
    world.namespace("round").await;
    let data = json!({"a": "yes", "b": "1e3", "c": "0x1F", "d": "010", "e": "1_000", "f": "null", "g": "~", "h": "2001-01-01", "i": "1:30", "j": "=", "k": "", "l": ".inf", "m": "a: b", "n": " x ", "o": "x\n", "p": "x\n\n", "q": "\ttab", "r": "#c", "s": "- x"});
    let create = "mutation($o:V1ConfigMap_Input!){v1{createConfigMap(namespace:\"round\",object:$o){kind}}}";
    world.ask(create, json!({"o": {"metadata": {"name": "odd"}, "data": data}})).await;
    let yaml = world.ask("{v1{ConfigMapYaml(name:\"odd\",namespace:\"round\")}}", json!({})).await["data"]["v1"]["ConfigMapYaml"].as_str().unwrap().to_owned();
    assert!(yaml.contains("managedFields:"), "{yaml}");
    let answer = world.ask("mutation($y:String!){applyYaml(yaml:$y)}", json!({"y": yaml})).await;
    assert_eq!(answer.get("errors"), None, "{answer}\n{yaml}");
    let read = world.ask("{v1{ConfigMap(name:\"odd\",namespace:\"round\"){data}}}", json!({})).await;
    assert_eq!(read["data"]["v1"]["ConfigMap"]["data"], data);
}
