//! The life of an object as a table: what is on both sides, and the one step that follows.

use std::collections::HashSet;

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::*;
use crate::sync::{index::SyncIndex, key::ObjectKey, keys::KeyRules, known::HeldWrites};

const CONTRACT: &str = "kube-bind-a";
const MAPPED: NamespaceState<'static> = NamespaceState::Mapped("kube-bind-a-west");

fn key() -> ObjectKey {
    ObjectKey { namespace: "west".to_owned(), name: "billy".to_owned() }
}

/// A consumer object with everything on it that our steps put there, then changed by `change`.
fn origin(change: impl FnOnce(&mut Value)) -> DynamicObject {
    let mut value = json!({
        "apiVersion": "wildwest.dev/v1", "kind": "Cowboy",
        "metadata": {
            "name": "billy", "namespace": "west", "uid": "origin", "resourceVersion": "1", "generation": 2,
            "finalizers": ["kubebind.io/syncer"],
            "annotations": {
                "kube-bind.io/provider-namespace": "kube-bind-a-west", "kube-bind.io/provider-uid": "copy",
            },
        },
        "spec": {"intent": "ride"},
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// Its copy in sync, then changed by `change`.
fn copy(change: impl FnOnce(&mut Value)) -> DynamicObject {
    let mut value = json!({
        "apiVersion": "wildwest.dev/v1", "kind": "Cowboy",
        "metadata": {
            "name": "billy", "namespace": "kube-bind-a-west", "uid": "copy", "resourceVersion": "1",
            "generation": 7,
            "annotations": {
                "kube-bind.io/cluster-namespace": CONTRACT, "kube-bind.io/consumer-namespace": "west",
                "kube-bind.io/consumer-uid": "origin", "kube-bind.io/origin-name": "billy",
            },
            "managedFields": [{
                "manager": "kube-bind.io", "operation": "Apply", "apiVersion": "wildwest.dev/v1",
                "fieldsType": "FieldsV1",
                "fieldsV1": {
                    "f:metadata": {"f:annotations": {
                        "f:kube-bind.io/cluster-namespace": {}, "f:kube-bind.io/consumer-namespace": {},
                        "f:kube-bind.io/consumer-uid": {}, "f:kube-bind.io/origin-name": {},
                    }},
                    "f:spec": {"f:intent": {}},
                },
            }],
        },
        "spec": {"intent": "ride", "defaulted": true},
    });
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

fn index(origin: Option<DynamicObject>, copy: Option<DynamicObject>) -> SyncIndex {
    let mut index = SyncIndex::new(CONTRACT, KeyRules::default(), true);
    index.keep_copies("west", &HashSet::new(), 0);
    index.keep_origins(&HashSet::new(), 0);
    if let Some(object) = origin {
        index.saw_origin(&key(), &object);
    }
    if let Some(object) = copy {
        index.saw_copy(&key(), &object);
    }
    index
}

fn step(
    origin: Option<DynamicObject>,
    copy: Option<DynamicObject>,
    namespace: NamespaceState<'_>,
) -> SyncStep {
    plan(index(origin, copy).sides(&key()), namespace, EngineMode::Sync)
}

fn terminating(value: &mut Value) {
    value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
}

fn without_finalizer(value: &mut Value) {
    value["metadata"]["finalizers"] = json!([]);
}

fn foreign(value: &mut Value) {
    value["metadata"]["annotations"]["kube-bind.io/cluster-namespace"] = json!("kube-bind-a-b");
}

/// A fresh list that lacks the copy.
fn no_copy(index: &mut SyncIndex) {
    let list = index.begins_list();
    index.keep_copies("west", &HashSet::new(), list);
}

#[test]
fn a_new_object_gets_a_namespace_a_finalizer_and_a_copy_in_this_order() {
    let fresh = || Some(origin(without_finalizer));
    assert_eq!(step(fresh(), None, NamespaceState::Unknown), SyncStep::AwaitNamespace);
    assert_eq!(step(fresh(), None, NamespaceState::NotRequested), SyncStep::RequestNamespace);
    assert_eq!(step(fresh(), None, NamespaceState::Requested), SyncStep::AwaitNamespace);
    assert_eq!(step(fresh(), None, MAPPED), SyncStep::AddFinalizer);
    assert_eq!(step(Some(origin(|_| {})), None, MAPPED), SyncStep::CreateCopy);
}

#[test]
fn nothing_is_created_before_the_provider_has_been_listed() {
    let mut index = SyncIndex::new(CONTRACT, KeyRules::default(), true);
    index.saw_origin(&key(), &origin(|_| {}));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Wait);
}

#[test]
fn an_object_in_sync_needs_nothing_whatever_others_add() {
    assert_eq!(step(Some(origin(|_| {})), Some(copy(|_| {})), MAPPED), SyncStep::Nothing);
}

#[test]
fn differences_are_mended_one_by_one() {
    type Change = fn(&mut Value);
    let table: [(Change, Change, SyncStep); 7] = [
        (|o| o["spec"]["intent"] = json!("rest"), |_| {}, SyncStep::UpdateCopy),
        // A status that cannot be written must not keep the rest from coming.
        (
            |o| o["metadata"]["annotations"]["kube-bind.io/provider-uid"] = json!("old"),
            |c| c["status"] = json!({"result": "done"}),
            SyncStep::Annotate,
        ),
        (|_| {}, |c| c["spec"]["intent"] = json!("changed by hand"), SyncStep::UpdateCopy),
        (|o| o["metadata"]["labels"] = json!({"new": "1"}), |_| {}, SyncStep::UpdateCopy),
        (
            |o| o["metadata"]["annotations"]["kube-bind.io/provider-uid"] = json!("old"),
            |_| {},
            SyncStep::Annotate,
        ),
        (|_| {}, |c| c["status"] = json!({"result": "done"}), SyncStep::WriteStatus),
        (|o| o["status"] = json!({"result": "old"}), |_| {}, SyncStep::WriteStatus),
    ];
    for (row, (change_origin, change_copy, expected)) in table.into_iter().enumerate() {
        assert_eq!(step(Some(origin(change_origin)), Some(copy(change_copy)), MAPPED), expected, "row {row}");
    }
}

#[test]
fn what_the_go_konnector_has_left_is_taken_over_on_both_sides() {
    let entry = || {
        json!({
            "manager": "konnector", "operation": "Update", "apiVersion": "wildwest.dev/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:intent": {}}},
        })
    };
    let left_on_copy = copy(|c| c["metadata"]["managedFields"].as_array_mut().unwrap().push(entry()));
    assert_eq!(step(Some(origin(|_| {})), Some(left_on_copy), MAPPED), SyncStep::UpdateCopy);
    let left_on_origin = origin(|o| o["metadata"]["managedFields"] = json!([entry()]));
    assert_eq!(step(Some(left_on_origin), Some(copy(|_| {})), MAPPED), SyncStep::Annotate);
}

#[test]
fn a_status_is_for_the_generation_of_the_consumer() {
    let observed = |generation: i64| json!({"observedGeneration": generation});
    let said = |ours: i64, theirs: i64| {
        step(
            Some(origin(|o| o["status"] = observed(ours))),
            Some(copy(|c| c["status"] = observed(theirs))),
            MAPPED,
        )
    };
    assert_eq!(said(2, 7), SyncStep::Nothing);
    assert_eq!(said(1, 7), SyncStep::WriteStatus);
    assert_eq!(said(7, 7), SyncStep::WriteStatus);
}

#[test]
fn a_status_that_the_consumer_stores_differently_is_written_once() {
    let mut index = index(Some(origin(|_| {})), Some(copy(|c| c["status"] = json!({"unknown": 1}))));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::WriteStatus);
    let written = index.sides(&key()).copy.unwrap().status.clone();
    index.settle_status(&key(), written);
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Nothing);
    index.saw_copy(&key(), &copy(|c| c["status"] = json!({"unknown": 2})));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::WriteStatus);
}

