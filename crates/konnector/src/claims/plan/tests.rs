//! Claimed objects as tables: what is on both sides, and what is done.

use kube::api::DynamicObject;
use portolan_core::{
    api::kubebind::{FIELD_MANAGER, Isolation},
    claims,
};
use serde_json::{Map, Value, json};

use super::*;
use crate::{
    claims::{body::ClaimTerms, index::ClaimIndex},
    sync::{KeyRules, ObjectKey},
};

const MAPPED: NamespaceState<'static> = NamespaceState::Mapped("kube-bind-a-n");

fn key() -> ObjectKey {
    ObjectKey { namespace: "n".to_owned(), name: "s".to_owned() }
}

fn index(selector: &Value) -> ClaimIndex {
    let claim = serde_json::from_value(json!({"resource": "secrets", "selector": selector})).unwrap();
    let (mut valid, _) = claims::read(&[claim], &[], Isolation::Prefixed);
    let terms = ClaimTerms {
        claim: valid.remove(0),
        keys: KeyRules::default(),
        contract: "kube-bind-a".to_owned(),
        binding: "cowboys".to_owned(),
    };
    let mut index = ClaimIndex::new(terms);
    index.consumer_known = true;
    index.know_namespace("n");
    index
}

fn by_label() -> ClaimIndex {
    index(&json!({"labelSelector": {"matchLabels": {"app": "a"}}}))
}

/// A Secret with this label `app` and owner, and data.
fn secret(app: &str, owner: Option<&str>, data: &str) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"a": data},
        "metadata": {"name": "s", "namespace": "n", "uid": "u", "resourceVersion": "5", "labels": {"app": app}},
    });
    if let Some(owner) = owner {
        object["metadata"]["labels"]["kube-bind.io/owner"] = owner.into();
    }
    serde_json::from_value(object).unwrap()
}

fn fields_of(value: &Value) -> Value {
    let Value::Object(map) = value else { return json!({}) };
    let fields: Map<_, _> = map.iter().map(|(key, value)| (format!("f:{key}"), fields_of(value))).collect();
    fields.into()
}

fn managed(object: DynamicObject, fields: &Value) -> DynamicObject {
    managed_by(FIELD_MANAGER, object, fields)
}

fn managed_by(manager: &str, mut object: DynamicObject, fields: &Value) -> DynamicObject {
    let entry = json!({"manager": manager, "operation": "Apply", "fieldsV1": fields});
    object.metadata.managed_fields = serde_json::from_value(json!([entry])).unwrap();
    object
}

fn stamped(owner: &str) -> DynamicObject {
    stamped_for("cowboys", owner)
}

fn stamped_for(binding: &str, owner: &str) -> DynamicObject {
    let fields = json!({"f:metadata": {"f:labels": {"f:kube-bind.io/owner": {}}}});
    managed_by(&format!("kube-bind.io-claims-{binding}"), secret("a", Some(owner), "YQ=="), &fields)
}

/// The copy of an original on a side, as we have applied it.
fn copy(index: &ClaimIndex, from: ClaimSide, original: &DynamicObject) -> DynamicObject {
    let mut body = index.copy_of(from, original);
    let mut fields = fields_of(&body);
    fields.as_object_mut().unwrap().retain(|field, _| field != "f:apiVersion" && field != "f:kind");
    body["metadata"]["name"] = "s".into();
    body["metadata"]["namespace"] = "n".into();
    body["metadata"]["uid"] = "copy".into();
    body["metadata"]["resourceVersion"] = "6".into();
    managed(serde_json::from_value(body).unwrap(), &fields)
}

fn step(
    mut index: ClaimIndex,
    consumer: Option<&DynamicObject>,
    provider: Option<&DynamicObject>,
    mode: EngineMode,
) -> ClaimStep {
    // The second round is for what concerns only because the other side does.
    for _ in 0..2 {
        for (side, object) in [(ClaimSide::Consumer, consumer), (ClaimSide::Provider, provider)] {
            if let Some(object) = object {
                index.saw(side, &key(), object);
            }
        }
    }
    plan(index.sides(&key(), false), MAPPED, mode)
}

fn synced(consumer: Option<&DynamicObject>, provider: Option<&DynamicObject>) -> ClaimStep {
    step(by_label(), consumer, provider, EngineMode::Sync)
}

