//! Table of bundles: observations, plan and status.

use portolan_core::{
    condition::{ConditionStatus, Severity, find, verdict_of},
    kubeconfig::parse,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    provider::{DoubtReason, PROVIDER_SUSPECT},
    secrets::ProviderAccess,
};

fn bundle(name: &str) -> APIServiceBindingBundle {
    serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
        "metadata": {"name": name, "uid": format!("uid-{name}")},
        "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "default", "key": "kubeconfig"}},
    }))
    .unwrap()
}

fn export(name: &str, terminating: bool) -> Arc<APIServiceExport> {
    let mut value = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport", "metadata": {"name": name},
        "spec": {
            "resources": [{"group": "wildwest.dev", "resource": "cowboys"}],
            "informerScope": "Namespaced", "isolation": "Prefixed",
        },
    });
    if terminating {
        value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn existing(name: &str, owner: Option<&APIServiceBindingBundle>) -> Arc<APIServiceBinding> {
    let nobody = bundle("nobody");
    let mut made = binding(owner.unwrap_or(&nobody), &export(name, false), Some("contract"));
    made.metadata.uid = Some(format!("uid-{name}"));
    if owner.is_none() {
        made.metadata.owner_references = None;
    }
    Arc::new(made)
}

fn valid_secret() -> SecretState {
    let kubeconfig: Value = json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://a"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    });
    let kubeconfig = parse(kubeconfig.to_string().as_bytes()).unwrap();
    SecretState::Valid(Arc::new(ProviderAccess { kubeconfig, fingerprint: String::new(), renewed: None }))
}

fn up(exports: Vec<Arc<APIServiceExport>>) -> ProviderState {
    up_without(exports, &[])
}

fn up_without(exports: Vec<Arc<APIServiceExport>>, absent: &[(&str, ExportAbsence)]) -> ProviderState {
    let absent = absent.iter().map(|(name, absence)| ((*name).to_owned(), *absence)).collect();
    let grace = Duration::from_secs(60);
    ProviderState::Up(ExportOffer { exports, pretty_name: None, contract: None, absent, grace, doubt: None })
}

fn observed(
    secret: SecretState,
    provider: ProviderState,
    bindings: Vec<Arc<APIServiceBinding>>,
) -> ObservedBundle {
    ObservedBundle {
        bundle: Arc::new(bundle("prod")),
        secret,
        provider,
        bindings,
        served: ServedGroups::default(),
        beginning: None,
        stamp_interval: Duration::from_secs(300),
    }
}

fn planned(
    secret: SecretState,
    provider: ProviderState,
    bindings: Vec<Arc<APIServiceBinding>>,
) -> BundlePlan {
    plan(&observed(secret, provider, bindings), Timestamp::UNIX_EPOCH)
}

fn verdict(plan: &BundlePlan, condition: &str) -> (ConditionStatus, String) {
    let verdict = verdict_of(find(&plan.status.conditions, condition).expect(condition));
    (verdict.status, verdict.reason)
}

#[test]
fn each_export_gets_a_binding_that_belongs_to_the_bundle() {
    let plan = planned(
        valid_secret(),
        up(vec![export("a", false), export("b", false)]),
        vec![existing("a", Some(&bundle("prod")))],
    );
    let names: Vec<_> = plan.create.iter().map(kube::ResourceExt::name_any).collect();
    assert_eq!(names, ["b"]);
    let owner = &plan.create[0].owner_references()[0];
    assert_eq!(
        (owner.name.as_str(), owner.controller, owner.block_owner_deletion),
        ("prod", Some(true), Some(true))
    );
    assert_eq!(verdict(&plan, "Synced"), (ConditionStatus::True, String::new()));
    assert_eq!((plan.status.exports, plan.status.bound), (Some(2), Some(2)));
    assert!(plan.delete.is_empty());
}

#[test]
fn a_binding_whose_export_is_gone_goes() {
    let ours = bundle("prod");
    let provider =
        up_without(vec![], &[("a", ExportAbsence::Withdrawn), ("hand-made", ExportAbsence::Withdrawn)]);
    let plan =
        planned(valid_secret(), provider, vec![existing("a", Some(&ours)), existing("hand-made", None)]);
    let names: Vec<_> = plan.delete.iter().map(|binding| binding.name_any()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_terminating_export_is_not_bound_and_its_binding_is_deleted() {
    let ours = bundle("prod");
    assert!(planned(valid_secret(), up(vec![export("a", true)]), vec![]).create.is_empty());
    let plan = planned(valid_secret(), up(vec![export("a", true)]), vec![existing("a", Some(&ours))]);
    assert_eq!(plan.delete.len(), 1);
}

#[test]
fn of_an_export_that_terminates_without_a_binding_nothing_is_left() {
    let exports = || up(vec![export("a", true), export("b", true), export("c", false)]);
    let by = |bindings| planned(valid_secret(), exports(), bindings).drained.into_iter().collect::<Vec<_>>();
    assert_eq!(by(vec![]), ["a", "b"]);
    assert_eq!(by(vec![existing("a", Some(&bundle("prod")))]), ["b"]);
    // One that was made by hand says it itself.
    assert_eq!(by(vec![existing("b", None)]), ["a"]);
}

#[test]
fn bindings_of_others_are_left_alone_and_named() {
    for (owner, said) in
        [(Some(bundle("staging")), "belongs to bundle staging"), (None, "was not made by a bundle")]
    {
        let plan = planned(valid_secret(), up(vec![export("a", false)]), vec![existing("a", owner.as_ref())]);
        assert!(plan.create.is_empty() && plan.delete.is_empty());
        assert_eq!(verdict(&plan, "Synced"), (ConditionStatus::False, "SyncErrors".to_owned()));
        assert!(find(&plan.status.conditions, "Ready").unwrap().message.contains(said));
    }
}

#[test]
fn nothing_is_deleted_and_nothing_is_ready_without_the_providers_answer() {
    let table = [
        (valid_secret(), ProviderState::Pending, "Synced", "ProviderPending"),
        (valid_secret(), ProviderState::Down("refused".to_owned()), "Synced", "ListExportsFailed"),
        (valid_secret(), ProviderState::ClientFailed("bad".to_owned()), "Synced", "ProviderClientError"),
        (SecretState::NotFound, ProviderState::Pending, "SecretValid", "KubeconfigSecretNotFound"),
        (SecretState::KeyMissing, ProviderState::Pending, "SecretValid", "KubeconfigSecretInvalid"),
        (SecretState::Pending, ProviderState::Pending, "SecretValid", "KubeconfigSecretPending"),
    ];
    for (secret, provider, condition, reason) in table {
        let ours = bundle("prod");
        let plan = planned(secret, provider, vec![existing("a", Some(&ours))]);
        assert!(plan.delete.is_empty() && plan.create.is_empty());
        let expected = (ConditionStatus::False, reason.to_owned());
        assert_eq!(verdict(&plan, condition), expected);
        assert_eq!(verdict(&plan, "Ready"), expected);
    }
}

#[test]
fn an_export_that_is_merely_missing_stays_bound_for_a_while() {
    let ours = bundle("prod");
    let missing = |seconds| {
        let provider = up_without(vec![], &[("a", ExportAbsence::MissingFor(Duration::from_secs(seconds)))]);
        planned(valid_secret(), provider, vec![existing("a", Some(&ours))])
    };
    let suspect = missing(50);
    assert!(suspect.delete.is_empty());
    assert_eq!(suspect.requeue_after, Some(Duration::from_secs(10)));
    assert_eq!(verdict(&suspect, "Synced"), (ConditionStatus::False, "ProviderSuspect".to_owned()));
    assert_eq!(missing(60).delete.len(), 1);
}

/// A binding of the bundle `prod` whose condition says this.
fn said_by(name: &str, condition: &str, verdict: Verdict) -> Arc<APIServiceBinding> {
    let mut made = (*existing(name, Some(&bundle("prod")))).clone();
    let mut status = portolan_core::api::kubebind::APIServiceBindingStatus::default();
    condition::set(&mut status.conditions, condition, verdict, Timestamp::UNIX_EPOCH);
    made.status = Some(status);
    Arc::new(made)
}

#[test]
fn what_is_bound_and_ready_is_counted_whatever_the_provider_says() {
    let bindings = || {
        vec![
            said_by("a", "Ready", Verdict::holds()),
            said_by("b", "Ready", Verdict::error("ProviderUnreachable", "")),
        ]
    };
    for (secret, provider) in [
        (valid_secret(), ProviderState::Down(String::new())),
        (valid_secret(), ProviderState::Pending),
        (SecretState::NotFound, ProviderState::Pending),
        (valid_secret(), up(vec![export("a", false), export("b", false)])),
    ] {
        let plan = planned(secret, provider, bindings());
        assert_eq!((plan.status.bound, plan.status.ready), (Some(2), Some(1)));
    }
}

#[test]
fn what_depends_on_a_bad_secret_does_not_stay_true() {
    let mut known = bundle("prod");
    let mut status = APIServiceBindingBundleStatus::default();
    condition::set(&mut status.conditions, CONDITION_SYNCED, Verdict::holds(), Timestamp::UNIX_EPOCH);
    known.status = Some(status);
    let seen = observed(SecretState::NotFound, ProviderState::Pending, Vec::new());
    let plan = plan(&ObservedBundle { bundle: Arc::new(known), ..seen }, Timestamp::UNIX_EPOCH);
    assert_eq!(verdict(&plan, "Synced"), (ConditionStatus::False, "WaitingForSecret".to_owned()));
    assert_eq!(verdict(&plan, "Ready"), (ConditionStatus::False, "KubeconfigSecretNotFound".to_owned()));
}

#[test]
fn a_provider_that_refuses_is_suspect_once_something_is_bound() {
    let refused = || ProviderState::Refused("exports is forbidden".to_owned());
    let ours = bundle("prod");
    let plan = planned(valid_secret(), refused(), vec![existing("a", Some(&ours))]);
    assert_eq!(verdict(&plan, "Ready"), (ConditionStatus::False, "ProviderSuspect".to_owned()));
    assert!(find(&plan.status.conditions, "Synced").unwrap().message.contains("exports is forbidden"));
    assert!(plan.delete.is_empty());
    let first = planned(valid_secret(), refused(), vec![existing("a", None)]);
    assert_eq!(verdict(&first, "Ready"), (ConditionStatus::False, "ListExportsFailed".to_owned()));
}

#[test]
fn with_a_contract_that_is_not_ours_to_work_with_nothing_is_planned() {
    let owner = bundle("prod");
    for reason in ["AnotherContract", "ContractInUse", "ConsumerClusterUnknown"] {
        let closed = ProviderState::Closed(Verdict::error(reason, "why"));
        let plan = planned(valid_secret(), closed, vec![existing("a", Some(&owner))]);
        assert!(plan.delete.is_empty() && plan.create.is_empty());
        assert_eq!(plan.status.contract_namespace_uid, None, "nothing is recorded");
        for condition in ["Synced", "Ready"] {
            assert_eq!(verdict(&plan, condition), (ConditionStatus::False, reason.to_owned()));
        }
    }
}

#[test]
fn the_contract_is_recorded_on_the_bundle_and_on_its_bindings() {
    let ProviderState::Up(mut offer) = up(vec![export("a", false)]) else { unreachable!() };
    offer.contract = Some("c".to_owned());
    let plan = planned(valid_secret(), ProviderState::Up(offer), vec![]);
    assert_eq!(plan.status.contract_namespace_uid.as_deref(), Some("c"));
    assert_eq!(plan.create[0].annotations()[ANNOTATION_CONTRACT_UID], "c");
}

#[test]
fn a_crd_that_belongs_to_another_binding_is_a_conflict() {
    let text = "CustomResourceDefinition x belongs to APIServiceBinding b of bundle staging.";
    let taken = said_by("a", "Connected", Verdict::error("ForeignCustomResourceDefinition", text));
    let plan = planned(valid_secret(), up(vec![export("a", false)]), vec![taken]);
    assert_eq!(plan.status.conflicts, Some(1));
    assert_eq!(verdict(&plan, "Synced"), (ConditionStatus::False, "SyncErrors".to_owned()));
    assert!(find(&plan.status.conditions, "Synced").unwrap().message.contains("of bundle staging"));
}

/// The summary of bindings, with the severity.
fn usable(plan: &BundlePlan) -> (ConditionStatus, Severity, String) {
    let found = find(&plan.status.conditions, "Usable").unwrap();
    (found.status, found.severity, found.message.clone())
}

#[test]
fn a_bundle_is_ready_when_its_bindings_are() {
    let ready = |name: &str| said_by(name, "Ready", Verdict::holds());
    let broken = |name: &str| said_by(name, "Ready", Verdict::error("PermissionDenied", "apply this"));
    let waits = |name: &str| said_by(name, "Ready", Verdict::pending("Pending", ""));
    let silent = |name: &str| existing(name, Some(&bundle("prod")));
    let mut unknown = Verdict::error("", "");
    unknown.status = ConditionStatus::Unknown;
    let ending = |name: &str| {
        let mut made = (*broken(name)).clone();
        made.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        Arc::new(made)
    };
    let many: Vec<_> = (0..105)
        .map(|i| if i % 20 == 0 { broken(&format!("b{i:03}")) } else { ready(&format!("r{i}")) })
        .collect();
    let table = [
        (vec![], true, Severity::None, ""),
        (vec![ready("a"), ready("b")], true, Severity::None, ""),
        (vec![ready("a"), broken("b")], false, Severity::Error, "1 of 2 are not ready: b (PermissionDenied)"),
        (vec![waits("a")], false, Severity::Info, "1 of 1 are not ready: a (Pending)"),
        (vec![silent("a"), ready("b")], false, Severity::Info, "1 of 2 are not ready: a (Pending)"),
        (vec![said_by("a", "Ready", unknown)], false, Severity::Info, "1 of 1 are not ready: a."),
        (
            vec![waits("c"), broken("a")],
            false,
            Severity::Error,
            "2 of 2 are not ready: a, c (Pending, PermissionDenied)",
        ),
        // What somebody has deleted does not count.
        (vec![ready("a"), ending("b")], true, Severity::None, ""),
        (
            vec![broken("a"), broken("b"), broken("c"), ready("d")],
            false,
            Severity::Error,
            "3 of 4 are not ready: a, b, c (Perm",
        ),
        (
            many,
            false,
            Severity::Error,
            "6 of 105 are not ready: b000, b020, b040 and 3 more (PermissionDenied)",
        ),
    ];
    for (bindings, holds, severity, text) in table {
        let exports = bindings.iter().map(|binding| export(&binding.name_any(), false)).collect();
        let count = bindings.len();
        let plan = planned(valid_secret(), up(exports), bindings);
        let (status, found, message) = usable(&plan);
        assert_eq!((status == ConditionStatus::True, found), (holds, severity), "{text}: {message}");
        assert!(message.replace(". See", ".").contains(text), "{message:?} has no {text:?}");
        let reason = if holds { "" } else { "BindingsNotReady" };
        assert_eq!(verdict(&plan, "Ready").1, reason, "{text}");
        let (all, good, bad) = (plan.status.bound, plan.status.ready, plan.status.not_ready);
        assert!(all <= i32::try_from(count).ok() && all == good.zip(bad).map(|(good, bad)| good + bad));
    }
}

#[test]
fn a_bundle_is_not_ready_before_what_it_has_just_bound_is() {
    let plan = planned(valid_secret(), up(vec![export("a", false)]), vec![]);
    assert_eq!(verdict(&plan, "Ready"), (ConditionStatus::False, "BindingsNotReady".to_owned()));
    assert_eq!((plan.status.bound, plan.status.ready, plan.status.not_ready), (Some(1), Some(0), Some(1)));
}

#[test]
fn where_the_cause_is_the_bundles_it_speaks_first() {
    let broken = || vec![said_by("a", "Ready", Verdict::error("ProviderUnreachable", ""))];
    for (secret, provider, reason) in [
        (SecretState::NotFound, ProviderState::Pending, "KubeconfigSecretNotFound"),
        (valid_secret(), ProviderState::Down(String::new()), "ListExportsFailed"),
        (valid_secret(), ProviderState::Pending, "ProviderPending"),
        (valid_secret(), ProviderState::Refused(String::new()), "ProviderSuspect"),
    ] {
        let plan = planned(secret, provider, broken());
        assert_eq!(verdict(&plan, "Ready").1, reason);
        assert_eq!(usable(&plan).1, Severity::Info);
    }
}

#[test]
fn a_status_that_says_the_same_is_the_same() {
    let bindings = || {
        vec![said_by("b", "Ready", Verdict::error("A", "")), said_by("a", "Ready", Verdict::error("B", ""))]
    };
    let exports = || up(vec![export("a", false), export("b", false)]);
    let first = planned(valid_secret(), exports(), bindings()).status;
    let mut known = bundle("prod");
    known.status = Some(first.clone());
    let mut seen = observed(valid_secret(), exports(), bindings().into_iter().rev().collect());
    seen.bundle = Arc::new(known);
    assert_eq!(plan(&seen, Timestamp::from_second(1).unwrap()).status, first);
}

#[test]
fn a_time_that_a_wrong_clock_has_written_does_not_stand() {
    let synced = |known: Option<&APIServiceBindingBundleStatus>, second| {
        let (mut seen, mut made) = (observed(valid_secret(), up(vec![]), vec![]), bundle("prod"));
        made.status = known.cloned();
        seen.bundle = Arc::new(made);
        plan(&seen, at(second)).status
    };
    let first = synced(None, 1000);
    assert_eq!(first.last_sync_time, Some(Time(at(1000))));
    assert_eq!(synced(Some(&first), 1001), first);
    assert_eq!(synced(Some(&first), 900).last_sync_time, Some(Time(at(900))), "the clock was set back");
}

/// An export of these resources, as `plural.group/version`.
fn export_of(name: &str, resources: &[&str]) -> Arc<APIServiceExport> {
    let mut made = (*export(name, false)).clone();
    let resource = |text: &&str| {
        let (kind, version) = text.split_once('/').unwrap();
        let (plural, group) = kind.split_once('.').unwrap();
        serde_json::from_value(json!({"group": group, "resource": plural, "versions": [version]})).unwrap()
    };
    made.spec.resources = resources.iter().map(resource).collect();
    Arc::new(made)
}

fn taken(
    accept: Option<&str>,
    exports: Vec<Arc<APIServiceExport>>,
    bindings: Vec<Arc<APIServiceBinding>>,
) -> BundlePlan {
    let service = json!({
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "service": {"name": "metrics-server", "namespace": "kube-system"},
        },
    });
    let mut seen = observed(valid_secret(), up(exports), bindings);
    seen.served = ServedGroups::of(&[serde_json::from_value::<
        k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService,
    >(service)
    .unwrap()]);
    let mut known = bundle("prod");
    known.metadata.annotations =
        accept.map(|text| [("kube-bind.io/accept-groups".to_owned(), text.to_owned())].into());
    seen.bundle = Arc::new(known);
    plan(&seen, Timestamp::UNIX_EPOCH)
}

#[test]
fn only_what_may_be_bound_is_bound() {
    let exports = || {
        vec![
            export_of("cert", &["certs.cert-manager.io/v1"]),
            export_of("db", &["dbs.a.example.org/v1"]),
            export_of("gateway", &["gateways.gateway.networking.k8s.io/v1"]),
            export_of("mixed", &["dbs.b.example.org/v1", "xs.other.dev/v1"]),
            export_of("ours", &["apiserviceexports.kube-bind.io/v1alpha2"]),
            export_of("pods", &["pods.metrics.k8s.io/v1beta1"]),
        ]
    };
    let all_but_impossible = vec!["cert", "db", "gateway", "mixed"];
    let table = [
        (None, all_but_impossible.clone(), 2, (ConditionStatus::False, "GroupNotBindable")),
        (Some("*"), all_but_impossible, 2, (ConditionStatus::False, "GroupNotBindable")),
        (
            Some("*.example.org,cert-manager.io"),
            vec!["cert", "db"],
            4,
            (ConditionStatus::True, "GroupsNotAccepted"),
        ),
        (
            Some("*.example.org, other.dev"),
            vec!["db", "mixed"],
            4,
            (ConditionStatus::True, "GroupsNotAccepted"),
        ),
        (Some("kube-bind.io"), vec![], 6, (ConditionStatus::False, "GroupNotBindable")),
        (Some(""), vec![], 6, (ConditionStatus::True, "GroupsNotAccepted")),
        (Some("*.example.org,what/ever"), vec![], 6, (ConditionStatus::False, "InvalidAcceptGroups")),
    ];
    for (accept, created, refused, (status, reason)) in table {
        let plan = taken(accept, exports(), vec![]);
        let names: Vec<_> = plan.create.iter().map(kube::ResourceExt::name_any).collect();
        assert_eq!(names, created, "{accept:?}");
        assert_eq!(plan.status.refused, Some(refused), "{accept:?}");
        assert_eq!(verdict(&plan, "ExportsAccepted"), (status, reason.to_owned()), "{accept:?}");
        assert_eq!(plan.unbound.len(), 6 - created.len(), "{accept:?}");
    }
    let message = |accept| {
        let plan = taken(accept, exports(), vec![]);
        find(&plan.status.conditions, "ExportsAccepted").unwrap().message.clone()
    };
    assert!(message(None).starts_with("2 of 6 exports cannot be bound: ours (kube-bind.io is the group"));
    assert!(message(None).contains("pods (APIService v1beta1.metrics.k8s.io serves metrics.k8s.io/v1beta1"));
    assert!(message(Some("cert-manager.io")).contains("5 of 6 exports are not accepted"));
    assert!(message(Some("cert-manager.io")).contains(": db, gateway, mixed and 2 more."));
    assert!(message(Some("what/ever")).contains("\"what/ever\" is not a pattern"));
}

#[test]
fn what_is_bound_already_is_never_unbound_because_of_its_group() {
    let ours = bundle("prod");
    let exports = || vec![export_of("db", &["dbs.example.org/v1"])];
    for accept in [Some("other.dev"), Some(""), Some("what/ever"), None] {
        let plan = taken(accept, exports(), vec![existing("db", Some(&ours))]);
        assert!(plan.delete.is_empty() && plan.create.is_empty(), "{accept:?}");
    }
    let plan = taken(Some("other.dev"), exports(), vec![existing("db", Some(&ours))]);
    let said = find(&plan.status.conditions, "ExportsAccepted").unwrap();
    assert_eq!(said.status, ConditionStatus::True);
    assert!(said.message.contains("until their APIServiceBindings are deleted: db"), "{}", said.message);
    let unsaid = taken(None, exports(), vec![existing("db", Some(&ours))]);
    assert!(find(&unsaid.status.conditions, "ExportsAccepted").is_none());
}

#[test]
fn a_name_that_is_taken_is_no_conflict_where_the_export_is_not_wanted() {
    let plan =
        taken(Some("other.dev"), vec![export_of("db", &["dbs.example.org/v1"])], vec![existing("db", None)]);
    assert_eq!(plan.status.conflicts, Some(0));
    assert_eq!(verdict(&plan, "Synced").0, ConditionStatus::True);
}

#[test]
fn a_bundle_that_cannot_see_its_bindings_says_so_and_keeps_the_rest() {
    let mut known = bundle("prod");
    known.status = Some(planned(valid_secret(), up(vec![export("a", false)]), vec![]).status);
    let status = blind(&known, "bindings is forbidden", Timestamp::UNIX_EPOCH);
    let said = find(&status.conditions, "Synced").unwrap();
    assert_eq!((said.reason.as_str(), said.severity), ("ListBindingsFailed", Severity::Error));
    assert!(said.message.ends_with("of this cluster: bindings is forbidden"));
    assert_eq!(find(&status.conditions, "Ready").unwrap().reason, "ListBindingsFailed");
    assert!(find(&status.conditions, "SecretValid").is_some() && status.bound == Some(1));
}

#[test]
fn long_lists_of_resources_are_shortened() {
    let names = (0..100).map(|i| format!("resource-{i:03}")).collect();
    let text = shortened(&names);
    assert!(text.len() < 230 && text.ends_with(" more"), "{text}");
}

#[test]
fn what_went_with_the_contract_namespace_stays_bound_for_a_while() {
    let owner = bundle("prod");
    let ends = |exports: Vec<_>, absent: &[(&str, ExportAbsence)], since: u64| {
        let ProviderState::Up(mut offer) = up_without(exports, absent) else { unreachable!() };
        offer.doubt =
            Some(ContractDoubt { why: DoubtReason::Terminating, since: Duration::from_secs(since) });
        let plan = planned(valid_secret(), ProviderState::Up(offer), vec![existing("a", Some(&owner))]);
        (plan.delete.len(), verdict(&plan, CONDITION_SYNCED).1, plan.requeue_after)
    };
    let suspected = (0, "ProviderSuspect".to_owned(), Some(Duration::from_secs(50)));
    assert_eq!(ends(vec![], &[("a", ExportAbsence::Withdrawn)], 10), suspected);
    assert_eq!(ends(vec![export("a", true)], &[], 10), suspected);
    assert_eq!(ends(vec![], &[("a", ExportAbsence::Withdrawn)], 60).0, 1);
    assert_eq!(ends(vec![export("a", true)], &[], 60).0, 1);
    assert_eq!(ends(vec![export("a", false)], &[], 10).0, 0);
}

#[test]
fn bindings_that_cannot_be_created_or_deleted_are_told_beside_what_else_is_the_matter() {
    let failures = ["cannot create APIServiceBinding a: policy says no".to_owned()];
    let said = |beside: Option<&str>, failures: &[String]| {
        let mut status = APIServiceBindingBundleStatus::default();
        let verdict = beside.map_or_else(Verdict::holds, |text| Verdict::warning(PROVIDER_SUSPECT, text));
        condition::set(&mut status.conditions, CONDITION_SYNCED, verdict, Timestamp::UNIX_EPOCH);
        let complaint = complaint(&status);
        let status = with_failures(status, failures, complaint, None, Timestamp::UNIX_EPOCH);
        let synced = find(&status.conditions, CONDITION_SYNCED).unwrap();
        (synced.reason.clone(), synced.message.clone())
    };
    let told = "Failed to sync some APIServiceBindings: 1 error(s): cannot create APIServiceBinding a: policy says no";
    assert_eq!(said(None, &failures), ("SyncErrors".to_owned(), told.to_owned()));
    let (reason, message) = said(Some("Some are missing."), &failures);
    assert_eq!((reason.as_str(), message), ("SyncErrors", format!("{told}. Besides: Some are missing.")));
    assert_eq!(said(None, &[]), (String::new(), String::new()));
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The bundle `prod` with this status.
fn known(status: Option<APIServiceBindingBundleStatus>) -> Arc<APIServiceBindingBundle> {
    Arc::new(APIServiceBindingBundle { status, ..bundle("prod") })
}

#[test]
fn what_fails_again_changes_nothing_in_the_status() {
    let tried = |before: Option<APIServiceBindingBundleStatus>, failures: &[&str], second: i64| {
        let mut seen = observed(valid_secret(), up(vec![export("a", false)]), vec![]);
        seen.bundle = known(before.clone());
        let status = plan(&seen, at(second)).status;
        let failures: Vec<_> = failures.iter().map(|&text| text.to_owned()).collect();
        let complaint = complaint(&status);
        with_failures(status, &failures, complaint, before.as_ref(), at(second))
    };
    let refused = ["cannot create APIServiceBinding a: policy says no"];
    let first = tried(None, &refused, 1);
    assert_eq!(first.last_sync_time, None, "nothing was in order");
    // Also after the time at which what is in order is stamped anew.
    for second in [2, 1000] {
        assert_eq!(tried(Some(first.clone()), &refused, second), first, "{second}");
    }
    let other = tried(Some(first.clone()), &["cannot delete APIServiceBinding a: policy says no"], 3);
    assert_eq!(find(&other.conditions, CONDITION_SYNCED).unwrap().last_transition_time, Time(at(3)));
    let fine = tried(Some(first), &[], 4);
    assert_eq!(fine.last_sync_time, Some(Time(at(4))));
    let broken = tried(Some(fine), &refused, 1000);
    assert_eq!(broken.last_sync_time, Some(Time(at(4))), "as it was");
    assert_eq!(find(&broken.conditions, CONDITION_SYNCED).unwrap().last_transition_time, Time(at(1000)));
}

/// Its watch event would bring the next try, with yet another text.
#[test]
fn that_the_same_bindings_fail_for_another_cause_is_not_written_at_once() {
    let told = |action: &str, binding: &str, why: &str| {
        format!("cannot {action} APIServiceBinding {binding}: {why}")
    };
    let a = |why: &str| told("create", "a", why);
    let (first, b) = (a("port 1; no route: gone"), told("create", "b", "no"));
    let table = [
        (vec![a("port 2")], None, 2, true),
        (vec![a("port 2")], None, 60, true),
        (vec![a("port 2")], None, 61, false),
        (vec![a("port 2")], None, -60, false),
        (vec![told("delete", "a", "port 1")], None, 2, false),
        (vec![b.clone()], None, 2, false),
        (vec![a("port 2"), b.clone()], None, 2, false),
        (vec![a("port 2")], Some("Some are missing."), 2, false),
    ];
    let say = |before: &APIServiceBindingBundleStatus, failures: &[String], beside: Option<&str>, second| {
        // Planned anew, and as it was where the bundle is terminating.
        let mut planned = before.clone();
        condition::set(&mut planned.conditions, CONDITION_SYNCED, Verdict::holds(), at(second));
        [planned, before.clone()].map(|status| {
            with_failures(status, failures, beside.map(str::to_owned), Some(before), at(second))
        })
    };
    let nothing = APIServiceBindingBundleStatus::default();
    let before = with_failures(nothing, std::slice::from_ref(&first), None, None, at(1));
    for (failures, beside, second, stands) in table {
        for status in say(&before, &failures, beside, second) {
            assert_eq!(status == before, stands, "{failures:?} {beside:?} {second}");
        }
    }
    let both = say(&before, &[first, b.clone()], Some("Some are missing."), 2)[0].clone();
    // The order of bindings is nobody's choice.
    let again = [b, a("port 3")];
    assert_eq!(say(&both, &again, Some("Some are missing."), 3)[0], both);
    assert_ne!(say(&both, &again, None, 3)[0], both, "nothing is missing any more");
}

#[test]
fn a_bundle_that_goes_says_when_its_bindings_can_be_deleted_after_all() {
    let refused = ["cannot delete APIServiceBinding a: policy says no".to_owned()];
    let fine = planned(valid_secret(), up(vec![export("a", false)]), vec![]).status;
    assert_eq!(mended(fine.clone(), at(1)), None);
    assert_eq!(mended(APIServiceBindingBundleStatus::default(), at(1)), None);
    let failed = with_failures(fine.clone(), &refused, None, Some(&fine), at(1));
    assert_eq!(find(&failed.conditions, "Ready").unwrap().reason, "SyncErrors");
    let mended = mended(failed, at(2)).unwrap();
    let verdict = |condition: &str| verdict_of(find(&mended.conditions, condition).unwrap());
    assert_eq!(verdict(CONDITION_SYNCED), Verdict::holds());
    assert_ne!(verdict("Ready").reason, "SyncErrors");
    let suspect = blind(&known(Some(fine)), "forbidden", at(3));
    assert_eq!(super::mended(suspect, at(4)), None, "something else is the matter");
}