#[test]
fn a_deleted_object_goes_after_its_copy() {
    let gone = || Some(origin(terminating));
    assert_eq!(step(gone(), Some(copy(|_| {})), MAPPED), SyncStep::DeleteCopy);
    assert_eq!(step(gone(), Some(copy(terminating)), MAPPED), SyncStep::Wait);
    assert_eq!(step(gone(), None, MAPPED), SyncStep::Release);
    assert_eq!(step(gone(), None, NamespaceState::Requested), SyncStep::Release);
    assert_eq!(step(gone(), None, NamespaceState::Unknown), SyncStep::Wait, "there may be a copy");
}

#[test]
fn a_copy_is_not_taken_for_absent_before_the_provider_has_been_listed() {
    let mut index = SyncIndex::new(CONTRACT, KeyRules::default(), true);
    index.saw_origin(&key(), &origin(terminating));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Wait);
}

#[test]
fn what_is_not_ours_is_neither_changed_nor_deleted() {
    assert_eq!(step(Some(origin(|_| {})), Some(copy(foreign)), MAPPED), SyncStep::Conflict);
    assert_eq!(step(Some(origin(without_finalizer)), Some(copy(foreign)), MAPPED), SyncStep::Conflict);
    assert_eq!(step(Some(origin(terminating)), Some(copy(foreign)), MAPPED), SyncStep::Release);
    assert_eq!(step(None, Some(copy(foreign)), MAPPED), SyncStep::Nothing);
}

