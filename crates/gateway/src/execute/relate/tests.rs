//! Where relations lead, and which objects belong there.

use std::{cell::Cell, time::Instant};

use serde_json::{Value, json};
use tokio::task::yield_now;

use super::{
    super::room::ByteRoom,
    budget::WorkPace,
    found::{FoundObjects, RelatedObjects, taken},
    is_told,
    leads::{LeadingRelation, WantedObjects, selector_text},
    of::ObjectFacts,
    reads::{is_of, leave_out_place, narrowed, owners},
};
use crate::{
    error::{ErrorCode, GraphError},
    plan::OF,
    scan::PathStep,
    schema::{
        ClusterApi, FieldRelation, ReferenceNeeds,
        tests::{api, kind},
    },
};

#[test]
fn selectors_are_read_in_both_forms() {
    let table: [(Value, bool, Option<&str>); 8] = [
        (json!({"app": "web", "tier": "front"}), true, Some("app=web,tier=front")),
        (json!({}), true, None),
        (json!({}), false, Some("")),
        (json!({"matchLabels": {"app": "web"}}), false, Some("app=web")),
        (
            json!({"matchLabels": {"app": "web"}, "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
                {"key": "x", "operator": "NotIn", "values": ["y"]},
                {"key": "z", "operator": "Exists"},
            ]}),
            false,
            Some("app=web,tier in (a,b),!old,x notin (y),z"),
        ),
        (json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}), false, None),
        (json!(null), false, None),
        (json!({"a": 1}), true, None),
    ];
    for (selector, by_labels, expected) in table {
        assert_eq!(selector_text(&selector, by_labels).as_deref(), expected, "{selector}");
    }
}

fn small() -> ClusterApi {
    let mut all = [
        kind("", "Secret", &json!({})),
        kind("", "Volume", &json!({})),
        kind("a.io", "Issuer", &json!({})),
        kind("a.io", "ClusterIssuer", &json!({})),
    ];
    for wide in [1, 3] {
        all[wide].1["x-kubernetes-scope"] = json!("Cluster");
    }
    api(&all)
}

fn place(api: &ClusterApi, name: &str) -> usize {
    api.kinds.iter().position(|kind| kind.resource.name.kind == name).unwrap()
}

/// Kind, namespace and which, of what an object says and what is in the place of the gap.
fn led(
    api: &ClusterApi,
    relation: &FieldRelation,
    (of, json): (&Value, &Value),
) -> Option<(String, WantedObjects)> {
    let leading = LeadingRelation { api, relation, owned: Some(place(api, "Secret")) };
    let lead =
        leading.lead(&ObjectFacts::read(of.to_string().as_bytes()), json.to_string().as_bytes()).unwrap()?;
    let kind = &api.kinds[lead.kind].resource.name.kind;
    Some((format!("{kind} {}", lead.namespace.as_deref().unwrap_or("*")), lead.which))
}

fn names(name: &str, uid: Option<&str>) -> WantedObjects {
    WantedObjects::Names(vec![name.to_owned()], uid.map(str::to_owned))
}

