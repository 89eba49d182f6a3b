//! Table of marks and records, and the owner that follows from them.

use serde_json::json;

use super::*;
use crate::sync::{index::SyncIndex, keys::KeyRules, owned::owned};

const CONTRACT: &str = "kube-bind-a";

fn place() -> ObjectKey {
    ObjectKey { namespace: "west".to_owned(), name: "billy".to_owned() }
}

/// An origin of uid `origin` that records a copy; where `by_us`, it was us who recorded it.
fn origin(records: Option<&str>, by_us: bool) -> OriginState {
    let mut object = json!({
        "apiVersion": "v1", "kind": "K",
        "metadata": {"name": "billy", "namespace": "west", "uid": "origin", "annotations": {}},
    });
    if let Some(uid) = records {
        object["metadata"]["annotations"]["kube-bind.io/provider-uid"] = uid.into();
    }
    let fields = json!({"f:metadata": {"f:annotations": {"f:kube-bind.io/provider-uid": {}}}});
    let manager = if by_us { "kube-bind.io" } else { "restore" };
    object["metadata"]["managedFields"] =
        json!([{"manager": manager, "operation": "Apply", "fieldsV1": fields}]);
    let mut index = SyncIndex::new(CONTRACT, KeyRules::default(), true);
    index.saw_origin(&place(), &serde_json::from_value(object).unwrap());
    index.sides(&place()).origin.unwrap().clone()
}

/// Annotations on the copy, and who has set them.
struct Case {
    marks: Value,
    manager: &'static str,
    operation: &'static str,
}

impl Case {
    fn copy(&self) -> DynamicObject {
        let prefixed = |(key, value): (&String, &Value)| (format!("kube-bind.io/{key}"), value.clone());
        let annotations: serde_json::Map<_, _> =
            self.marks.as_object().unwrap().iter().map(prefixed).collect();
        let fields: serde_json::Map<_, _> =
            annotations.keys().map(|key| (format!("f:{key}"), json!({}))).collect();
        let entry = json!({
            "manager": self.manager, "operation": self.operation,
            "fieldsV1": {"f:metadata": {"f:annotations": fields}, "f:spec": {"f:a": {}}},
        });
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "K", "spec": {"a": 1},
            "metadata": {"name": "billy", "uid": "copy", "annotations": annotations, "managedFields": [entry]},
        }))
        .unwrap()
    }

    fn is_ours(&self, origin: Option<&OriginState>) -> bool {
        let copy = self.copy();
        let evidence = CopyEvidence::of(&copy, &owned(&copy), CONTRACT, &place());
        evidence.speaks_for("copy", origin, false)
    }
}

fn by(manager: &'static str, operation: &'static str, marks: Value) -> Case {
    Case { marks, manager, operation }
}

fn full(name: &str, uid: &str) -> Value {
    json!({
        "cluster-namespace": CONTRACT, "consumer-namespace": "west", "consumer-uid": uid, "origin-name": name,
    })
}

fn without_name(uid: &str) -> Value {
    json!({"cluster-namespace": CONTRACT, "consumer-namespace": "west", "consumer-uid": uid})
}

#[test]
fn annotations_alone_make_nothing_ours() {
    let table = [
        ("we have made it", by("kube-bind.io", "Update", full("billy", "origin")), true),
        ("we have written it", by("kube-bind.io", "Apply", full("billy", "origin")), true),
        ("for an earlier object of the name", by("kube-bind.io", "Apply", full("billy", "earlier")), true),
        ("in a former release", by("kube-bind.io", "Apply", without_name("origin")), true),
        ("the Go konnector, in full", by("konnector", "Update", without_name("origin")), true),
        (
            "the Go konnector, its first mark",
            by("konnector", "Update", json!({"cluster-namespace": CONTRACT})),
            true,
        ),
        ("a child with all annotations", by("operator", "Update", full("parent", "parent")), false),
        ("a child with those of a former release", by("operator", "Update", without_name("parent")), false),
        (
            "a child with the first mark",
            by("operator", "Update", json!({"cluster-namespace": CONTRACT})),
            false,
        ),
        ("a child with managed fields, too", by("kube-bind.io", "Apply", full("parent", "parent")), false),
        ("the same of a former release", by("kube-bind.io", "Apply", without_name("parent")), false),
        ("an annotation that names the place", by("operator", "Update", full("billy", "earlier")), false),
        ("restored by a backup at its place", by("velero", "Update", full("billy", "origin")), true),
        ("restored for an object that is gone", by("velero", "Update", full("billy", "gone")), false),
        (
            "of another contract",
            by(
                "kube-bind.io",
                "Apply",
                json!({"cluster-namespace": "kube-bind-b", "consumer-uid": "origin"}),
            ),
            false,
        ),
        (
            "of another namespace",
            by(
                "kube-bind.io",
                "Apply",
                json!({
                    "cluster-namespace": CONTRACT, "consumer-namespace": "east", "consumer-uid": "origin",
                }),
            ),
            false,
        ),
        ("without any mark", by("kube-bind.io", "Apply", json!({})), false),
    ];
    for (what, case, expected) in table {
        assert_eq!(case.is_ours(Some(&origin(None, false))), expected, "{what}");
    }
}

#[test]
fn a_recorded_uid_makes_up_for_marks_but_not_for_those_of_others() {
    let others = json!({"cluster-namespace": "kube-bind-b"});
    let table = [
        ("its marks were taken off", by("kube-bind.io", "Apply", json!({})), [true, false]),
        ("its marks were changed", by("somebody", "Update", others.clone()), [false, false]),
        ("it is another consumer's", by("kube-bind.io", "Apply", others), [false, false]),
        ("others have set all of it since", by("somebody", "Update", json!({})), [true, false]),
        (
            "its managed fields were taken off",
            by("somebody", "Update", without_name("earlier")),
            [true, true],
        ),
        (
            "a consumer was restored with new uids",
            by("kube-bind.io", "Apply", without_name("old")),
            [true, true],
        ),
    ];
    for (what, case, expected) in table {
        for (by_us, expected) in [true, false].into_iter().zip(expected) {
            assert_eq!(case.is_ours(Some(&origin(Some("copy"), by_us))), expected, "{what}, by us: {by_us}");
        }
        if case.marks == json!({}) {
            assert!(!case.is_ours(Some(&origin(Some("another"), true))), "{what}, another was recorded");
        }
    }
}

#[test]
fn without_an_origin_only_our_own_marks_at_their_place_count() {
    for (case, expected) in [
        (by("kube-bind.io", "Apply", full("billy", "gone")), true),
        (by("kube-bind.io", "Apply", without_name("gone")), true),
        (by("kube-bind.io", "Apply", full("parent", "gone")), false),
        (by("velero", "Update", full("billy", "gone")), false),
        (by("kube-bind.io", "Apply", json!({})), false),
    ] {
        assert_eq!(case.is_ours(None), expected, "{}", case.marks);
    }
}

#[test]
fn what_was_ours_stays_so_unless_we_have_written_it_for_others() {
    let speaks = |case: &Case| {
        let copy = case.copy();
        CopyEvidence::of(&copy, &owned(&copy), CONTRACT, &place()).speaks_for("copy", None, true)
    };
    assert!(speaks(&by("somebody", "Update", json!({}))));
    assert!(!speaks(&by("kube-bind.io", "Apply", json!({"cluster-namespace": "kube-bind-b"}))));
}