#[test]
fn a_copy_goes_with_an_origin_that_was_seen_and_stays_with_one_that_never_was() {
    let mut seen = index(Some(origin(|_| {})), Some(copy(|_| {})));
    seen.lost_origin(&key());
    assert_eq!(plan(seen.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::DeleteCopy);
    assert_eq!(step(None, Some(copy(|_| {})), MAPPED), SyncStep::Nothing);
}

#[test]
fn an_origin_that_a_fresh_list_lacks_is_gone_only_if_it_could_go() {
    let relisted = |origin: DynamicObject| {
        let mut index = index(Some(origin), Some(copy(|_| {})));
        let list = index.begins_list();
        assert_eq!(index.keep_origins(&HashSet::new(), list), [key()]);
        plan(index.sides(&key()), MAPPED, EngineMode::Sync)
    };
    assert_eq!(relisted(origin(|_| {})), SyncStep::Nothing, "our finalizer was on it");
    assert_eq!(relisted(origin(terminating)), SyncStep::DeleteCopy);
    assert_eq!(relisted(origin(without_finalizer)), SyncStep::DeleteCopy);
}

#[test]
fn a_status_comes_although_an_update_is_refused_and_is_for_the_former_generation() {
    let observed = |generation: i64| json!({"observedGeneration": generation});
    let mut index = index(
        Some(origin(|o| o["spec"]["intent"] = json!("not acceptable"))),
        Some(copy(|c| c["status"] = observed(7))),
    );
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::UpdateCopy);
    let after = |index: &SyncIndex, held: HeldWrites| {
        plan(SyncSides { held, ..index.sides(&key()) }, MAPPED, EngineMode::Sync)
    };
    let failed = HeldWrites { update_fails: true, ..HeldWrites::default() };
    assert_eq!(after(&index, failed), SyncStep::WriteStatus);
    assert_eq!(after(&index, HeldWrites { update: true, ..failed }), SyncStep::WriteStatus);
    let translated = index.sides(&key()).generations().translate(observed(7));
    assert_eq!(translated, observed(1), "the origin is at 2, and the copy has not heard of it");
    index.saw_origin(
        &key(),
        &origin(|o| {
            o["spec"]["intent"] = json!("not acceptable");
            o["status"] = translated;
        }),
    );
    assert_eq!(after(&index, failed), SyncStep::UpdateCopy, "it is tried again");
    assert_eq!(after(&index, HeldWrites { update: true, ..failed }), SyncStep::Wait, "but not at once");
}

