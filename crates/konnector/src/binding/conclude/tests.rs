//! Table of bindings: observations, actions, and the status.

use std::{collections::BTreeMap, sync::Arc};

use portolan_core::{
    api::kubebind::{APIServiceBinding, APIServiceExport, ExportedResource},
    condition::{ConditionStatus, find, verdict_of},
    kubeconfig::parse,
    outline::{CrdOutline, SchemaOutline},
};
use serde_json::{Value, json};

use super::*;
use crate::binding::{consent::ConsumerConsent, failure::SchemaFailure};
use crate::{
    provider::UnseenKind,
    secrets::{ProviderAccess, SecretState},
};

fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &Value) -> Arc<K> {
    let value = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": kind, "metadata": {"name": name, "uid": "u"}, "spec": spec,
    });
    Arc::new(serde_json::from_value(value).unwrap())
}

fn binding() -> Arc<APIServiceBinding> {
    let secret = json!({"kubeconfigSecretRef": {"name": "s", "namespace": "default", "key": "kubeconfig"}});
    object("APIServiceBinding", "cowboys", &secret)
}

fn export() -> Arc<APIServiceExport> {
    let spec = json!({
        "resources": [{"group": "wildwest.dev", "resource": "cowboys"}],
        "informerScope": "Namespaced", "isolation": "Prefixed",
    });
    object("APIServiceExport", "cowboys", &spec)
}

fn schema() -> Arc<SchemaOutline> {
    let spec = json!({
        "group": "wildwest.dev", "informerScope": "Namespaced", "scope": "Namespaced",
        "names": {"plural": "cowboys", "kind": "Cowboy"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"type": "object"}}],
    });
    object("BoundSchema", "cowboys.wildwest.dev", &spec)
}

fn crd(established: bool) -> Arc<CrdOutline> {
    let mut value = json!({
        "metadata": {"name": "cowboys.wildwest.dev"},
        "spec": {
            "group": "wildwest.dev", "scope": "Namespaced", "names": {"plural": "cowboys", "kind": "Cowboy"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {}}],
        },
    });
    let status = if established { "True" } else { "False" };
    value["status"] = json!({"conditions": [{"type": "Established", "status": status}]});
    Arc::new(serde_json::from_value(value).unwrap())
}

fn valid_secret() -> SecretState {
    let kubeconfig = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://a"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    });
    let kubeconfig = parse(kubeconfig.to_string().as_bytes()).unwrap();
    SecretState::Valid(Arc::new(ProviderAccess { kubeconfig, fingerprint: String::new(), renewed: None }))
}

fn view() -> BindingView<()> {
    let resource = ExportedResource {
        group: "wildwest.dev".to_owned(),
        resource: "cowboys".to_owned(),
        ..ExportedResource::default()
    };
    BindingView {
        session: (),
        contact: ProviderContact::Up,
        contract: Some("c".to_owned()),
        listed: true,
        export: Some(export()),
        withdrawing: None,
        withdrawn: false,
        schemas: vec![(resource, Some(schema()))],
        refusal: None,
        unseen: None,
        pretty_name: Some("Demo".to_owned()),
        heartbeat: HeartbeatOutcome::NotKept,
    }
}

fn concluded(
    secret: SecretState,
    provider: ProviderSide<()>,
    outcome: Option<CrdOutcome>,
) -> APIServiceBindingStatus {
    concluded_from(None, secret, provider, outcome)
}

/// The same for a binding that has this status already.
fn concluded_from(
    status: Option<APIServiceBindingStatus>,
    secret: SecretState,
    provider: ProviderSide<()>,
    outcome: Option<CrdOutcome>,
) -> APIServiceBindingStatus {
    let binding = Arc::new(APIServiceBinding { status, ..(*binding()).clone() });
    let observed = ObservedBinding {
        binding,
        secret,
        provider,
        consent: ConsumerConsent::default(),
        crds: BTreeMap::new(),
    };
    let resource = |outcome| AppliedResource {
        crd: "cowboys.wildwest.dev".to_owned(),
        schema: schema(),
        outcome,
        objection: None,
        failure: None,
        migration: None,
    };
    let applied = AppliedResources {
        resources: outcome.into_iter().map(resource).collect(),
        ..AppliedResources::default()
    };
    conclude(&observed, &applied, Timestamp::UNIX_EPOCH, false)
}

fn said(status: &APIServiceBindingStatus, condition: &str) -> (ConditionStatus, String) {
    let verdict = verdict_of(find(&status.conditions, condition).expect(condition));
    (verdict.status, verdict.reason)
}

fn with(change: impl FnOnce(&mut BindingView<()>)) -> ProviderSide<()> {
    let mut view = view();
    change(&mut view);
    ProviderSide::Session(view)
}