#[test]
fn references_lead_to_what_they_name_and_nowhere_else() {
    type Row<'a> = (&'a str, (bool, bool), &'a Value, Value, Option<&'a str>);
    let api = small();
    let inside = json!({"metadata": {"name": "o", "namespace": "n", "uid": "u"}});
    let wide = json!({"metadata": {"name": "o", "uid": "u"}});
    let table: [Row<'_>; 18] = [
        ("Secret", (false, false), &inside, json!({"name": "a"}), Some("Secret n")),
        ("Secret", (false, false), &inside, json!({"name": "a", "namespace": "m"}), Some("Secret m")),
        ("Secret", (false, false), &wide, json!({"name": "a", "namespace": "m"}), Some("Secret m")),
        // Each namespace may have such a Secret.
        ("Secret", (false, false), &wide, json!({"name": "a"}), None),
        ("Secret", (false, false), &inside, json!({"name": ""}), None),
        ("Secret", (false, false), &inside, json!({"name": "a", "namespace": 7, "x": []}), Some("Secret n")),
        ("Secret", (false, false), &inside, json!(null), None),
        ("Issuer", (false, false), &inside, json!({"name": "a"}), Some("Issuer n")),
        (
            "Issuer",
            (false, false),
            &inside,
            json!({"name": "a", "kind": "Issuer", "group": "a.io"}),
            Some("Issuer n"),
        ),
        ("Issuer", (false, false), &inside, json!({"name": "a", "kind": "ClusterIssuer"}), None),
        ("Issuer", (false, false), &inside, json!({"name": "a", "group": "other.io"}), None),
        ("Issuer", (false, false), &inside, json!({"name": "a", "apiGroup": "other.io"}), None),
        ("Issuer", (false, false), &inside, json!({"name": "a", "apiVersion": "other.io/v1"}), None),
        ("Issuer", (false, false), &inside, json!({"name": "a", "apiVersion": "a.io/v9"}), Some("Issuer n")),
        ("Issuer", (false, true), &inside, json!({"name": "a"}), None),
        ("Issuer", (false, true), &inside, json!({"name": "a", "apiGroup": "a.io"}), Some("Issuer n")),
        ("ClusterIssuer", (true, false), &inside, json!({"name": "a"}), None),
        (
            "ClusterIssuer",
            (true, false),
            &inside,
            json!({"name": "a", "kind": "ClusterIssuer"}),
            Some("ClusterIssuer *"),
        ),
    ];
    for (name, (kind, group), of, reference, expected) in table {
        let relation = FieldRelation::Reference {
            key: "x".into(),
            kind: place(&api, name),
            needs: ReferenceNeeds { kind, group },
        };
        let expected = expected.map(|expected| (expected.to_owned(), names("a", None)));
        assert_eq!(led(&api, &relation, (of, &reference)), expected, "{reference} of {of}");
    }
}

#[test]
fn objects_lead_to_others_whatever_else_they_say() {
    let api = small();
    let (secret, volume) = (place(&api, "Secret"), place(&api, "Volume"));
    let of = |spec: Value| json!({"metadata": {"name": "o", "namespace": "n", "uid": "u"}, "spec": spec});
    let wide = |spec: Value| json!({"metadata": {"name": "o", "uid": "u"}, "spec": spec});
    let claimed = |claim: Value| wide(json!({"claimRef": claim}));
    let owned = json!({"metadata": {"namespace": "n", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Volume", "name": "x", "uid": "1"},
        {"apiVersion": "a.io/v1", "kind": "Issuer", "name": "y", "uid": "2", "controller": true},
    ]}, "spec": "odd", "involvedObject": 7});
    let volumes = json!([{"persistentVolumeClaim": {"claimName": "a"}}, 7, {"emptyDir": {}}]);
    let labelled = |text: &str| WantedObjects::Labelled(text.to_owned());
    let about = || WantedObjects::About("u".to_owned());
    let (events, of_nodes) = (
        FieldRelation::Events { kind: secret, of_nodes: false },
        FieldRelation::Events { kind: secret, of_nodes: true },
    );
    let selected = FieldRelation::Selected { kind: secret, by_labels: true };
    let claim = FieldRelation::Claim { kind: secret };
    let table = [
        (&FieldRelation::Owner, owned, Some(("Issuer n", names("y", Some("2"))))),
        (&FieldRelation::Owner, of(json!(7)), None),
        (&FieldRelation::Owned, of(json!("x")), Some(("Secret n", WantedObjects::OwnedBy("u".to_owned())))),
        (&FieldRelation::Owned, wide(json!([])), Some(("Secret *", WantedObjects::OwnedBy("u".to_owned())))),
        (&FieldRelation::Owned, json!({"metadata": {"namespace": "n"}}), None),
        (&events, of(json!({})), Some(("Secret n", about()))),
        (&events, wide(json!({})), Some(("Secret default", about()))),
        (
            &of_nodes,
            wide(json!({})),
            Some(("Secret default", WantedObjects::AboutNode("u".to_owned(), "o".to_owned()))),
        ),
        (&selected, of(json!({"selector": {"a": "b"}})), Some(("Secret n", labelled("a=b")))),
        (&selected, of(json!({"selector": "a=b"})), None),
        (
            &FieldRelation::Claims { kind: secret },
            of(json!({"volumes": volumes})),
            Some(("Secret n", names("a", None))),
        ),
        (&FieldRelation::Claims { kind: secret }, of(json!({"volumes": "x"})), None),
        (
            &FieldRelation::Volume { kind: volume },
            of(json!({"volumeName": "v"})),
            Some(("Volume *", names("v", None))),
        ),
        (&FieldRelation::Volume { kind: volume }, of(json!({"volumeName": 7})), None),
        // The claim of then, and no other one that is called so now.
        (
            &claim,
            claimed(json!({"name": "c", "namespace": "n", "uid": "1"})),
            Some(("Secret n", names("c", Some("1")))),
        ),
        (&claim, claimed(json!({"name": "c", "namespace": "n"})), Some(("Secret n", names("c", None)))),
        (&claim, claimed(json!({"name": "c"})), None),
        (&claim, claimed(json!("c")), None),
    ];
    for (relation, of, expected) in table {
        let expected = expected.map(|(place, which)| (place.to_owned(), which));
        assert_eq!(led(&api, relation, (&of, &Value::Null)), expected, "{relation:?} of {of}");
    }
}