#[test]
fn a_copy_that_is_held_on_the_provider_says_why_until_it_is_gone() {
    let held = |value: &mut Value| {
        terminating(value);
        value["status"] = json!({"result": "handing over"});
    };
    assert_eq!(step(Some(origin(terminating)), Some(copy(held)), MAPPED), SyncStep::WriteStatus);
    let told = origin(|o| {
        terminating(o);
        o["status"] = json!({"result": "handing over"});
    });
    assert_eq!(step(Some(told), Some(copy(held)), MAPPED), SyncStep::Wait);
    let index = index(Some(origin(terminating)), Some(copy(held)));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Drain), SyncStep::Wait);
}

#[test]
fn what_others_put_into_an_empty_map_of_the_consumer_causes_no_write() {
    let empty = origin(|o| o["spec"] = json!({}));
    let filled = copy(|c| {
        let entries = c["metadata"]["managedFields"].as_array_mut().unwrap();
        entries[0]["fieldsV1"]["f:spec"] = json!({});
        entries.push(json!({
            "manager": "them", "operation": "Update", "apiVersion": "wildwest.dev/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:size": {}}},
        }));
        c["spec"] = json!({"size": 3});
    });
    assert_eq!(step(Some(empty.clone()), Some(filled.clone()), MAPPED), SyncStep::Nothing);
    // An atomic map that the consumer has emptied looks like this, too: nobody else has a part of it.
    let emptied = copy(|c| {
        c["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"] = json!({});
        c["spec"] = json!({"size": 3});
    });
    assert_eq!(step(Some(empty), Some(emptied), MAPPED), SyncStep::UpdateCopy);
    let set = origin(|o| o["spec"] = json!({"size": 4}));
    assert_eq!(step(Some(set), Some(filled), MAPPED), SyncStep::UpdateCopy);
}