/// The step for a copy whose original, once on this side, was seen to be deleted.
fn after_deletion(owner: ClaimSide, copy: &DynamicObject) -> ClaimStep {
    let mut index = by_label();
    index.saw(owner.other(), &key(), copy);
    index.was_deleted(owner, &key());
    plan(index.sides(&key(), false), MAPPED, EngineMode::Sync)
}

#[test]
fn a_copy_stays_where_its_original_went_with_a_backup() {
    for owner in [ClaimSide::Consumer, ClaimSide::Provider] {
        let (there, original) = (owner.other(), secret("a", None, "YQ=="));
        let written = |version: &str| {
            let mut copied = copy(&by_label(), owner, &original);
            let annotations = copied.metadata.annotations.get_or_insert_default();
            annotations.insert("kube-bind.io/origin-version".to_owned(), version.to_owned());
            copied
        };
        let next = |index: &ClaimIndex| plan(index.sides(&key(), false), MAPPED, EngineMode::Sync);
        // Version at which the copy was written, the newest that was shown, the one there is now, what follows.
        let table = [
            ("50", None, Some(60), ClaimStep::DeleteCopy(there)),
            ("50", None, Some(50), ClaimStep::DeleteCopy(there)),
            ("50", None, Some(49), ClaimStep::MarkLost(there)),
            ("50", Some("70"), Some(60), ClaimStep::MarkLost(there)),
            ("50", Some("40"), Some(60), ClaimStep::DeleteCopy(there)),
            ("x", None, Some(1), ClaimStep::DeleteCopy(there)),
            ("50", None, None, ClaimStep::DeleteCopy(there)),
        ];
        for (version, shown, now, expected) in table {
            let mut index = by_label();
            index.saw(there, &key(), &written(version));
            if let Some(shown) = shown {
                let mut other = original.clone();
                other.metadata.resource_version = Some(shown.to_owned());
                index.saw(owner, &ObjectKey { name: "other".to_owned(), ..key() }, &other);
            }
            assert_eq!(next(&index), ClaimStep::AskForOriginal(there), "nobody knows yet");
            index.asked(owner, &key(), now);
            assert_eq!(next(&index), expected, "{owner:?} {version} {shown:?} {now:?}");
            // What a watch shows is certain.
            index.was_deleted(owner, &key());
            assert_eq!(next(&index), ClaimStep::DeleteCopy(there));
        }
        let mut index = by_label();
        index.saw(there, &key(), &written("lost"));
        let orphaned = usize::from(there == ClaimSide::Provider);
        assert_eq!((next(&index), index.orphaned()), (ClaimStep::Nothing, orphaned), "whoever asks later");
        index.saw(owner, &key(), &original);
        assert_eq!((next(&index), index.orphaned()), (ClaimStep::UpdateCopy(there), 0), "it has come back");
    }
}

#[test]
fn an_engine_that_replaces_another_one_knows_which_versions_there_were() {
    for (owner, is_same_provider, expected) in [
        (ClaimSide::Consumer, true, ClaimStep::MarkLost(ClaimSide::Provider)),
        (ClaimSide::Consumer, false, ClaimStep::MarkLost(ClaimSide::Provider)),
        (ClaimSide::Provider, true, ClaimStep::MarkLost(ClaimSide::Consumer)),
        (ClaimSide::Provider, false, ClaimStep::DeleteCopy(ClaimSide::Consumer)),
    ] {
        let (mut former, mut index) = (by_label(), by_label());
        former.saw(owner, &key(), &secret("a", None, "YQ=="));
        index.inherit(&former, is_same_provider);
        index.saw(owner.other(), &key(), &copy(&index, owner, &secret("a", None, "YQ==")));
        // The original had version 5.
        index.asked(owner, &key(), Some(4));
        assert_eq!(
            plan(index.sides(&key(), false), MAPPED, EngineMode::Sync),
            expected,
            "{owner:?} {is_same_provider}"
        );
    }
}

