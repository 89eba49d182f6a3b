//! Products: from the picker to the catalog and out of it again, and what the portal never touches.

use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, PostParams},
};
use portolan_core::api::devportal::APIProduct;
use portolan_testkit::{eventually, kubeconfig, toystore};
use serde_json::{Value, json};

use crate::{
    scene::{Place, SOON, Stage},
    site::Caller,
};

const PRODUCTS: &str = "/api/kuadrant/apiproducts";

async fn catalog(by: &Caller<'_>, namespace: &str) -> Vec<String> {
    by.names(&format!("{PRODUCTS}?catalog=true&namespace={namespace}")).await
}

/// Versions of the route and the policies of a namespace.
async fn versions(place: &Place<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, name) in
        [("HTTPRoute", "toystore"), ("PlanPolicy", "toystore-plans"), ("AuthPolicy", "toystore")]
    {
        let api: Api<DynamicObject> = toystore::foreign(&place.stage.client(), kind, &place.namespace);
        found.push(api.get(name).await.unwrap().resource_version().unwrap());
    }
    found
}

#[tokio::test]
async fn a_product_is_what_was_typed_and_its_route_is_left_alone() {
    let stage = Stage::shared().await;
    let place = stage.toystore("typed").await;
    let before = versions(&place).await;
    let owner = stage.portal.by(&stage.login, "owner1");
    let more = json!({
        "description": "Toys for all", "version": "v2", "tags": ["toys", "fun"], "approvalMode": "automatic",
        "documentation": {"docsURL": "https://docs.example/toys"}, "contact": {"email": "toys@example.com"},
    });
    let made = owner.post(PRODUCTS, &place.product("toys", &more)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let stored = place.api::<APIProduct>().get("toys").await.unwrap();
    assert_eq!(stored.annotations().get("backstage.io/owner").map(String::as_str), Some("owner1"));
    let spec = serde_json::to_value(&stored.spec).unwrap();
    for (field, value) in more.as_object().unwrap() {
        assert_eq!(&spec[field], value, "{field}");
    }
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "toystore"});
    assert_eq!(spec["targetRef"], target);
    let path = format!("{PRODUCTS}/typed/toys");
    let hosts =
        async || (owner.get(&path).await.json()["hostnames"] == json!(["api.toystore.com"])).then_some(());
    eventually("the host names of the route are told", SOON, hosts).await.unwrap();
    let patched = owner.patch(&path, &json!({"spec": {"displayName": "Toys", "tags": []}})).await;
    assert_eq!(
        (patched.status, &patched.json()["spec"]["displayName"]),
        (200, &json!("Toys")),
        "{}",
        patched.text
    );
    assert_eq!(owner.delete(&path).await.status, 204);
    Caller::is_problem(&owner.get(&path).await, 404);
    assert_eq!(versions(&place).await, before);
}

#[tokio::test]
async fn what_the_cluster_refuses_is_refused_with_its_words() {
    let stage = Stage::shared().await;
    let place = stage.toystore("refused").await;
    let owner = stage.portal.by(&stage.login, "owner1");
    let with = |name: &str, field: &str, value: &str| {
        let mut product = place.product(name, &json!({}));
        product["spec"]["targetRef"][field] = json!(value);
        product
    };
    let kind = owner.post(PRODUCTS, &with("kind", "kind", "Service")).await;
    Caller::is_problem(&kind, 422);
    assert!(
        kind.text.contains("Invalid targetRef.kind. The only supported value is 'HTTPRoute'"),
        "{}",
        kind.text
    );
    let group = owner.post(PRODUCTS, &with("group", "group", "")).await;
    Caller::is_problem(&group, 422);
    let mode = owner.post(PRODUCTS, &place.product("mode", &json!({"approvalMode": "semi"}))).await;
    Caller::is_problem(&mode, 422);
    let status = owner.post(PRODUCTS, &place.product("status", &json!({"publishStatus": "published"}))).await;
    Caller::is_problem(&status, 422);
    let none = owner.post(PRODUCTS, &json!({"metadata": {"name": "x"}, "spec": {"displayName": "x"}})).await;
    Caller::is_problem(&none, 400);
    assert!(
        none.json()["error"]
            .as_str()
            .unwrap()
            .contains("targetRef with name, kind, and namespace is required"),
        "{}",
        none.text
    );
    let alice = stage.portal.by(&stage.login, "alice");
    Caller::is_problem(&alice.post(PRODUCTS, &place.product("hers", &json!({}))).await, 403);
    assert!(
        place.api::<APIProduct>().list(&kube::api::ListParams::default()).await.unwrap().items.is_empty()
    );
}