#[test]
fn a_copy_that_appears_after_its_origin_has_gone_goes_too() {
    let mut late = index(Some(origin(terminating)), None);
    late.lost_origin(&key());
    late.saw_copy(&key(), &copy(|c| c["metadata"]["annotations"]["kube-bind.io/consumer-uid"] = json!("x")));
    assert_eq!(plan(late.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Nothing);
    no_copy(&mut late);
    late.saw_copy(&key(), &copy(|_| {}));
    assert_eq!(plan(late.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::DeleteCopy);
}

/// The user has deleted the object, and its copy went with it.
fn deleted_with_its_copy() -> SyncIndex {
    let mut deleted = index(Some(origin(terminating)), Some(copy(|_| {})));
    deleted.copy_went(&key(), "copy");
    deleted.lost_origin(&key());
    deleted
}

fn replacing(former: &SyncIndex) -> SyncIndex {
    SyncIndex::new(CONTRACT, KeyRules::default(), true).inheriting(former)
}

/// The provider's list, with this copy.
fn list_copy(index: &mut SyncIndex, object: &DynamicObject) {
    let list = index.begins_watch();
    index.saw_copy_in(&key(), object, list);
    index.keep_copies("west", &HashSet::from([key()]), list);
}

#[test]
fn the_copy_of_an_object_that_a_backup_brought_back_stays_whichever_side_is_listed_first() {
    let mut former = deleted_with_its_copy();
    former.begins_origins();
    former.saw_origin(&key(), &origin(|_| {}));
    former.keep_origins(&HashSet::from([key()]), 0);
    let made_again = || copy(|c| c["metadata"]["uid"] = json!("again"));
    former.saw_copy(&key(), &made_again());
    let mut engine = replacing(&former);
    list_copy(&mut engine, &made_again());
    assert_eq!(plan(engine.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Nothing);

    // Here nobody has seen yet that it is back.
    let mut engine = replacing(&deleted_with_its_copy());
    list_copy(&mut engine, &made_again());
    assert_eq!(plan(engine.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Wait);
    engine.saw_origin(&key(), &origin(|_| {}));
    assert_ne!(plan(engine.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::DeleteCopy);
    let mut late = replacing(&deleted_with_its_copy());
    list_copy(&mut late, &made_again());
    let list = late.begins_origins();
    assert_eq!(late.keep_origins(&HashSet::new(), list), [key()], "it has waited for the list");
    assert_eq!(plan(late.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::DeleteCopy);
}

#[test]
fn a_copy_that_a_backup_of_the_provider_brought_back_stays() {
    for mut engine in [deleted_with_its_copy(), replacing(&deleted_with_its_copy())] {
        let list = engine.begins_origins();
        engine.keep_origins(&HashSet::new(), list);
        list_copy(&mut engine, &copy(|_| {}));
        assert_eq!(plan(engine.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Nothing);
        assert_eq!(engine.orphaned(), 1);
    }
}

#[test]
fn in_another_namespace_of_the_provider_nothing_is_known_before_it_is_listed() {
    let mut index = index(Some(origin(|_| {})), Some(copy(|_| {})));
    index.forget_copies("west");
    let another = NamespaceState::Mapped("kube-bind-a-west-hashed");
    assert_eq!(plan(index.sides(&key()), another, EngineMode::Sync), SyncStep::Wait);
    no_copy(&mut index);
    assert_eq!(plan(index.sides(&key()), another, EngineMode::Sync), SyncStep::CreateCopy);
}

#[test]
fn a_copy_that_was_asked_for_may_exist_until_there_is_an_answer() {
    let mut index = index(Some(origin(|_| {})), None);
    assert!(index.asks_for_copy(&key()) && !index.asks_for_copy(&key()));
    assert!(index.may_have_copy(&key()));
    index.saw_copy(&key(), &copy(|_| {}));
    no_copy(&mut index);
    assert!(!index.may_have_copy(&key()));
}

#[test]
fn a_copy_of_a_former_origin_is_adopted() {
    let renewed = origin(|o| o["metadata"]["uid"] = json!("second"));
    assert_eq!(step(Some(renewed), Some(copy(|_| {})), MAPPED), SyncStep::UpdateCopy);
}

#[test]
fn a_copy_that_the_provider_stores_differently_is_written_once() {
    let mut index = index(Some(origin(|o| o["spec"]["empty"] = json!(null))), Some(copy(|_| {})));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::UpdateCopy);
    let desired = index.sides(&key()).origin.unwrap().desired;
    index.settle(&key(), desired, None);
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Nothing);
    index.saw_copy(&key(), &copy(|c| c["spec"]["intent"] = json!("changed by hand")));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::UpdateCopy);
}

#[test]
fn an_older_event_does_not_undo_a_newer_answer() {
    let mut index = index(Some(origin(|o| o["metadata"]["resourceVersion"] = json!("10"))), None);
    let stale = origin(|o| {
        without_finalizer(o);
        o["metadata"]["resourceVersion"] = json!("9");
    });
    assert!(!index.saw_origin(&key(), &stale));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::CreateCopy);
}

#[test]
fn draining_removes_copies_and_finalizers_of_living_objects() {
    let drain = |origin, copy| plan(index(Some(origin), copy).sides(&key()), MAPPED, EngineMode::Drain);
    assert_eq!(drain(origin(|_| {}), Some(copy(|_| {}))), SyncStep::DeleteCopy);
    assert_eq!(drain(origin(|_| {}), None), SyncStep::Release);
    assert_eq!(drain(origin(without_finalizer), None), SyncStep::Nothing);
}

#[test]
fn a_withdrawn_export_leaves_the_copies() {
    let withdraw = |origin, copy| plan(index(Some(origin), copy).sides(&key()), MAPPED, EngineMode::Withdraw);
    assert_eq!(withdraw(origin(|_| {}), Some(copy(|_| {}))), SyncStep::Release);
    assert_eq!(withdraw(origin(terminating), Some(copy(|_| {}))), SyncStep::Release);
    assert_eq!(withdraw(origin(without_finalizer), Some(copy(|_| {}))), SyncStep::Nothing);
}

#[test]
fn what_has_to_wait_keeps_nothing_else_from_coming() {
    let lost = |o: &mut Value| {
        o["spec"]["intent"] = json!("rest");
        o["metadata"]["annotations"]["kube-bind.io/provider-uid"] = json!("old");
    };
    let index = index(Some(origin(lost)), Some(copy(|c| c["status"] = json!({"result": "done"}))));
    let next = |held: HeldWrites| plan(SyncSides { held, ..index.sides(&key()) }, MAPPED, EngineMode::Sync);
    let update = HeldWrites { update: true, ..HeldWrites::default() };
    assert_eq!(next(HeldWrites::default()), SyncStep::UpdateCopy);
    assert_eq!(next(update), SyncStep::Annotate);
    assert_eq!(next(HeldWrites { annotation: true, ..update }), SyncStep::WriteStatus);
    assert_eq!(next(HeldWrites { annotation: true, status: true, ..update }), SyncStep::Wait);
    assert_eq!(next(HeldWrites { update_fails: true, ..HeldWrites::default() }), SyncStep::WriteStatus);
}

#[test]
fn a_status_that_has_to_wait_is_not_forgotten() {
    let index = index(Some(origin(|_| {})), Some(copy(|c| c["status"] = json!({"result": "done"}))));
    let held = HeldWrites { status: true, ..HeldWrites::default() };
    assert_eq!(plan(SyncSides { held, ..index.sides(&key()) }, MAPPED, EngineMode::Sync), SyncStep::Wait);
}

#[test]
fn the_status_of_an_earlier_object_of_the_name_is_not_that_of_the_new_one() {
    let second = |o: &mut Value| o["metadata"]["uid"] = json!("second");
    let unrecorded = |o: &mut Value| {
        o["metadata"]["uid"] = json!("second");
        o["metadata"]["annotations"] = json!({});
    };
    let done = |c: &mut Value| c["status"] = json!({"result": "done"});
    let ending = |c: &mut Value| {
        done(c);
        terminating(c);
    };
    for change in [second as fn(&mut Value), unrecorded] {
        // Its spec comes first, and where that is not taken, no status does.
        let index = index(Some(origin(change)), Some(copy(done)));
        let next =
            |held: HeldWrites| plan(SyncSides { held, ..index.sides(&key()) }, MAPPED, EngineMode::Sync);
        assert_eq!(next(HeldWrites::default()), SyncStep::UpdateCopy);
        let failed = HeldWrites { update_fails: true, ..HeldWrites::default() };
        assert_eq!(next(failed), SyncStep::UpdateCopy);
        let waiting = next(HeldWrites { update: true, annotation: true, ..failed });
        assert_eq!(waiting, SyncStep::Wait);
        assert_eq!(step(Some(origin(change)), Some(copy(ending)), MAPPED), SyncStep::AwaitEarlier);
    }
    // Once it has taken the spec, the status is that of the new one.
    let taken = |c: &mut Value| {
        done(c);
        c["metadata"]["annotations"]["kube-bind.io/consumer-uid"] = json!("second");
    };
    assert_eq!(step(Some(origin(second)), Some(copy(taken)), MAPPED), SyncStep::WriteStatus);
}

#[test]
fn a_copy_that_was_kept_for_an_earlier_object_stays_when_one_that_it_never_followed_goes() {
    let late = |o: &mut Value| {
        terminating(o);
        o["metadata"]["uid"] = json!("second");
        o["metadata"]["annotations"] = json!({});
    };
    assert_eq!(step(Some(origin(late)), Some(copy(|_| {})), MAPPED), SyncStep::Release);
    let mut index = index(Some(origin(late)), Some(copy(|_| {})));
    index.lost_origin(&key());
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Nothing);
}

#[test]
fn a_child_with_all_the_marks_of_its_parent_stays_when_that_goes() {
    let parent = || origin(|o| o["metadata"]["name"] = json!("parent"));
    let place = ObjectKey { namespace: "west".to_owned(), name: "parent".to_owned() };
    let child = |c: &mut Value| c["metadata"]["annotations"]["kube-bind.io/origin-name"] = json!("parent");
    let bare = |c: &mut Value| {
        c["metadata"]["annotations"]["kube-bind.io/origin-name"] = json!("parent");
        c["metadata"]["managedFields"] = json!([]);
    };
    let former = |c: &mut Value| {
        c["metadata"]["annotations"].as_object_mut().unwrap().remove("kube-bind.io/origin-name");
        c["metadata"]["managedFields"] = json!([]);
    };
    for change in [child as fn(&mut Value), bare, former] {
        let mut index = index(None, Some(copy(change)));
        index.saw_origin(&place, &parent());
        index.lost_origin(&place);
        index.saw_copy(&key(), &copy(change));
        assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Nothing);
        let unrelated = |o: &mut Value| {
            o["metadata"]["uid"] = json!("another");
            o["metadata"]["annotations"] = json!({});
        };
        index.saw_origin(&key(), &origin(unrelated));
        assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Conflict);
    }
}

