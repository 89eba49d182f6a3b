//! Clusters whose kinds of one name differ.

use serde_json::{Value, json};

use crate::{
    fake::{Fake, refusal, widgets},
    support::Gateway,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_cluster_lacks_takes_nothing_else_with_it() {
    let fake = Fake::start(|asked| {
        if asked.path.contains("/widgets") {
            return (200, widgets(&["w"]));
        }
        refusal(404, "NotFound", "there is nothing")
    })
    .await;
    let new = fake.document();
    let mut old = new.clone();
    old["definitions"]["x.Widget"]["properties"].as_object_mut().unwrap().remove("size");
    let gateway = Gateway::start("fleet-unlike", &[("new", &new), ("old", &old)], &[]).await;
    let ask = async |query: &str| gateway.post("fleet", Some("t"), &json!({"query": query})).await.json();
    let query = "{clusters{name error x_io{v1{\
        sizes:Widgets(namespace:\"n\"){items{size}}}} x_io{v1{names:Widgets(namespace:\"n\"){items{metadata{name}}}}}}}";
    let answer = ask(query).await;
    let names = json!({"items": [{"metadata": {"name": "w"}}]});
    let (new, old) = (&answer["data"]["clusters"][0], &answer["data"]["clusters"][1]);
    let expected = json!({"sizes": {"items": [{"size": "big"}]}, "names": names});
    assert_eq!((&new["error"], &new["x_io"]["v1"]), (&Value::Null, &expected), "{answer}");
    assert_eq!(old["x_io"]["v1"], json!({"sizes": null, "names": names}), "{answer}");
    let said = old["error"].as_str().unwrap();
    assert!(said.starts_with("x_io.v1.Widgets does not fit the cluster: "), "{said}");
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{answer}");
    assert_eq!(errors[0]["path"], json!(["clusters", 1, "x_io", "v1", "sizes"]));
    assert_eq!(
        errors[0]["extensions"],
        json!({"code": "GRAPHQL_VALIDATION_FAILED", "cluster": "old"}),
        "{answer}"
    );

    let nobody = ask("{clusters{x_io{v1{Widgets(namespace:\"n\"){items{nonsense}}}}}}").await;
    assert_eq!(nobody["data"], Value::Null, "{nobody}");
    assert!(nobody["errors"][0]["message"].as_str().unwrap().contains("nonsense"), "{nobody}");
}