#[test]
fn lists_are_as_short_as_what_is_wanted_of_them() {
    let node = |name: &str| WantedObjects::AboutNode("u".to_owned(), name.to_owned());
    let about = |uid: &str| WantedObjects::About(uid.to_owned());
    let table = [
        (vec![WantedObjects::Labelled("a=b".to_owned())], Some(("labelselector", "a=b"))),
        (vec![WantedObjects::Labelled("a=b".to_owned()), WantedObjects::Labelled("a=c".to_owned())], None),
        (vec![about("u")], Some(("fieldselector", "involvedObject.uid=u"))),
        (vec![about("u"), about("v")], None),
        (vec![node("a")], Some(("fieldselector", "involvedObject.kind=Node"))),
        (vec![node("a"), node("b")], Some(("fieldselector", "involvedObject.kind=Node"))),
        (vec![node("a"), about("u")], None),
        (vec![WantedObjects::OwnedBy("u".to_owned())], None),
    ];
    for (which, expected) in table {
        let found = narrowed(&which);
        assert_eq!(found.as_ref().map(|(name, text)| (*name, text.as_str())), expected, "{which:?}");
    }
}

#[test]
fn owners_are_told_if_nothing_else_is_wanted() {
    let by = |uid: &str| WantedObjects::OwnedBy(uid.to_owned());
    assert_eq!(owners(&[by("a"), by("b\",c")]).as_deref(), Some(r#"["a","b\",c"]"#));
    assert_eq!(owners(&[by("a"), names("b", None)]), None);
}

/// A list of objects, each with what it says of others.
fn list(all: &[(&str, Value)]) -> Vec<u8> {
    let items: Vec<_> = all.iter().map(|(shown, of)| format!("{{{shown}\" of\":{of}}}")).collect();
    format!("{{\"items\":[{}]}}", items.join(",")).into_bytes()
}

#[tokio::test]
async fn what_belongs_to_nobody_leads_nowhere() {
    let of = |name: &str, owner: &str, labels: Value, subject: &str| {
        json!({"metadata": {"name": name, "uid": format!("{name}-uid"), "labels": labels,
            "ownerReferences": [{"uid": owner}]}, "involvedObject": {"uid": subject}})
    };
    let json = list(&[
        ("", of("a", "x", json!({"app": "web"}), "n")),
        ("\"n\":1,", of("b", "y", json!({"app": "db"}), "m")),
        ("\"n\":{\"k\":[2]},", of("c", "x", Value::Null, "node")),
        ("\"n\":3,", of("d", "z", json!({"app": "web", "old": ""}), "n")),
    ]);
    let named = |all: &[&str], uid: Option<&str>| {
        WantedObjects::Names(all.iter().map(|name| (*name).to_owned()).collect(), uid.map(str::to_owned))
    };
    let text = str::to_owned;
    let table: [(WantedObjects, &[u32], &str); 10] = [
        (WantedObjects::OwnedBy(text("x")), &[0, 2], r#"[{},{"n":{"k":[2]}}]"#),
        (WantedObjects::OwnedBy(text("none")), &[], "[]"),
        (named(&["d", "none", "b"], None), &[3, 1], r#"[{"n":3},{"n":1}]"#),
        (named(&["d"], Some("d-uid")), &[3], r#"[{"n":3}]"#),
        (named(&["d"], Some("other")), &[], "[]"),
        (WantedObjects::About(text("m")), &[1], r#"[{"n":1}]"#),
        (WantedObjects::AboutNode(text("m"), text("node")), &[1, 2], r#"[{"n":1},{"n":{"k":[2]}}]"#),
        (WantedObjects::Labelled(text("app in (web,db,web),!old")), &[0, 1], r#"[{},{"n":1}]"#),
        (WantedObjects::Labelled(text("")), &[0, 1, 2, 3], r#"[{},{"n":1},{"n":{"k":[2]}},{"n":3}]"#),
        (WantedObjects::Labelled(text("a b")), &[], "[]"),
    ];
    for (which, places, expected) in table {
        let (mut pace, room) = (WorkPace::default(), ByteRoom::of(1_000));
        let children = RelatedObjects::of(&json, &mut pace).await.unwrap();
        let which = [which];
        let mut belonging = children.belonging(&which, (&room, &mut pace)).await.unwrap();
        assert_eq!(*belonging[0], *places, "{which:?}");
        let taken = taken(&belonging);
        let rest = children.without_others(&taken, &mut belonging);
        assert_eq!(rest.is_some(), taken.len() < 4, "{which:?}");
        let found = FoundObjects::of(rest.unwrap_or_else(|| json.clone()), belonging).unwrap();
        let mut out = Vec::new();
        found.write(0, true, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{which:?}");
        assert!(found.size(0, true) >= expected.len() && found.size(0, true) <= expected.len() + 1);
    }
}

#[test]
fn what_is_wrong_with_strangers_is_not_told() {
    let items = |index: usize| vec![PathStep::Field("items".to_owned()), PathStep::Index(index)];
    let deep = |index: usize| [items(index), items(1)].concat();
    let table = [(items(1), true), (items(2), false), (items(9), false), (deep(3), true), (deep(0), false)];
    for (path, expected) in table.into_iter().chain([(Vec::new(), true)]) {
        let error = GraphError::new(ErrorCode::Internal, "").at(&path, None);
        assert_eq!(is_of(&error, &[1, 3]), expected, "{path:?}");
    }
}

#[test]
fn an_error_is_told_by_its_place_in_what_the_caller_sees() {
    let field = |name: &str| PathStep::Field(name.to_owned());
    let error = |path: &[PathStep]| GraphError::new(ErrorCode::Internal, "").at(path, None);
    assert!(!is_told(&error(&[field("items"), PathStep::Index(0), field(OF), field("metadata")])));
    assert!(is_told(&error(&[field("items"), PathStep::Index(0), field("of")])));
    let own = [field("spec"), field("items"), PathStep::Index(1), field("key")];
    let read = [vec![field("items"), PathStep::Index(7)], own.to_vec()].concat();
    for (path, expected) in [
        (read, own.to_vec()),
        (own.to_vec(), own.to_vec()),
        (vec![field("items"), field("a")], vec![field("items"), field("a")]),
        (Vec::new(), Vec::new()),
    ] {
        let mut left = path.clone();
        leave_out_place(&mut left);
        assert_eq!(left, expected, "{path:?}");
    }
}

/// As many steps as there are objects for each selector, unless a label tells. Others have their turn meanwhile.
#[tokio::test]
async fn many_selectors_of_many_objects_keep_nobody_waiting() {
    let labels =
        |n: usize| json!({"app": format!("a{}", n % 1000), "tier": "x", "b": "1", "c": "2", "d": "3"});
    let pods: Vec<_> = (0..5_000)
        .map(|n| ("\"n\":1,", json!({"metadata": {"name": n.to_string(), "labels": labels(n)}})))
        .collect();
    let json = list(&pods);
    let mut pace = WorkPace::default();
    let children = RelatedObjects::of(&json, &mut pace).await.unwrap();
    for (more, count, each) in [("app=a", 1_000, 5), ("tier,b!=", 200, 5_000)] {
        let which: Vec<_> = (0..count).map(|n| WantedObjects::Labelled(format!("{more}{n}"))).collect();
        let (begin, turns) = (Instant::now(), Cell::new(0));
        let others = async {
            while turns.get() < usize::MAX {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
        };
        let room = ByteRoom::of(100_000_000);
        let belonging = tokio::select! {
            found = children.belonging(&which, (&room, &mut pace)) => found.unwrap(),
            () = others => unreachable!("it never ends"),
        };
        let took = begin.elapsed();
        assert!(took.as_secs() < 3, "{took:?} for {more}");
        assert!(each < 5_000 || turns.get() >= count, "{} turns for {more}", turns.get());
        // The second selector leaves out all objects once.
        let alike = belonging.iter().filter(|places| places.len() == each).count();
        assert!(alike >= count - 1, "{alike} for {more}");
    }
    // Each is written at least once, which takes its room.
    let all = [WantedObjects::Labelled(String::new())];
    let refused = children.belonging(&all, (&ByteRoom::of(10_000), &mut pace)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ResponseTooLarge);
}