#[test]
fn a_copy_without_marks_is_ours_as_long_as_somebody_knows() {
    let ours_there = |o: &mut Value| {
        o["metadata"]["managedFields"] = json!([{
            "manager": "kube-bind.io", "operation": "Apply", "apiVersion": "wildwest.dev/v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {"f:kube-bind.io/provider-uid": {}}}},
        }]);
    };
    let stripped = |c: &mut Value| {
        c["metadata"]["annotations"] = json!({});
        c["metadata"]["managedFields"][0]["fieldsV1"]["f:metadata"] = json!({});
    };
    // After a restart it is known from what we have recorded on the origin.
    assert_eq!(step(Some(origin(ours_there)), Some(copy(stripped)), MAPPED), SyncStep::UpdateCopy);
    let gone = |o: &mut Value| {
        ours_there(o);
        terminating(o);
    };
    assert_eq!(step(Some(origin(gone)), Some(copy(stripped)), MAPPED), SyncStep::DeleteCopy);
    // Where people have taken that away as well, from what was there before.
    let bare = |o: &mut Value| o["metadata"]["annotations"] = json!({});
    assert_eq!(step(Some(origin(bare)), Some(copy(stripped)), MAPPED), SyncStep::Conflict);
    let mut index = index(Some(origin(bare)), Some(copy(|_| {})));
    index.saw_copy(&key(), &copy(stripped));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::UpdateCopy);
    index.lost_origin(&key());
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::DeleteCopy);
    let another = |c: &mut Value| {
        stripped(c);
        c["metadata"]["uid"] = json!("another");
    };
    no_copy(&mut index);
    index.saw_origin(&key(), &origin(bare));
    index.saw_copy(&key(), &copy(another));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Conflict);
}

