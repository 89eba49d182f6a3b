//! What the controller finds out about products: routes, plans and ways to authenticate.

use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use portolan_core::{
    api::devportal::{APIProduct, ApprovalMode, PublishStatus},
    condition::ConditionStatus,
};
use portolan_testkit::toystore::{
    self, accepted, api_keys, external, foreign, in_force, not_enforced, plans, target, write,
};
use serde_json::json;

use crate::scene::{Stage, said};

#[tokio::test]
async fn the_toystore_is_discovered() {
    let stage = Stage::shared().await;
    let place = stage.toystore("toystore").await;
    let made = place.product("my-api-product", None).await;
    assert_eq!(
        (made.spec.approval_mode, made.spec.publish_status),
        (ApprovalMode::Manual, PublishStatus::Draft)
    );
    place.product("second", None).await;
    for name in ["my-api-product", "second"] {
        let product = place.ready(name).await;
        let status = product.status.clone().unwrap();
        assert_eq!(status.observed_generation, Some(1));
        assert_eq!(
            serde_json::to_value(&status.discovered_plans).unwrap(),
            json!([{"tier": "gold", "limits": {"daily": 100}}, {"tier": "silver", "limits": {"daily": 50}}, {"tier": "bronze", "limits": {"daily": 10}}])
        );
        assert_eq!(
            serde_json::to_value(&status.discovered_auth_scheme).unwrap(),
            json!({"authentication": api_keys(&json!({"app": "my-api-product"}))})
        );
        let message = |r#type| said(&product, r#type).unwrap().message.clone();
        assert_eq!(message("Ready"), "HTTPRoute toystore/toystore accepted");
        assert_eq!(
            message("PlanPolicyDiscovered"),
            "Discovered PlanPolicy toystore-plans targeting HTTPRoute toystore"
        );
        assert_eq!(
            message("AuthPolicyDiscovered"),
            "Discovered AuthPolicy toystore targeting HTTPRoute toystore"
        );
        assert_eq!(said(&product, "OIDCDiscovered").unwrap().reason, "NoOIDCAuth");
        assert!(status.oidc_discovery.is_none());
        place.product_says(name, "KeySelectorUsable", "SelectorShared").await;
    }
}