#[test]
fn a_binding_in_order_is_ready_and_names_its_resources() {
    let outcome = CrdOutcome::Syncing { crd: crd(true), engine: EngineState::Watching };
    let status = concluded(valid_secret(), with(|_| {}), Some(outcome));
    for condition in ["SecretValid", "Connected", "SchemaInSync", "InformersSynced", "Ready"] {
        assert_eq!(said(&status, condition), (ConditionStatus::True, String::new()), "{condition}");
    }
    assert_eq!(status.bound_schemas.len(), 1);
    assert_eq!(status.provider_pretty_name.as_deref(), Some("Demo"));
}

#[test]
fn copies_that_were_left_behind_are_told_and_do_no_harm_to_ready() {
    let told = |before: Option<APIServiceBindingStatus>, orphaned: usize, beginning: bool| {
        let binding = Arc::new(APIServiceBinding { status: before, ..(*binding()).clone() });
        let (secret, provider) = (valid_secret(), with(|_| {}));
        let observed = ObservedBinding {
            binding,
            secret,
            provider,
            consent: ConsumerConsent::default(),
            crds: BTreeMap::new(),
        };
        let applied = AppliedResources { orphaned, ..AppliedResources::default() };
        conclude(&observed, &applied, Timestamp::UNIX_EPOCH, beginning)
    };
    let some = told(None, 2, false);
    assert_eq!(said(&some, "OrphanedCopies"), (ConditionStatus::True, "OriginGone".to_owned()));
    assert_eq!(said(&some, "Ready"), (ConditionStatus::True, String::new()));
    let message = &find(&some.conditions, "OrphanedCopies").unwrap().message;
    assert!(message.starts_with("2 copies on the provider have no object"), "{message}");
    let is_told = |status: &APIServiceBindingStatus| find(&status.conditions, "OrphanedCopies").is_some();
    assert!(is_told(&told(Some(some.clone()), 0, true)), "nothing has been counted yet");
    assert!(!is_told(&told(Some(some), 0, false)));
}

#[test]
fn what_keeps_a_binding_from_connecting_is_named() {
    let table: [(ProviderSide<()>, Option<CrdOutcome>, &str); 12] = [
        (ProviderSide::NoAccess, None, "ProviderPending"),
        (ProviderSide::ClientFailed("bad".to_owned()), None, "ProviderClientError"),
        (with(|v| v.contact = ProviderContact::Pending), None, "ProviderPending"),
        (
            with(|v| v.contact = ProviderContact::Down { message: "refused".to_owned() }),
            None,
            "ProviderUnreachable",
        ),
        (
            with(|v| v.contact = ProviderContact::Refused { message: "no".to_owned() }),
            None,
            "ProviderSuspect",
        ),
        (
            with(|v| v.contact = ProviderContact::Closed(Verdict::error("ContractInUse", ""))),
            None,
            "ContractInUse",
        ),
        (with(|v| v.export = None), None, "APIServiceExportNotFound"),
        (
            with(|v| {
                v.export = None;
                v.refusal = Some("not for you".to_owned());
            }),
            None,
            "APIServiceExportFailed",
        ),
        (with(|v| v.schemas[0].1 = None), None, "BoundSchemaFetchFailed"),
        (with(|_| {}), Some(CrdOutcome::Foreign { owner: None }), "ForeignCustomResourceDefinition"),
        (with(|_| {}), Some(of_another()), "ForeignCustomResourceDefinition"),
        (
            with(|_| {}),
            Some(CrdOutcome::Refused { created: true, message: String::new() }),
            "CustomResourceDefinitionCreateFailed",
        ),
    ];
    for (provider, outcome, reason) in table {
        let status = concluded(valid_secret(), provider, outcome);
        assert_eq!(said(&status, "Connected"), (ConditionStatus::False, reason.to_owned()));
        assert_eq!(said(&status, "Ready"), (ConditionStatus::False, reason.to_owned()));
    }
}

fn of_another() -> CrdOutcome {
    CrdOutcome::Foreign { owner: Some("APIServiceBinding sheriffs of bundle staging".to_owned()) }
}

#[test]
fn a_crd_of_another_binding_is_a_conflict_that_names_both() {
    let status = concluded(valid_secret(), with(|_| {}), Some(of_another()));
    let said = &find(&status.conditions, "Connected").unwrap().message;
    assert!(said.contains("belongs to APIServiceBinding sheriffs of bundle staging"), "{said}");
    assert!(said.contains("APIServiceBinding cowboys waits"), "{said}");
}