#[test]
fn the_original_is_copied_stamped_and_followed_whichever_side_has_it() {
    let (plain, index) = (secret("a", None, "YQ=="), by_label());
    for (here, there) in
        [(ClaimSide::Consumer, ClaimSide::Provider), (ClaimSide::Provider, ClaimSide::Consumer)]
    {
        let at = |original: &DynamicObject, copy: Option<&DynamicObject>| match here {
            ClaimSide::Consumer => synced(Some(original), copy),
            ClaimSide::Provider => synced(copy, Some(original)),
        };
        assert_eq!(at(&plain, None), ClaimStep::CreateCopy(there));
        let copied = copy(&index, here, &plain);
        assert_eq!(at(&plain, Some(&copied)), ClaimStep::Stamp(here));
        assert_eq!(at(&stamped(here.owner()), Some(&copied)), ClaimStep::Nothing);
        let mut changed = stamped(here.owner());
        changed.data["data"]["a"] = "Yg==".into();
        assert_eq!(at(&changed, Some(&copied)), ClaimStep::UpdateCopy(there));
        changed.data["type"] = "kubernetes.io/tls".into();
        assert_eq!(at(&changed, Some(&copied)), ClaimStep::DeleteCopy(there), "a type cannot be changed");
    }
}

#[test]
fn a_copy_goes_with_its_original_and_with_the_claim_and_the_label_of_ours_too() {
    let original = secret("a", None, "YQ==");
    let down = copy(&by_label(), ClaimSide::Consumer, &original);
    let up = copy(&by_label(), ClaimSide::Provider, &original);
    assert_eq!(after_deletion(ClaimSide::Consumer, &down), ClaimStep::DeleteCopy(ClaimSide::Provider));
    assert_eq!(after_deletion(ClaimSide::Provider, &up), ClaimStep::DeleteCopy(ClaimSide::Consumer));
    let mut unclaimed = stamped("consumer");
    unclaimed.metadata.labels.as_mut().unwrap().insert("app".to_owned(), "b".to_owned());
    assert_eq!(synced(Some(&unclaimed), Some(&down)), ClaimStep::DeleteCopy(ClaimSide::Provider));
    assert_eq!(synced(Some(&unclaimed), None), ClaimStep::Unstamp(ClaimSide::Consumer));
    let users_own = secret("b", Some("consumer"), "YQ==");
    assert_eq!(synced(Some(&users_own), None), ClaimStep::Nothing, "a label that people have set stays");
    let mut terminating = stamped("consumer");
    terminating.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(synced(Some(&terminating), Some(&down)), ClaimStep::DeleteCopy(ClaimSide::Provider));
    assert_eq!(synced(Some(&terminating), None), ClaimStep::Nothing);
}

#[test]
fn what_is_not_ours_is_never_touched() {
    let (plain, owned) = (secret("a", None, "YQ=="), secret("a", Some("consumer"), "YQ=="));
    assert_eq!(synced(Some(&plain), Some(&secret("x", None, "eA=="))), ClaimStep::OwnerUnknown);
    assert_eq!(synced(Some(&owned), Some(&secret("x", None, "eA=="))), ClaimStep::Conflict);
    assert_eq!(
        synced(Some(&secret("x", None, "")), Some(&secret("a", Some("provider"), ""))),
        ClaimStep::Conflict
    );
    // Our annotations on somebody's own object do not make it ours.
    let mut forged = copy(&by_label(), ClaimSide::Consumer, &plain);
    forged.metadata.managed_fields = None;
    for mode in [EngineMode::Sync, EngineMode::Drain, EngineMode::Withdraw] {
        assert_eq!(step(by_label(), None, Some(&forged), mode), ClaimStep::Nothing);
    }
    let mut of_another = forged.clone();
    of_another
        .metadata
        .annotations
        .as_mut()
        .unwrap()
        .insert("kube-bind.io/consumer-uid".to_owned(), "another".to_owned());
    assert_eq!(
        synced(Some(&owned), Some(&of_another)),
        ClaimStep::Conflict,
        "ADR 11: it names no object that is here"
    );
    assert_eq!(synced(Some(&secret("x", None, "")), Some(&secret("x", None, ""))), ClaimStep::Nothing);
}

/// An engine of another binding of the same contract.
fn of_others(selector: &Value) -> ClaimIndex {
    let mut terms = index(selector).terms().clone();
    terms.binding = "sheriffs".to_owned();
    let mut others = ClaimIndex::new(terms);
    others.consumer_known = true;
    others.know_namespace("n");
    others
}