#[tokio::test]
async fn plans_follow_the_policy() {
    let stage = Stage::shared().await;
    let place = stage.toystore("plans").await;
    place.product("p", None).await;
    place.ready("p").await;
    let tiers = |product: &APIProduct| {
        let plans = &product.status.as_ref().unwrap().discovered_plans;
        plans.iter().map(|plan| plan.tier.clone()).collect::<Vec<_>>()
    };
    let limits = json!({"daily": 0, "weekly": 2, "monthly": 3, "yearly": 4, "custom": [{"limit": 5, "window": "10m"}]});
    let changed = json!([{"tier": "zinc", "limits": limits}, {"tier": "air"}]);
    let spec = |plans| json!({"targetRef": target("HTTPRoute", "toystore"), "plans": plans});
    write(&stage.client(), "PlanPolicy", ("plans", "toystore-plans"), &spec(changed.clone()), &json!({}))
        .await
        .unwrap();
    let product = place.product_when("p", |product| tiers(product) == ["zinc", "air"]).await;
    assert_eq!(serde_json::to_value(&product.status.unwrap().discovered_plans).unwrap(), changed);
    foreign(&stage.client(), "PlanPolicy", "plans")
        .delete("toystore-plans", &DeleteParams::default())
        .await
        .unwrap();
    let product = place.product_says("p", "PlanPolicyDiscovered", "NotFound").await;
    assert!(tiers(&product).is_empty());
    // A policy of another namespace is about that namespace's route.
    stage.namespace("plans-other").await;
    write(&stage.client(), "PlanPolicy", ("plans-other", "toystore-plans"), &spec(plans()), &json!({}))
        .await
        .unwrap();
    write(&stage.client(), "PlanPolicy", ("plans", "again"), &spec(json!([{"tier": "one"}])), &json!({}))
        .await
        .unwrap();
    let product = place.product_says("p", "PlanPolicyDiscovered", "Found").await;
    assert_eq!(tiers(&product), ["one"]);
    write(
        &stage.client(),
        "PlanPolicy",
        ("plans", "again"),
        &spec(json!([{"tier": "one"}])),
        &not_enforced(),
    )
    .await
    .unwrap();
    let refused = json!({"conditions": [{"type": "Accepted", "status": "False", "reason": "Invalid", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    toystore::say(&stage.client(), "PlanPolicy", ("plans", "again"), &refused).await.unwrap();
    place.product_says("p", "PlanPolicyDiscovered", "PlanPolicyNotAccepted").await;
}

#[tokio::test]
async fn a_gateway_s_policy_counts_until_the_route_has_its_own() {
    let (stage, name) = (Stage::shared().await, "gateways");
    let place = stage.toystore(name).await;
    stage.namespace("gateways-api").await;
    let client = stage.client();
    foreign(&client, "PlanPolicy", name).delete("toystore-plans", &DeleteParams::default()).await.unwrap();
    let tier = |tier: &str| json!([{"tier": tier}]);
    let policy = |kind, of, plans| json!({"targetRef": target(kind, of), "plans": plans});
    let own = json!({"name": "own"});
    let parents = json!([{"name": "other"}, own, {"name": "external", "namespace": "gateways-api"}]);
    write(&client, "HTTPRoute", (name, "toystore"), &json!({"parentRefs": parents}), &accepted(&own, "True"))
        .await
        .unwrap();
    // The namespace of a parent that names none is the route's.
    write(
        &client,
        "PlanPolicy",
        ("gateways-api", "wrong"),
        &policy("Gateway", "own", tier("wrong")),
        &json!({}),
    )
    .await
    .unwrap();
    place.product("p", None).await;
    place.ready("p").await;
    place.product_says("p", "PlanPolicyDiscovered", "NotFound").await;
    let tiers = |wanted: &'static str| {
        move |product: &APIProduct| {
            product
                .status
                .as_ref()
                .is_some_and(|status| status.discovered_plans.iter().any(|plan| plan.tier == wanted))
        }
    };
    write(
        &client,
        "PlanPolicy",
        ("gateways-api", "far"),
        &policy("Gateway", "external", tier("far")),
        &json!({}),
    )
    .await
    .unwrap();
    let product = place.product_when("p", tiers("far")).await;
    let message = &said(&product, "PlanPolicyDiscovered").unwrap().message;
    assert_eq!(message, "Discovered PlanPolicy far targeting Gateway external");
    write(
        &client,
        "PlanPolicy",
        (name, "route"),
        &policy("HTTPRoute", "toystore", tier("route")),
        &json!({}),
    )
    .await
    .unwrap();
    let product = place.product_when("p", tiers("route")).await;
    assert_eq!(product.status.unwrap().discovered_plans.len(), 1, "nothing is merged");
    foreign(&client, "PlanPolicy", name).delete("route", &DeleteParams::default()).await.unwrap();
    place.product_when("p", tiers("far")).await;
}

#[tokio::test]
async fn a_product_is_ready_as_long_as_a_parent_of_its_route_accepts_it() {
    let (stage, name) = (Stage::shared().await, "routes");
    let place = stage.namespace(name).await;
    let client = stage.client();
    place.product("p", None).await;
    let product = place.product_says("p", "Ready", "HTTPRouteNotFound").await;
    assert_eq!(said(&product, "Ready").unwrap().message, "HTTPRoute routes/toystore not found");
    let spec = json!({"parentRefs": [{"name": "first"}, external()]});
    let plan = json!({"targetRef": target("HTTPRoute", "toystore"), "plans": plans()});
    write(&client, "PlanPolicy", (name, "plans"), &plan, &json!({})).await.unwrap();
    write(&client, "HTTPRoute", (name, "toystore"), &spec, &json!({})).await.unwrap();
    let product = place.product_says("p", "Ready", "HTTPRouteNotAccepted").await;
    assert_eq!(product.status.unwrap().discovered_plans.len(), 3, "plans are shown all the same");
    place.told("p", "HTTPRouteNotAccepted").await;
    let says = async |status: &serde_json::Value| {
        toystore::say(&client, "HTTPRoute", (name, "toystore"), status).await.unwrap();
    };
    says(&accepted(&external(), "True")).await;
    place.ready("p").await;
    says(&accepted(&external(), "False")).await;
    place.product_says("p", "Ready", "HTTPRouteNotAccepted").await;
    // What a former parent has said does not count.
    says(&accepted(&json!({"name": "former"}), "True")).await;
    says(&accepted(&external(), "True")).await;
    place.ready("p").await;
    let to = json!({"spec": {"targetRef": {"name": "elsewhere"}}});
    place.api::<APIProduct>().patch("p", &PatchParams::default(), &Patch::Merge(to)).await.unwrap();
    place.product_says("p", "Ready", "HTTPRouteNotFound").await;
}

#[tokio::test]
async fn the_scheme_follows_the_policy_and_survives_a_flap() {
    let (stage, name) = (Stage::shared().await, "schemes");
    let place = stage.toystore(name).await;
    let client = stage.client();
    toystore::authentication(&client, name, &api_keys(&json!({"app": name}))).await.unwrap();
    place.product("p", None).await;
    place.product_says("p", "KeySelectorUsable", "SelectorMatches").await;
    toystore::authentication(&client, name, &api_keys(&json!({"app": "other", "role": "admin"})))
        .await
        .unwrap();
    let role = |product: &APIProduct| {
        let scheme = product.status.as_ref().and_then(|status| status.discovered_auth_scheme.clone());
        serde_json::to_value(scheme).unwrap()["authentication"]["api-key-users"]["apiKey"]["selector"]["matchLabels"]["role"].clone()
    };
    place.product_when("p", |product| role(product) == "admin").await;
    toystore::say(&client, "AuthPolicy", (name, "toystore"), &not_enforced()).await.unwrap();
    let product = place.product_says("p", "AuthPolicyDiscovered", "AuthPolicyNotReady").await;
    assert_eq!(role(&product), "admin");
    toystore::say(&client, "AuthPolicy", (name, "toystore"), &in_force()).await.unwrap();
    place.product_says("p", "AuthPolicyDiscovered", "Found").await;
    let missing = json!({"a": {"apiKey": {"selector": {"matchLabels": {"app": "schemes"}}}}});
    toystore::authentication(&client, name, &missing).await.unwrap();
    place.product_says("p", "KeySelectorUsable", "AllNamespacesMissing").await;
    let every =
        |role: &str| json!({"apiKey": {"selector": {"matchLabels": {"role": role}}, "allNamespaces": true}});
    let two = json!({"users": every("user"), "admin-keys": every("admin")});
    toystore::authentication(&client, name, &two).await.unwrap();
    let product = place.product_says("p", "KeySelectorUsable", "SeveralKeyMethods").await;
    assert!(said(&product, "KeySelectorUsable").unwrap().message.contains("for method admin-keys"));
    place.told("p", "SeveralKeyMethods").await;
    let odd =
        json!({"a": {"apiKey": {"selector": {"matchExpressions": [{"key": "x", "operator": "Near"}]}}}});
    toystore::authentication(&client, name, &odd).await.unwrap();
    place.product_says("p", "KeySelectorUsable", "SelectorCannotMatch").await;
    foreign(&client, "AuthPolicy", name).delete("toystore", &DeleteParams::default()).await.unwrap();
    let product = place.product_says("p", "AuthPolicyDiscovered", "NotFound").await;
    assert!(product.status.unwrap().discovered_auth_scheme.is_none());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let place = Stage::shared().await.namespace("mistakes").await;
    let target = |group: &str, kind: &str| json!({"group": group, "kind": kind, "name": "r"});
    let gateway = "gateway.networking.k8s.io";
    let table = [
        (
            json!({"targetRef": target("", "HTTPRoute")}),
            "Invalid targetRef.group. The only supported value is 'gateway.networking.k8s.io'",
        ),
        (
            json!({"targetRef": target(gateway, "Service")}),
            "Invalid targetRef.kind. The only supported value is 'HTTPRoute'",
        ),
        (
            json!({"targetRef": target(gateway, "HTTPRoute"), "approvalMode": "Automatic"}),
            "spec.approvalMode",
        ),
        (json!({"targetRef": target(gateway, "HTTPRoute"), "approvalMode": ""}), "spec.approvalMode"),
        (
            json!({"targetRef": target(gateway, "HTTPRoute"), "publishStatus": "published"}),
            "spec.publishStatus",
        ),
        (json!({}), "spec.targetRef"),
    ];
    for (mut spec, expected) in table {
        spec["displayName"] = "P".into();
        let kube::Error::Api(refused) = place.create_product("p", spec).await.unwrap_err() else {
            panic!("refused")
        };
        assert!(refused.code == 422 && refused.message.contains(expected), "{}", refused.message);
    }
    let spec = json!({"displayName": "P", "targetRef": target(gateway, "HTTPRoute")});
    place.create_product(&"p".repeat(246), spec.clone()).await.unwrap_err();
    let longest = place.create_product(&"p".repeat(245), spec).await.unwrap();
    place.product_says(&longest.name_any(), "Ready", "HTTPRouteNotFound").await;
}

#[tokio::test]
async fn routes_and_policies_are_never_written() {
    let (stage, name) = (Stage::shared().await, "readonly");
    let place = stage.toystore(name).await;
    place.product("p", None).await;
    let product = place.ready("p").await;
    assert_eq!(said(&product, "Ready").unwrap().status, ConditionStatus::True);
    let version = async |kind: &str, object: &str| {
        foreign(&stage.client(), kind, name).get(object).await.unwrap().resource_version()
    };
    let before = (
        version("HTTPRoute", "toystore").await,
        version("PlanPolicy", "toystore-plans").await,
        version("AuthPolicy", "toystore").await,
    );
    place.api::<APIProduct>().delete("p", &DeleteParams::default()).await.unwrap();
    portolan_testkit::watch_until_gone(place.api::<APIProduct>(), "p", crate::scene::SOON).await.unwrap();
    let after = (
        version("HTTPRoute", "toystore").await,
        version("PlanPolicy", "toystore-plans").await,
        version("AuthPolicy", "toystore").await,
    );
    assert_eq!(before, after);
}