#[test]
fn what_keeps_objects_from_syncing_is_named() {
    let syncing = |engine| CrdOutcome::Syncing { crd: crd(true), engine };
    let table = [
        (CrdOutcome::Installing(crd(false)), "Pending"),
        (syncing(EngineState::Starting), "Pending"),
        (syncing(EngineState::ForbiddenOnConsumer), "PermissionDenied"),
        (syncing(EngineState::Failing("no".to_owned())), "InformerSyncFailed"),
        (CrdOutcome::NotSynced { crd: crd(true), why: String::new() }, "NotSynced"),
    ];
    for (outcome, reason) in table {
        let status = concluded(valid_secret(), with(|_| {}), Some(outcome));
        assert_eq!(said(&status, "InformersSynced"), (ConditionStatus::False, reason.to_owned()));
    }
}

#[test]
fn a_kind_of_the_contract_that_cannot_be_watched_is_named() {
    let outcome = || Some(CrdOutcome::Syncing { crd: crd(true), engine: EngineState::Watching });
    let unseen = |kind| Some((kind, "forbidden".to_owned()));
    let namespaces = with(|v| v.unseen = unseen(UnseenKind::Namespaces));
    let status = concluded(valid_secret(), namespaces, outcome());
    let expected = (ConditionStatus::False, "InformerSyncFailed".to_owned());
    assert_eq!(said(&status, "InformersSynced"), expected);
    assert_eq!(said(&status, "Connected").0, ConditionStatus::True);
    let schemas = with(|v| {
        v.listed = false;
        v.unseen = unseen(UnseenKind::Schemas);
    });
    let status = concluded(valid_secret(), schemas, None);
    let expected = (ConditionStatus::False, "BoundSchemaFetchFailed".to_owned());
    assert_eq!(said(&status, "Connected"), expected);
}

#[test]
fn what_the_provider_says_is_told_where_its_schema_is_missing() {
    let mut silent = (*export()).clone();
    let verdict =
        Verdict::error("BoundSchemaMissing", "BoundSchema cowboys.wildwest.dev cannot be made: too long.");
    let mut status = portolan_core::api::kubebind::APIServiceExportStatus::default();
    condition::set(&mut status.conditions, "ProviderInSync", verdict, Timestamp::UNIX_EPOCH);
    silent.status = Some(status);
    let provider = with(|v| {
        v.export = Some(Arc::new(silent));
        v.schemas[0].1 = None;
    });
    let status = concluded(valid_secret(), provider, None);
    let said = &find(&status.conditions, "Connected").unwrap().message;
    assert!(
        said.ends_with("The provider says: BoundSchema cowboys.wildwest.dev cannot be made: too long."),
        "{said}"
    );
}

/// The status of a kind with these versions, the last of them stored.
fn of_versions(versions: &[(&str, Value)], migration: Option<MigrationState>) -> APIServiceBindingStatus {
    let applied = |resource: AppliedResource| AppliedResource { migration, ..resource };
    of_working(versions, applied)
}

/// The same where something else is the matter.
fn of_working(
    versions: &[(&str, Value)],
    change: impl FnOnce(AppliedResource) -> AppliedResource,
) -> APIServiceBindingStatus {
    let last = versions.last().map(|(name, _)| *name);
    let version = |(name, properties): &(&str, Value)| json!({"name": name, "served": true, "storage": Some(*name) == last, "schema": {"type": "object", "properties": properties}});
    let spec = json!({
        "group": "wildwest.dev", "informerScope": "Namespaced", "scope": "Namespaced",
        "names": {"plural": "cowboys", "kind": "Cowboy"},
        "versions": versions.iter().map(version).collect::<Vec<_>>(),
    });
    let resource = change(AppliedResource {
        crd: "cowboys.wildwest.dev".to_owned(),
        schema: object("BoundSchema", "cowboys.wildwest.dev", &spec),
        outcome: CrdOutcome::Syncing { crd: crd(true), engine: EngineState::Watching },
        objection: None,
        failure: None,
        migration: None,
    });
    let observed = ObservedBinding {
        binding: binding(),
        secret: valid_secret(),
        provider: with(|_| {}),
        consent: ConsumerConsent::default(),
        crds: BTreeMap::new(),
    };
    let applied = AppliedResources { resources: vec![resource], ..AppliedResources::default() };
    conclude(&observed, &applied, Timestamp::UNIX_EPOCH, false)
}

#[test]
fn versions_that_drop_fields_are_a_warning_and_nothing_worse() {
    let (a, ab) =
        (json!({"a": {"type": "string"}}), json!({"a": {"type": "string"}, "b": {"type": "string"}}));
    let status = of_versions(&[("v1beta1", a.clone()), ("v1", ab.clone())], None);
    let warning = &find(&status.conditions, "VersionsDiffer").unwrap().message;
    assert!(warning.contains("cowboys.wildwest.dev: v1beta1 beside v1"), "{warning}");
    assert_eq!(said(&status, "Ready").0, ConditionStatus::True);
    let status = of_versions(&[("v1beta1", ab.clone()), ("v1", ab)], None);
    assert!(find(&status.conditions, "VersionsDiffer").is_none());
}

