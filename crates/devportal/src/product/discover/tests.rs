//! Tables over the status of a product.

use portolan_core::foreign::{AuthPolicy, PlanPolicy};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// An object of a namespace.
fn object<K: DeserializeOwned>((namespace, name): (&str, &str), age: i64, spec: &Value, status: &Value) -> K {
    let born = Timestamp::from_second(age).unwrap().to_string();
    let metadata = json!({"namespace": namespace, "name": name, "generation": 1, "creationTimestamp": born});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
}

fn product() -> APIProduct {
    serde_json::from_value(json!({
        "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
        "metadata": {"name": "my-api-product", "namespace": "toystore", "generation": 2},
        "spec": {"displayName": "Toys", "targetRef": {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "toystore"}},
    }))
    .unwrap()
}

fn route(generation: i64) -> Arc<Route> {
    let condition = json!({"type": "Accepted", "status": "True", "observedGeneration": generation});
    let parent = json!({"name": "external", "namespace": "api-gateway"});
    let spec = json!({"parentRefs": [parent], "hostnames": ["api.toystore.com", "b"]});
    let status = json!({"parents": [{"parentRef": parent, "conditions": [condition]}]});
    Arc::new(object(("toystore", "toystore"), 1, &spec, &status))
}

fn target(more: &Value) -> Value {
    let mut spec =
        json!({"targetRef": {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "toystore"}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn observed() -> ObservedProduct {
    let plan: PlanPolicy = object(
        ("toystore", "toystore-plans"),
        1,
        &target(&json!({"plans": [{"tier": "gold", "limits": {"daily": 100}}]})),
        &json!({}),
    );
    let methods = json!({"api-key-users": {"apiKey": {"selector": {"matchLabels": {"app": "my-api-product"}}, "allNamespaces": true}}});
    let rules = json!({"authentication": methods, "authorization": {"opa": {"rego": "secret"}}});
    let auth: AuthPolicy = object(("toystore", "toystore"), 1, &target(&json!({"rules": rules})), &json!({}));
    ObservedProduct {
        product: Arc::new(product()),
        route: Some(route(1)),
        outdated_for: None,
        plan: Choice::Found(Arc::new(plan)),
        auth: Choice::Found(Arc::new(auth)),
        now: Timestamp::from_second(1).unwrap(),
    }
}

fn all(observed: &ObservedProduct, sharing: &[ObjectName]) -> APIProductStatus {
    status(observed, scheme(observed), sharing)
}

fn said(status: &APIProductStatus, r#type: &str) -> (ConditionStatus, String, String) {
    let condition = find(&status.conditions, r#type).unwrap();
    (condition.status, condition.reason.clone(), condition.message.clone())
}

#[test]
fn the_toystore_is_discovered_as_the_document_shows_it() {
    let status = all(&observed(), &[]);
    let said = |r#type| said(&status, r#type).2;
    assert_eq!(said("Ready"), "HTTPRoute toystore/toystore accepted");
    assert_eq!(
        said("PlanPolicyDiscovered"),
        "Discovered PlanPolicy toystore-plans targeting HTTPRoute toystore"
    );
    assert_eq!(said("AuthPolicyDiscovered"), "Discovered AuthPolicy toystore targeting HTTPRoute toystore");
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(status.api_hostname.as_deref(), Some("api.toystore.com"));
    let text = serde_json::to_string(&status).unwrap();
    assert!(
        text.contains("my-api-product") && !text.contains("rego"),
        "only authentication is copied: {text}"
    );
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(2)));
}

#[test]
fn the_verdict_of_a_route_stands_for_a_while_and_never_turns_true_on_its_own() {
    let yes = ConditionStatus::True;
    for (outdated, last, expected) in [
        (Some(1), Some(yes), "HTTPRouteAccepted"),
        (Some(31), Some(yes), "HTTPRouteNotAccepted"),
        (Some(1), Some(ConditionStatus::False), "HTTPRouteNotAccepted"),
        (Some(1), None, "HTTPRouteNotAccepted"),
    ] {
        let seen = ObservedProduct {
            route: Some(route(0)),
            outdated_for: outdated.map(Duration::from_secs),
            ..observed()
        };
        assert_eq!(ready(&seen, last).reason, expected, "{outdated:?} {last:?}");
    }
    let missing = ObservedProduct { route: None, ..observed() };
    assert_eq!(ready(&missing, Some(yes)).reason, "HTTPRouteNotFound");
}

#[test]
fn a_policy_that_is_not_in_effect_keeps_the_scheme_and_one_that_is_gone_does_not() {
    let mut seen = observed();
    let mut product = product();
    product.status = Some(all(&seen, &[]));
    seen.product = Arc::new(product);
    let Choice::Found(policy) = seen.auth.clone() else { panic!("found above") };
    seen.auth = Choice::NotInEffect(policy);
    let flapping = all(&seen, &[]);
    assert_eq!(said(&flapping, AUTH_POLICY).1, "AuthPolicyNotReady");
    assert!(flapping.discovered_auth_scheme.is_some());
    seen.auth = Choice::Nothing;
    let gone = all(&seen, &[]);
    assert_eq!((said(&gone, AUTH_POLICY).1.as_str(), &gone.discovered_auth_scheme), ("NotFound", &None));
    let Choice::Found(policy) = seen.plan.clone() else { panic!("found above") };
    seen.plan = Choice::NotInEffect(policy);
    let refused = all(&seen, &[]);
    assert_eq!(
        (said(&refused, PLAN_POLICY).1.as_str(), refused.discovered_plans.len()),
        ("PlanPolicyNotAccepted", 0)
    );
}

#[test]
fn selectors_that_do_not_do_what_people_expect_are_named() {
    let method = |spec: Value| -> DiscoveredAuthScheme {
        serde_json::from_value(json!({"authentication": {"a": {"apiKey": spec}}})).unwrap()
    };
    let others: Vec<_> = (0..5).map(|n| ObjectName::new("b", format!("p{n}"))).collect();
    let none = json!({"matchExpressions": [{"key": "x", "operator": "Near"}]});
    let every = json!({"apiKey": {"allNamespaces": true}});
    let two = serde_json::from_value(
        json!({"authentication": {"users": every, "admin-keys": every, "a": {"jwt": {}}}}),
    )
    .unwrap();
    for (scheme, sharing, expected) in [
        (method(json!({"allNamespaces": true})), &[][..], Some("SelectorMatches")),
        (method(json!({})), &[][..], Some("AllNamespacesMissing")),
        (method(json!({"allNamespaces": true})), &others[..], Some("SelectorShared")),
        (method(json!({"allNamespaces": true, "selector": none})), &[][..], Some("SelectorCannotMatch")),
        (DiscoveredAuthScheme::default(), &[][..], None),
        (two, &others[..], Some("SeveralKeyMethods")),
    ] {
        let judgement = selector(&scheme, "p", sharing);
        assert_eq!(judgement.as_ref().map(|judgement| judgement.reason.as_str()), expected);
        if expected == Some("SeveralKeyMethods") {
            assert!(judgement.unwrap().message.contains("for method admin-keys, the first by name"));
        } else if !sharing.is_empty() {
            assert!(judgement.unwrap().message.contains("b/p0, b/p1, b/p2 and others"));
        }
    }
}

#[test]
fn annotations_that_nobody_follows_are_named_until_they_are_mended() {
    let with = |text: &str| {
        let mut product = product();
        let annotation = ("devportal.kuadrant.io/max-lifetime".to_owned(), text.to_owned());
        product.metadata.annotations = Some([annotation].into());
        ObservedProduct { product: Arc::new(product), ..observed() }
    };
    let wrong = all(&with("90 days"), &[]);
    let (status, reason, message) = said(&wrong, ANNOTATIONS);
    assert_eq!((status, reason.as_str()), (ConditionStatus::False, "AnnotationInvalid"));
    assert!(message.contains("max-lifetime: \"90 days\" is not a time"), "{message}");
    let mut mended = with("90d");
    Arc::make_mut(&mut mended.product).status = Some(wrong);
    assert_eq!(find(&all(&mended, &[]).conditions, ANNOTATIONS), None);
}
