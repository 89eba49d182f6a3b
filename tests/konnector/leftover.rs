//! Namespaces on the provider whose namespaces on the consumer are gone.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, PostParams},
};
use portolan_core::api::kubebind::{APIServiceBindingBundle, APIServiceNamespace};
use portolan_testkit::eventually::{eventually, watch_until_gone};
use serde_json::json;

use crate::support::{
    Clusters, SOON, Service, binding_condition, cowboy, create_namespace, merge, object_with,
};

/// A namespace of the consumer with an object in it, and its place on the provider.
struct Place {
    here: Api<DynamicObject>,
    there: Api<DynamicObject>,
    mapped: String,
}

async fn place(service: &Service, namespace: &str) -> Place {
    create_namespace(&service.consumer, namespace).await;
    let mapped = format!("{}-{namespace}", service.contract_namespace());
    let here = Api::namespaced_with(service.consumer.clone(), namespace, &service.resource);
    let there = Api::namespaced_with(service.provider.clone(), &mapped, &service.resource);
    let place = Place { here, there, mapped };
    arrives(service, &place).await;
    place
}

async fn arrives(service: &Service, place: &Place) {
    let billy = cowboy(&service.resource, "billy", &json!({"intent": "ride"}));
    place.here.create(&PostParams::default(), &billy).await.unwrap();
    object_with(&place.there, "billy", "arrives", |_| true).await;
    object_with(&place.here, "billy", "knows its copy", |o| {
        o.annotations().contains_key("kube-bind.io/provider-uid")
    })
    .await;
}

#[tokio::test]
async fn a_namespace_goes_with_that_of_the_consumer_unless_something_is_left_in_it() {
    let clusters = Clusters::start("leftover").await;
    let service = Service::bind(&clusters, "leftover").await;
    let (mine, theirs): (Api<Namespace>, Api<Namespace>) =
        (Api::all(service.consumer.clone()), Api::all(service.provider.clone()));
    let requests: Api<APIServiceNamespace> =
        Api::namespaced(service.provider.clone(), &service.contract_namespace());
    let empty = place(&service, "left-empty").await;
    let foreign = place(&service, "left-foreign").await;
    let copies = place(&service, "left-copies").await;
    let maps: Api<ConfigMap> = Api::namespaced(service.provider.clone(), &foreign.mapped);
    let map = serde_json::from_value(json!({"metadata": {"name": "theirs"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let orphan = json!({"metadata": {"annotations": {"kube-bind.io/deletion-policy": "Orphan"}}});
    merge(&copies.here, "billy", orphan).await;

    for namespace in ["left-empty", "left-foreign", "left-copies"] {
        mine.delete(namespace, &DeleteParams::default()).await.unwrap();
    }
    for namespace in ["left-empty", "left-foreign", "left-copies"] {
        watch_until_gone(mine.clone(), namespace, SOON * 3).await.unwrap();
    }
    // Requests go where no copy is left, and namespaces where nothing is left at all.
    watch_until_gone(requests.clone(), "left-empty", SOON).await.unwrap();
    watch_until_gone(requests.clone(), "left-foreign", SOON).await.unwrap();
    watch_until_gone(theirs.clone(), &empty.mapped, SOON * 3).await.unwrap();
    assert!(requests.get_opt("left-copies").await.unwrap().is_some());
    assert!(copies.there.get_opt("billy").await.unwrap().is_some());
    eventually("the right to look is given back", SOON, async || {
        let roles: Api<k8s_openapi::api::rbac::v1::Role> =
            Api::namespaced(service.provider.clone(), &foreign.mapped);
        let left = roles.get_opt("kube-bind-sweep").await?;
        Ok::<_, kube::Error>(left.is_none().then_some(()))
    })
    .await
    .unwrap();
    assert!(maps.get_opt("theirs").await.unwrap().is_some());
    let kept = theirs.get(&foreign.mapped).await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_none());
    // Nobody is troubled by what is gone, and a namespace that comes again is served as ever.
    for namespace in ["left-empty", "left-foreign"] {
        create_namespace(&service.consumer, namespace).await;
    }
    arrives(&service, &empty).await;
    arrives(&service, &foreign).await;
    binding_condition(&service.consumer, &service.export(), "Ready", ("True", "")).await;

    // The end of the contract: what is empty goes, and what holds something stays.
    let bundles: Api<APIServiceBindingBundle> = Api::all(service.consumer.clone());
    bundles.delete("leftover", &DeleteParams::default()).await.unwrap();
    watch_until_gone(bundles, "leftover", SOON * 2).await.unwrap();
    theirs.delete(&service.contract_namespace(), &DeleteParams::default()).await.unwrap();
    watch_until_gone(theirs.clone(), &service.contract_namespace(), SOON * 3).await.unwrap();
    watch_until_gone(theirs.clone(), &empty.mapped, SOON * 3).await.unwrap();
    for left in [&foreign.mapped, &copies.mapped] {
        assert!(theirs.get(left).await.unwrap().metadata.deletion_timestamp.is_none(), "{left}");
    }
    assert!(clusters.provider_service.exited().is_none(), "{}", clusters.provider_service.log_tail(20));
}