#[test]
fn what_is_made_while_a_list_runs_is_not_gone_because_the_list_lacks_it() {
    let mut index = index(Some(origin(|_| {})), None);
    let list = index.begins_list();
    index.saw_copy(&key(), &copy(|_| {}));
    index.saw_origin(&key(), &origin(terminating));
    assert_eq!(index.keep_copies("west", &HashSet::new(), list), [key()]);
    assert_eq!(index.keep_origins(&HashSet::new(), list), []);
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::DeleteCopy);
    no_copy(&mut index);
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Release);
}

#[test]
fn a_copy_that_went_does_not_come_back_with_a_late_answer() {
    let mut index = index(Some(origin(|_| {})), Some(copy(|_| {})));
    let second = copy(|c| c["metadata"]["uid"] = json!("second"));
    index.copy_went(&key(), "copy");
    assert!(!index.saw_copy(&key(), &copy(|c| c["metadata"]["resourceVersion"] = json!("9"))));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::CreateCopy);
    index.saw_copy(&key(), &second);
    index.copy_went(&key(), "copy");
    assert_eq!(index.sides(&key()).copy.unwrap().uid, "second");
    // A restored backup may bring it back.
    let list = index.begins_watch();
    assert!(index.saw_copy_in(&key(), &copy(|_| {}), list));
}