#[test]
fn bindings_of_one_contract_leave_alone_what_they_have_for_one_another() {
    let plain = secret("a", None, "YQ==");
    let others = of_others(&json!({"labelSelector": {"matchLabels": {"app": "a"}}}));
    let down = copy(&others, ClaimSide::Consumer, &plain);
    let label = |owner| stamped_for("sheriffs", owner);
    let elsewhere = || index(&json!({"labelSelector": {"matchLabels": {"app": "other"}}}));
    for mode in [EngineMode::Sync, EngineMode::Drain, EngineMode::Withdraw] {
        assert_eq!(step(elsewhere(), None, Some(&down), mode), ClaimStep::Nothing, "{mode:?}: its copy");
        assert_eq!(
            step(elsewhere(), Some(&label("consumer")), Some(&down), mode),
            ClaimStep::Nothing,
            "{mode:?}"
        );
        assert_eq!(
            step(elsewhere(), None, Some(&label("provider")), mode),
            ClaimStep::Nothing,
            "{mode:?}: its label"
        );
    }
    // Both claim it: one copy does for both, until the other one is done with it.
    assert_eq!(synced(Some(&label("consumer")), Some(&down)), ClaimStep::Nothing);
    assert_eq!(synced(Some(&label("consumer")), None), ClaimStep::CreateCopy(ClaimSide::Provider));
    let ours = copy(&by_label(), ClaimSide::Consumer, &plain);
    assert_eq!(
        synced(Some(&plain), Some(&ours)),
        ClaimStep::Stamp(ClaimSide::Consumer),
        "the other one has let go"
    );
    // What a binding that is gone has left is adopted by who claims it.
    let mut index = by_label();
    index.saw(ClaimSide::Consumer, &key(), &plain);
    index.saw(ClaimSide::Provider, &key(), &down);
    let among = |bound: bool| plan(index.sides(&key(), false).among(|_| bound), MAPPED, EngineMode::Sync);
    assert_eq!((among(true), among(false)), (ClaimStep::Nothing, ClaimStep::UpdateCopy(ClaimSide::Provider)));
}

#[test]
fn a_copy_that_names_no_binding_is_adopted_by_who_claims_its_original_and_left_alone_otherwise() {
    let (plain, index) = (stamped("consumer"), by_label());
    let mut unnamed = copy(&index, ClaimSide::Consumer, &plain);
    unnamed.metadata.annotations.as_mut().unwrap().remove("kube-bind.io/claimed-by");
    assert_eq!(synced(Some(&plain), Some(&unnamed)), ClaimStep::UpdateCopy(ClaimSide::Provider));
    assert_eq!(synced(None, Some(&unnamed)), ClaimStep::Nothing);
    for mode in [EngineMode::Drain, EngineMode::Withdraw] {
        assert_eq!(step(by_label(), None, Some(&unnamed), mode), ClaimStep::Nothing);
    }
}

#[test]
fn the_end_takes_copies_and_labels_as_far_as_it_may() {
    let original = secret("a", None, "YQ==");
    let (down, up) = (
        copy(&by_label(), ClaimSide::Consumer, &original),
        copy(&by_label(), ClaimSide::Provider, &original),
    );
    let (here, there) = (stamped("consumer"), stamped("provider"));
    let table = [
        (
            Some(&here),
            Some(&down),
            ClaimStep::DeleteCopy(ClaimSide::Provider),
            ClaimStep::Unstamp(ClaimSide::Consumer),
        ),
        (Some(&here), None, ClaimStep::Unstamp(ClaimSide::Consumer), ClaimStep::Unstamp(ClaimSide::Consumer)),
        (Some(&original), Some(&down), ClaimStep::DeleteCopy(ClaimSide::Provider), ClaimStep::Nothing),
        (Some(&up), Some(&there), ClaimStep::Unstamp(ClaimSide::Provider), ClaimStep::Nothing),
        (Some(&up), Some(&original), ClaimStep::DeleteCopy(ClaimSide::Consumer), ClaimStep::Nothing),
        (Some(&original), None, ClaimStep::Nothing, ClaimStep::Nothing),
    ];
    for (consumer, provider, drain, withdraw) in table {
        assert_eq!(step(by_label(), consumer, provider, EngineMode::Drain), drain);
        assert_eq!(step(by_label(), consumer, provider, EngineMode::Withdraw), withdraw);
    }
}