#[tokio::test]
async fn the_catalog_is_what_is_published_at_once() {
    let stage = Stage::shared().await;
    let place = stage.toystore("catalog").await;
    let (owner, alice) = (stage.portal.by(&stage.login, "owner1"), stage.portal.by(&stage.login, "alice"));
    // Without a status, it is a draft: nobody but people with a right to it sees it.
    let mut draft = place.product("draft", &json!({}));
    draft["spec"].as_object_mut().unwrap().remove("publishStatus");
    assert_eq!(owner.post(PRODUCTS, &draft).await.status, 201);
    let stored = serde_json::to_value(place.api::<APIProduct>().get("draft").await.unwrap()).unwrap();
    assert_eq!(stored["spec"]["publishStatus"], "Draft");
    assert!(catalog(&owner, "catalog").await.is_empty());
    Caller::is_problem(&alice.get(&format!("{PRODUCTS}/catalog/draft")).await, 404);
    assert!(alice.names(&format!("{PRODUCTS}?namespace=catalog")).await.is_empty());
    assert_eq!(owner.names(&format!("{PRODUCTS}?namespace=catalog")).await, ["draft"]);

    // Every next answer is right, without any waiting.
    assert_eq!(owner.post(PRODUCTS, &place.product("toys", &json!({}))).await.status, 201);
    assert_eq!(catalog(&owner, "catalog").await, ["toys"]);
    assert_eq!(catalog(&alice, "catalog").await, ["toys"]);
    Caller::is_problem(&owner.post(PRODUCTS, &place.product("toys", &json!({}))).await, 409);
    let bad = place.product("bad", &json!({"publishStatus": "published"}));
    Caller::is_problem(&owner.post(PRODUCTS, &bad).await, 422);
    assert_eq!(catalog(&alice, "catalog").await, ["toys"]);
    let status = |status: &str| json!({"spec": {"publishStatus": status}});
    let path = |name: &str| format!("{PRODUCTS}/catalog/{name}");
    assert_eq!(owner.patch(&path("draft"), &status("Published")).await.status, 200);
    assert_eq!(catalog(&alice, "catalog").await, ["draft", "toys"]);
    assert_eq!(owner.patch(&path("toys"), &status("Draft")).await.status, 200);
    assert_eq!(catalog(&alice, "catalog").await, ["draft"]);
    assert_eq!(owner.delete(&path("draft")).await.status, 204);
    assert!(catalog(&alice, "catalog").await.is_empty());
}

#[tokio::test]
async fn what_kubectl_writes_is_seen_like_any_other() {
    let stage = Stage::shared().await;
    let place = stage.toystore("gitops").await;
    let alice = stage.portal.by(&stage.login, "alice");
    let mut product = place.product("toys", &json!({}));
    product["spec"]["targetRef"].as_object_mut().unwrap().remove("namespace");
    product["metadata"]["annotations"] = json!({"backstage.io/owner": "owner1"});
    let theirs: Api<APIProduct> = Api::namespaced(stage.kubectl("owner1").await, "gitops");
    let product: APIProduct = serde_json::from_value(product).unwrap();
    theirs.create(&PostParams::default(), &product).await.unwrap();
    let seen = async |names: &[&str]| {
        let look = async || (catalog(&alice, "gitops").await == names).then_some(());
        eventually("the catalog follows", SOON, look).await.unwrap();
    };
    seen(&["toys"]).await;
    let path = format!("{PRODUCTS}/gitops/toys");
    let tiers = async |expected: Value| {
        let look = async || {
            let plans = alice.get(&path).await.json()["status"]["discoveredPlans"].clone();
            let tiers: Vec<_> = plans.as_array()?.iter().map(|plan| plan["tier"].clone()).collect();
            (json!(tiers) == expected).then_some(plans)
        };
        eventually("the plans follow", SOON, look).await.unwrap()
    };
    let plans = tiers(json!(["gold", "silver", "bronze"])).await;
    assert_eq!(plans[0]["limits"], json!({"daily": 100}));
    // The platform engineer changes the plans with kubectl, and nothing else has to be done.
    let engineer = stage.kubectl("eng").await;
    let spec = json!({"targetRef": toystore::target("HTTPRoute", "toystore"), "plans": [{"tier": "free", "limits": {"daily": 1}}]});
    let policies = toystore::foreign(&engineer, "PlanPolicy", "gitops");
    let change = kube::api::Patch::Merge(json!({"spec": spec}));
    policies.patch("toystore-plans", &kube::api::PatchParams::default(), &change).await.unwrap();
    tiers(json!(["free"])).await;
    theirs.delete("toys", &kube::api::DeleteParams::default()).await.unwrap();
    seen(&[]).await;
}