#[test]
fn stored_versions_that_go_are_told() {
    let (former, target) = (vec!["v1beta1".to_owned()], "v1".to_owned());
    let running = MigrationState::Running { former: former.clone(), target: target.clone(), written: 7 };
    let failed = MigrationState::Failed { former, target, why: "no".to_owned() };
    for (state, reason) in [(running, "StoredVersionsMigrating"), (failed, "StoredVersionsMigrationFailed")] {
        let status = of_versions(&[("v1", json!({}))], Some(state));
        assert_eq!(said(&status, "SchemaInSync"), (ConditionStatus::False, reason.to_owned()));
    }
}

#[test]
fn a_crd_that_cannot_be_updated_works_on_and_is_told_once_that_lasts() {
    let failed = |is_lasting| {
        let again = std::time::Duration::from_secs(1);
        Some(SchemaFailure { why: "the webhook is down".to_owned(), created: false, is_lasting, again })
    };
    for (is_lasting, reason) in [(false, ""), (true, UPDATE_FAILED)] {
        let failure = failed(is_lasting);
        let status = of_working(&[("v1", json!({}))], |resource| AppliedResource { failure, ..resource });
        let holds = if is_lasting { ConditionStatus::False } else { ConditionStatus::True };
        for condition in ["Connected", "SchemaInSync", "Ready"] {
            assert_eq!(said(&status, condition), (holds, reason.to_owned()), "{condition}");
        }
        assert_eq!(said(&status, "InformersSynced").0, ConditionStatus::True);
    }
    for (engine, works) in [(EngineState::Watching, " and works"), (EngineState::Starting, "")] {
        let outcome = CrdOutcome::Syncing { crd: crd(true), engine };
        let change =
            |resource: AppliedResource| AppliedResource { outcome, failure: failed(true), ..resource };
        let status = of_working(&[("v1", json!({}))], change);
        let text = format!(
            "CustomResourceDefinition cowboys.wildwest.dev stays as it was{works}, because it cannot be updated: the \
             webhook is down"
        );
        for condition in ["Connected", "SchemaInSync"] {
            assert_eq!(find(&status.conditions, condition).unwrap().message, text, "{condition}");
        }
    }
}

#[test]
fn nothing_that_depends_on_a_bad_secret_stays_true() {
    let expected = (ConditionStatus::False, "KubeconfigSecretNotFound".to_owned());
    let fresh = concluded(SecretState::NotFound, ProviderSide::NoAccess, None);
    assert_eq!(said(&fresh, "Ready"), expected);
    assert!(find(&fresh.conditions, "Connected").is_none());
    let outcome = || Some(CrdOutcome::Syncing { crd: crd(true), engine: EngineState::Watching });
    let ready = concluded(valid_secret(), with(|v| v.heartbeat = HeartbeatOutcome::Beating), outcome());
    let status = concluded_from(Some(ready), SecretState::NotFound, ProviderSide::NoAccess, None);
    for condition in ["Connected", "Heartbeating"] {
        assert_eq!(said(&status, condition), (ConditionStatus::False, "WaitingForSecret".to_owned()));
    }
    assert_eq!(said(&status, "SchemaInSync").0, ConditionStatus::True, "it is about this cluster");
    assert_eq!(said(&status, "Ready"), expected);
}

#[test]
fn a_heartbeat_is_spoken_of_only_where_it_is_kept() {
    let outcome = || Some(CrdOutcome::Syncing { crd: crd(true), engine: EngineState::Watching });
    let silent = concluded(valid_secret(), with(|_| {}), outcome());
    assert!(find(&silent.conditions, "Heartbeating").is_none());
    let beating = concluded(valid_secret(), with(|v| v.heartbeat = HeartbeatOutcome::Beating), outcome());
    assert_eq!(said(&beating, "Heartbeating"), (ConditionStatus::True, String::new()));
    let failed = with(|v| v.heartbeat = HeartbeatOutcome::Failed("no".to_owned()));
    let failed = concluded(valid_secret(), failed, outcome());
    let expected = (ConditionStatus::False, "ClusterBindingUpdateFailed".to_owned());
    assert_eq!(said(&failed, "Heartbeating"), expected);
    assert_eq!(said(&failed, "Ready"), expected);
    let then = |heartbeat| {
        let provider = with(|v| v.heartbeat = heartbeat);
        concluded_from(Some(failed.clone()), valid_secret(), provider, outcome())
    };
    assert_eq!(said(&then(HeartbeatOutcome::Unknown), "Heartbeating"), expected, "nobody has looked yet");
    let unkept = then(HeartbeatOutcome::NotKept);
    assert!(find(&unkept.conditions, "Heartbeating").is_none());
    assert_eq!(said(&unkept, "Ready").0, ConditionStatus::True);
}