#[test]
fn nothing_is_decided_before_everything_is_known() {
    let original = secret("a", None, "YQ==");
    let decide = |index: ClaimIndex, namespace| plan(index.sides(&key(), false), namespace, EngineMode::Sync);
    let with = |change: fn(&mut ClaimIndex)| {
        let mut index = by_label();
        index.saw(ClaimSide::Consumer, &key(), &original);
        change(&mut index);
        index
    };
    assert_eq!(decide(with(|index| index.consumer_known = false), MAPPED), ClaimStep::Wait);
    assert_eq!(decide(with(|index| index.lost_sight(&key())), MAPPED), ClaimStep::Read);
    assert_eq!(decide(with(|_| {}), NamespaceState::NotRequested), ClaimStep::RequestNamespace);
    assert_eq!(decide(with(|_| {}), NamespaceState::Requested), ClaimStep::AwaitNamespace);
    let mut unlisted = ClaimIndex::new(with(|_| {}).terms().clone());
    unlisted.consumer_known = true;
    unlisted.saw(ClaimSide::Consumer, &key(), &original);
    assert_eq!(decide(unlisted, MAPPED), ClaimStep::Wait);
    let protected = with(|_| {});
    assert_eq!(
        plan(protected.sides(&key(), true), MAPPED, EngineMode::Sync),
        ClaimStep::Nothing,
        "a kubeconfig of ours"
    );
}

/// The copy as somebody else has put it there, with all annotations and without our managed fields.
fn restored(copy: &DynamicObject) -> DynamicObject {
    let mut restored = managed_by("velero", copy.clone(), &json!({"f:data": {"f:a": {}}}));
    restored.metadata.uid = Some("restored".to_owned());
    restored
}

#[test]
fn a_copy_that_a_backup_brings_back_is_adopted_and_one_of_another_object_is_not() {
    let index = by_label();
    for from in [ClaimSide::Consumer, ClaimSide::Provider] {
        let original = secret("a", None, "YQ==");
        let back = restored(&copy(&index, from, &original));
        let mut another = original.clone();
        another.metadata.uid = Some("another".to_owned());
        for (original, expected) in
            [(&original, ClaimStep::UpdateCopy(from.other())), (&another, ClaimStep::Conflict)]
        {
            let found = match from {
                ClaimSide::Consumer => synced(Some(original), Some(&back)),
                ClaimSide::Provider => synced(Some(&back), Some(original)),
            };
            assert_eq!(found, expected, "{from:?}");
        }
        let alone = match from {
            ClaimSide::Consumer => synced(None, Some(&back)),
            ClaimSide::Provider => synced(Some(&back), None),
        };
        assert_eq!(alone, ClaimStep::Nothing, "it was not us who made it");
    }
}

#[test]
fn a_child_with_all_that_its_parent_has_stays_and_is_not_overwritten() {
    let index = by_label();
    for from in [ClaimSide::Consumer, ClaimSide::Provider] {
        let mut parent = secret("a", None, "YQ==");
        parent.metadata.name = Some("parent".to_owned());
        let child = copy(&index, from, &parent);
        let original = secret("a", None, "Yg==");
        let (alone, beside) = match from {
            ClaimSide::Consumer => (synced(None, Some(&child)), synced(Some(&original), Some(&child))),
            ClaimSide::Provider => (synced(Some(&child), None), synced(Some(&child), Some(&original))),
        };
        assert_eq!((alone, beside), (ClaimStep::Nothing, ClaimStep::Conflict), "{from:?}");
    }
}

#[test]
fn a_copy_whose_marks_were_taken_off_is_ours_still() {
    for from in [ClaimSide::Consumer, ClaimSide::Provider] {
        let (original, mut index) = (secret("a", None, "YQ=="), by_label());
        let (copied, there) = (copy(&index, from, &original), from.other());
        let mut bare = managed_by("somebody", copied.clone(), &json!({}));
        bare.metadata.annotations = None;
        bare.metadata.resource_version = Some("7".to_owned());
        index.saw(from, &key(), &original);
        index.saw(there, &key(), &copied);
        index.saw(there, &key(), &bare);
        assert_eq!(plan(index.sides(&key(), false), MAPPED, EngineMode::Sync), ClaimStep::UpdateCopy(there));
        index.was_deleted(from, &key());
        index.lost(from, &key());
        assert_eq!(plan(index.sides(&key(), false), MAPPED, EngineMode::Sync), ClaimStep::DeleteCopy(there));
    }
}