#[tokio::test]
async fn two_products_of_one_route_have_the_same_plans() {
    let stage = Stage::shared().await;
    let place = stage.toystore("twins").await;
    for name in ["one", "two"] {
        place.publish("owner1", name, &json!({})).await;
    }
    let alice = stage.portal.by(&stage.login, "alice");
    let plans = async |name: &str| {
        let answer = alice.get(&format!("{PRODUCTS}/twins/{name}")).await;
        answer.json()["status"]["discoveredPlans"].clone()
    };
    assert_eq!(plans("one").await, plans("two").await);
    assert_eq!(plans("one").await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_picker_has_every_route_and_the_policies_of_its_namespace() {
    let stage = Stage::shared().await;
    let (here, _there) = (stage.toystore("here").await, stage.toystore("there").await);
    toystore::write(
        &stage.client(),
        "HTTPRoute",
        ("here", "bare"),
        &json!({"hostnames": ["b.example"]}),
        &json!({}),
    )
    .await
    .unwrap();
    let policy = json!({"targetRef": toystore::target("HTTPRoute", "bare"), "plans": []});
    toystore::write(&stage.client(), "PlanPolicy", ("there", "of-another-namespace"), &policy, &json!({}))
        .await
        .unwrap();
    let owner = stage.portal.by(&stage.login, "owner1");
    let found = async |namespace: &str, name: &str| {
        let look = async || {
            let routes = owner.get("/api/kuadrant/httproutes").await.json();
            let is = |route: &&Value| {
                route["metadata"]["namespace"] == namespace && route["metadata"]["name"] == name
            };
            routes["items"].as_array()?.iter().find(is).cloned()
        };
        eventually("the route is listed", SOON, look).await.unwrap()
    };
    let look = async || {
        let policies = owner.names("/api/kuadrant/planpolicies").await;
        policies.iter().any(|name| name == "of-another-namespace").then_some(())
    };
    eventually("the policy is listed", SOON, look).await.unwrap();
    let look = async || {
        let policies = owner.get("/api/kuadrant/authpolicies").await.json();
        let is = |policy: &Value| policy["metadata"]["namespace"] == "here";
        policies["items"].as_array()?.iter().any(is).then_some(())
    };
    eventually("the AuthPolicy is listed", SOON, look).await.unwrap();
    let (route, bare) = (found("here", "toystore").await, found("here", "bare").await);
    let tiers = ["gold", "silver", "bronze"];
    assert_eq!(
        (&route["planPolicy"], &route["authPolicy"]),
        (
            &json!({"namespace": "here", "name": "toystore-plans", "tiers": tiers}),
            &json!({"namespace": "here", "name": "toystore"})
        ),
        "{route}"
    );
    assert_eq!(route["ready"], true, "{route}");
    assert_eq!((&bare["planPolicy"], &bare["ready"]), (&Value::Null, &json!(false)), "{bare}");
    assert_eq!(found("there", "toystore").await["spec"]["hostnames"], json!(["api.toystore.com"]));
    drop(here);
    // Who may not list routes in the cluster is not shown any.
    let alice = stage.portal.by(&stage.login, "alice");
    let answer = alice.get("/api/kuadrant/httproutes").await;
    assert!(answer.status == 403 || answer.json()["items"] == json!([]), "{}", answer.text);
}

#[tokio::test]
async fn the_portal_has_no_way_to_write_routes_and_policies() {
    let stage = Stage::shared().await;
    let place = stage.toystore("infra").await;
    let before = versions(&place).await;
    let account = kubeconfig::client(&stage.kubeconfig).await.unwrap();
    let api: Api<SelfSubjectAccessReview> = Api::all(account);
    let kinds = [
        ("gateway.networking.k8s.io", "httproutes"),
        ("extensions.kuadrant.io", "planpolicies"),
        ("kuadrant.io", "authpolicies"),
        ("", "secrets"),
        ("devportal.kuadrant.io", "apikeys"),
    ];
    for (group, resource) in kinds {
        for verb in ["create", "update", "patch", "delete"] {
            let attributes = json!({"group": group, "resource": resource, "verb": verb});
            let spec: SelfSubjectAccessReviewSpec =
                serde_json::from_value(json!({"resourceAttributes": attributes})).unwrap();
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let answer = api.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
            assert!(!answer.allowed, "{verb} {resource}");
        }
    }
    let admin = stage.portal.by(&stage.login, "admin1");
    for path in ["httproutes", "planpolicies", "authpolicies"] {
        for (method, name) in [
            ("POST", ""),
            ("PUT", "/infra/toystore"),
            ("DELETE", "/infra/toystore"),
            ("PATCH", "/infra/toystore"),
        ] {
            let path = format!("/api/kuadrant/{path}{name}");
            let answer = admin.send(method, &path, Some(&json!({"spec": {}}))).await;
            assert!(
                [404, 405].contains(&answer.status),
                "{method} {path}: {} {}",
                answer.status,
                answer.text
            );
        }
    }
    assert_eq!(versions(&place).await, before);
}
