//! Table of objects and our part in them.

use super::*;

fn object(managed_fields: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "K",
        "metadata": {
            "name": "n", "labels": {"ours": "1", "theirs": "2"}, "annotations": {"theirs": "3"},
            "managedFields": managed_fields,
        },
        "spec": {
            "size": 1, "defaulted": true, "empty": {}, "atomic": {"a": 1, "b": 2},
            "ports": [{"port": 1, "name": "x"}, {"port": 2, "name": "y"}],
            "set": ["a", "b"], "list": [3, 4],
        },
        "status": {"ready": true},
    }))
    .unwrap()
}

fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

#[test]
fn only_our_fields_are_kept() {
    let fields = json!({
        "f:metadata": {"f:labels": {".": {}, "f:ours": {}}},
        "f:spec": {
            "f:size": {}, "f:atomic": {}, "f:empty": {}, "f:gone": {},
            "f:ports": {"k:{\"port\":2}": {".": {}, "f:port": {}}},
            "f:set": {"v:\"b\"": {}},
            "f:list": {},
        },
    });
    let object = object(&json!([
        entry("kube-bind.io", "Apply", &fields),
        entry("them", "Update", &json!({"f:spec": {"f:defaulted": {}}}))
    ]));
    assert_eq!(
        owned(&object),
        json!({
            "apiVersion": "v1", "kind": "K",
            "metadata": {"labels": {"ours": "1"}},
            "spec": {
                "size": 1, "atomic": {"a": 1, "b": 2}, "empty": {},
                "ports": [{"port": 2}], "set": ["b"], "list": [3, 4],
            },
        })
    );
}

#[test]
fn what_others_put_into_a_map_that_was_left_empty_is_theirs() {
    let hollow = |ours: Value, theirs: Value| {
        let entries = json!([entry("kube-bind.io", "Apply", &ours), entry("them", "Update", &theirs)]);
        owned_and_hollow(&object(&entries)).1.map(|hollow| hollow["spec"].clone())
    };
    let sized = json!({"f:spec": {"f:size": {}}});
    assert_eq!(hollow(json!({"f:spec": {}}), sized.clone()), Some(json!({})));
    let atomic = || json!({"f:spec": {"f:size": {}, "f:atomic": {}, "f:list": {}}});
    let below = json!({"f:spec": {"f:atomic": {".": {}, "f:b": {}}}});
    assert_eq!(hollow(atomic(), below), Some(json!({"size": 1, "atomic": {}, "list": [3, 4]})));
    // What nobody else has a part of is wholly ours: one that is atomic, or that we alone have filled.
    for theirs in [sized, json!({"f:spec": {"f:atomic": {}}}), json!({"f:spec": {"f:defaulted": {}}})] {
        assert_eq!(hollow(atomic(), theirs), None);
    }
}

#[test]
fn what_was_posted_and_what_was_applied_both_count() {
    let object = object(&json!([
        entry("kube-bind.io", "Update", &json!({"f:spec": {"f:size": {}}})),
        entry("kube-bind.io", "Apply", &json!({"f:spec": {"f:list": {}}})),
    ]));
    assert_eq!(owned(&object)["spec"], json!({"size": 1, "list": [3, 4]}));
    assert!(holds_updates(&object) && !holds_former(&object));
}

#[test]
fn an_object_of_others_is_not_ours_in_any_part() {
    let object = object(&json!([entry("them", "Apply", &json!({"f:spec": {"f:size": {}}}))]));
    assert_eq!(owned(&object), json!({"apiVersion": "v1", "kind": "K", "metadata": {}}));
}

#[test]
fn what_the_go_konnector_has_written_is_ours_to_take_over() {
    let fields = json!({"f:spec": {"f:size": {}}});
    let left = object(&json!([entry("konnector", "Update", &fields)]));
    assert_eq!(owned(&left)["spec"], json!({"size": 1}));
    assert!(holds_former(&left) && !holds_updates(&left));
    let mut status = entry("konnector", "Update", &fields);
    status["subresource"] = json!("status");
    assert!(!holds_former(&object(&json!([status]))));
}