#[test]
fn a_successor_knows_which_origins_went_and_which_copies_were_asked_for() {
    let mut former = index(Some(origin(terminating)), None);
    former.asks_for_copy(&key());
    let heir = |former: &SyncIndex| SyncIndex::new(CONTRACT, KeyRules::default(), true).inheriting(former);
    assert!(heir(&former).may_have_copy(&key()));
    former.lost_origin(&key());
    let mut heir = heir(&former);
    heir.keep_origins(&HashSet::new(), 0);
    heir.saw_copy(&key(), &copy(|_| {}));
    assert_eq!(plan(heir.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::DeleteCopy);
}

#[test]
fn a_fresh_list_wins_over_what_is_remembered_but_not_over_what_came_since_it_began() {
    let at = |version: &'static str, intent: &'static str| {
        origin(move |o| {
            o["metadata"]["resourceVersion"] = json!(version);
            o["spec"]["intent"] = json!(intent);
        })
    };
    let mut index =
        index(Some(at("10", "ride")), Some(copy(|c| c["metadata"]["resourceVersion"] = json!("10"))));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::Nothing);
    // A backup was restored: versions run backwards.
    let list = index.begins_list();
    assert!(index.saw_origin_in(&key(), &at("4", "rest"), list));
    assert_eq!(plan(index.sides(&key()), MAPPED, EngineMode::Sync), SyncStep::UpdateCopy);
    let older = copy(|c| c["metadata"]["resourceVersion"] = json!("5"));
    assert!(index.saw_copy_in(&key(), &older, list));
    // What we have written meanwhile is newer than what the list holds.
    index.saw_origin(&key(), &at("12", "ride"));
    assert!(!index.saw_origin_in(&key(), &at("11", "rest"), list));
}

#[test]
fn copies_without_an_origin_are_counted() {
    let mut index = index(None, Some(copy(|_| {})));
    assert_eq!(index.orphaned(), 1);
    index.saw_origin(&key(), &origin(|_| {}));
    assert_eq!(index.orphaned(), 0);
    index.lost_origin(&key());
    assert_eq!(index.orphaned(), 0, "it goes");
    no_copy(&mut index);
    index.saw_copy(&key(), &copy(foreign));
    assert_eq!(index.orphaned(), 0, "it is not ours");
    index.saw_copy(&key(), &copy(|c| c["metadata"]["resourceVersion"] = json!("2")));
    no_copy(&mut index);
    assert_eq!(index.orphaned(), 0);
    let keeps = origin(|o| o["metadata"]["annotations"]["kube-bind.io/deletion-policy"] = json!("Orphan"));
    index.saw_origin(&key(), &keeps);
    index.saw_copy(&key(), &copy(|c| c["metadata"]["resourceVersion"] = json!("3")));
    index.lost_origin(&key());
    assert_eq!(index.orphaned(), 1, "it was kept");
}

#[test]
fn each_side_may_have_a_version_of_its_own() {
    let older = copy(|c| {
        c["apiVersion"] = json!("wildwest.dev/v1beta1");
        c["metadata"]["managedFields"][0]["apiVersion"] = json!("wildwest.dev/v1beta1");
    });
    assert_eq!(step(Some(origin(|_| {})), Some(older), MAPPED), SyncStep::Nothing);
}
