//! Tables of existing namespaces, and the one that answers.

use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::*;

fn key() -> QueueKey {
    QueueKey::new("kube-bind-a", "b-c")
}

fn role() -> Role {
    rights::role([("wildwest.dev", "cowboys")])
}

fn observed(plain: Look, hashed: Look, answered: Option<(&str, Look)>) -> ObservedRequest {
    let (plain_name, hashed_name) = names(&key());
    let request = json!({"metadata": {"name": "b-c", "namespace": "kube-bind-a"}, "spec": {}});
    ObservedRequest {
        request: Arc::new(serde_json::from_value(request).unwrap()),
        answered: answered.map(|(name, look)| (name.to_owned(), look)),
        candidates: Candidates { plain: (plain_name, plain), hashed: (hashed_name, hashed) },
        end_lasts: false,
        role: None,
        binding: None,
        desired_role: Some(role()),
        desired_binding: rights::binding("kube-bind-a"),
    }
}

fn answer(namespace: &str, create: bool) -> RequestPlan {
    RequestPlan::Answer {
        namespace: namespace.to_owned(),
        create,
        role: RequestStep::Write,
        binding: RequestStep::Write,
    }
}

#[test]
fn the_plain_name_answers_unless_it_is_taken() {
    let (plain, hashed) = names(&key());
    let table = [
        (Look::Absent, Look::Absent, answer(&plain, true)),
        (Look::Ours, Look::Absent, answer(&plain, false)),
        (Look::Foreign, Look::Absent, answer(&hashed, true)),
        (Look::Foreign, Look::Ours, answer(&hashed, false)),
        // The plain name has become free, but the other one was made before.
        (Look::Absent, Look::Ours, answer(&hashed, false)),
        (Look::OursTerminating, Look::Absent, RequestPlan::Wait),
        (Look::Foreign, Look::OursTerminating, RequestPlan::Wait),
    ];
    for (on_plain, on_hashed, expected) in table {
        assert_eq!(plan(&observed(on_plain, on_hashed, None)), expected, "{on_plain:?} {on_hashed:?}");
    }
    assert!(matches!(plan(&observed(Look::Foreign, Look::Foreign, None)), RequestPlan::Blocked(_)));
}

#[test]
fn an_answer_stands() {
    let (plain, hashed) = names(&key());
    let table = [
        (("elsewhere", Look::Ours), answer("elsewhere", false)),
        ((hashed.as_str(), Look::Absent), answer(&hashed, true)),
        (("elsewhere", Look::Absent), answer(&plain, true)),
        ((plain.as_str(), Look::OursTerminating), RequestPlan::Wait),
    ];
    for (answered, expected) in table {
        assert_eq!(plan(&observed(Look::Absent, Look::Absent, Some(answered))), expected, "{answered:?}");
    }
    let foreign = plan(&observed(Look::Absent, Look::Absent, Some(("kube-system", Look::Foreign))));
    let RequestPlan::Blocked(why) = foreign else { panic!("{foreign:?}") };
    assert!(why.contains("kube-bind.io/api-service-namespace=kube-bind-a/b-c"), "{why}");
}

#[test]
fn an_end_that_lasts_is_told() {
    let (plain, hashed) = names(&key());
    let end = Look::OursTerminating;
    for (seen, named) in [
        (observed(end, Look::Absent, None), &plain),
        (observed(Look::Foreign, end, None), &hashed),
        (observed(Look::Absent, Look::Absent, Some((&hashed, end))), &hashed),
    ] {
        assert_eq!(plan(&seen), RequestPlan::Wait);
        let RequestPlan::Blocked(why) = plan(&ObservedRequest { end_lasts: true, ..seen }) else { panic!() };
        assert!(why.starts_with(&format!("Namespace {named} is terminating")), "{why}");
    }
}

#[test]
fn a_namespace_is_ours_for_exactly_one_request() {
    let namespace =
        |metadata: Value| -> Namespace { serde_json::from_value(json!({"metadata": metadata})).unwrap() };
    let made = super::namespace("kube-bind-a-b-c", &key());
    let mut terminating = made.clone();
    terminating.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
    let table = [
        (None, Look::Absent),
        (Some(made.clone()), Look::Ours),
        (Some(terminating), Look::OursTerminating),
        (Some(super::namespace("kube-bind-a-b-c", &QueueKey::new("kube-bind-a-b", "c"))), Look::Foreign),
        (Some(namespace(json!({"name": "kube-bind-a-b-c"}))), Look::Foreign),
        (Some(namespace(json!({"name": "n", "labels": {LABEL_CONTRACT: "kube-bind-a"}}))), Look::Foreign),
    ];
    for (namespace, expected) in table {
        assert_eq!(look(namespace.as_ref(), &key()), expected, "{namespace:?}");
    }
    assert_eq!(made.labels()[LABEL_CONTRACT], "kube-bind-a");
}

#[test]
fn rights_are_written_when_they_differ() {
    let steps = |role: Option<&Role>, desired: Option<Role>| {
        let mut observed = observed(Look::Ours, Look::Absent, None);
        observed.role = role.cloned().map(Arc::new);
        observed.binding = Some(Arc::new(rights::binding("kube-bind-a")));
        observed.desired_role = desired;
        plan(&observed)
    };
    let kept = |role| RequestPlan::Answer {
        namespace: names(&key()).0,
        create: false,
        role,
        binding: RequestStep::Keep,
    };
    assert_eq!(steps(Some(&role()), Some(role())), kept(RequestStep::Keep));
    assert_eq!(steps(Some(&rights::role([])), Some(role())), kept(RequestStep::Write));
    assert_eq!(steps(Some(&role()), None), kept(RequestStep::Keep), "unclear rights stay as they are");
    assert!(matches!(steps(None, None), RequestPlan::Blocked(why) if why.contains("kube-bind.io/exports")));
    let mut foreign = role();
    foreign.metadata.labels = None;
    assert!(matches!(steps(Some(&foreign), Some(role())), RequestPlan::Blocked(why) if why.contains("Role")));
}
