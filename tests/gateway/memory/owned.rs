//! What objects own, which memory looks up by their identities and an API server does not.

use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{Api, Resource as _, api::ObjectMeta};
use serde_json::{Value, json};

use super::{
    super::support::{World, apply, named, world},
    Remembering, of, reads, source,
};

/// Creates a `ConfigMap` that these own.
async fn owned(
    world: &World,
    (namespace, name): (&str, &str),
    owners: Vec<OwnerReference>,
) -> OwnerReference {
    let labels = [("test".to_owned(), "owned".to_owned())].into();
    let owners = Some(owners).filter(|owners| !owners.is_empty());
    let metadata = ObjectMeta { labels: Some(labels), owner_references: owners, ..named(name) };
    let object = ConfigMap { metadata, ..ConfigMap::default() };
    apply(&world.config_maps(namespace), &object).await.owner_ref(&()).unwrap()
}

/// Among them are objects with two owners and with none, and one in another namespace, whose owner is in none.
#[tokio::test(flavor = "multi_thread")]
async fn memory_knows_owners_as_the_api_server_does() {
    let world = world().await;
    let [here, there] = ["memory-owned", "memory-owned-2"];
    world.namespace(here).await;
    world.namespace(there).await;
    let namespaces: Api<Namespace> = Api::all(world.cluster.client());
    let above = namespaces.get(here).await.unwrap().owner_ref(&()).unwrap();
    let one = owned(world, (here, "one"), Vec::new()).await;
    owned(world, (here, "both"), vec![above.clone(), one]).await;
    let other = owned(world, (there, "other"), vec![above]).await;
    owned(world, (there, "below"), vec![other]).await;
    let own = vec![reads("", &["configmaps", "namespaces"])];
    let memory = Remembering::start(of(world), "memory-owned", own, &[]).await;
    let question = "{v1{\
        Namespaces(labelselector:\"kubernetes.io/metadata.name in (memory-owned,memory-owned-2)\"){\
        items{metadata{name} owned(kind:\"ConfigMap\"){metadata{name}}}} \
        ConfigMaps(labelselector:\"test=owned\"){items{metadata{name} owned(kind:\"ConfigMap\"){metadata{name}}}}}}";
    let remembered = memory.remembered(&world.admin, question).await;
    let through = memory.ask(&world.admin, question, json!({"memory": false})).await;
    assert_eq!((source(&remembered), source(&through)), ("memory", "cluster"));
    let item = |name: &str, owned: &[&str]| {
        let owned: Vec<Value> = owned.iter().map(|name| json!({"metadata": {"name": name}})).collect();
        json!({"metadata": {"name": name}, "owned": owned})
    };
    // `-` comes before `/`: what is in the other namespace comes first.
    let of_namespaces = [item(here, &["other", "both"]), item(there, &[])];
    let of_config_maps =
        [item("below", &[]), item("both", &[]), item("one", &["both"]), item("other", &["below"])];
    let expected =
        json!({"v1": {"Namespaces": {"items": of_namespaces}, "ConfigMaps": {"items": of_config_maps}}});
    for answer in [remembered, through] {
        assert_eq!((&answer["data"], answer.get("errors")), (&expected, None), "{answer}");
    }
}
