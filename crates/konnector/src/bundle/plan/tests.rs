//! Bundles as a table: what is there, what is planned, what is said.

use portolan_core::{
    condition::{ConditionStatus, find, verdict_of},
    kubeconfig::parse,
};
use serde_json::{Value, json};

use super::*;
use crate::{provider::Why, secrets::ProviderAccess};

fn bundle(name: &str) -> APIServiceBindingBundle {
    serde_json::from_value(json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceBindingBundle",
        "metadata": {"name": name, "uid": format!("uid-{name}")},
        "spec": {"kubeconfigSecretRef": {"name": "s", "namespace": "default", "key": "kubeconfig"}},
    }))
    .unwrap()
}

fn export(name: &str, deleting: bool) -> Arc<APIServiceExport> {
    let mut value = json!({
        "apiVersion": "kube-bind.io/v1alpha2", "kind": "APIServiceExport", "metadata": {"name": name},
        "spec": {
            "resources": [{"group": "wildwest.dev", "resource": "cowboys"}],
            "informerScope": "Namespaced", "isolation": "Prefixed",
        },
    });
    if deleting {
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

fn up(exports: Vec<Arc<APIServiceExport>>) -> Provider {
    up_without(exports, &[])
}

fn up_without(exports: Vec<Arc<APIServiceExport>>, absent: &[(&str, Absence)]) -> Provider {
    let absent = absent.iter().map(|(name, absence)| ((*name).to_owned(), *absence)).collect();
    let patience = Duration::from_secs(60);
    Provider::Up(Offer { exports, pretty_name: None, contract: None, absent, patience, doubt: None })
}

fn planned(secret: SecretState, provider: Provider, bindings: Vec<Arc<APIServiceBinding>>) -> Plan {
    let stamp_interval = Duration::from_secs(300);
    let bundle = Arc::new(bundle("prod"));
    let observed = Observed { bundle, secret, provider, bindings, beginning: None, stamp_interval };
    plan(&observed, Timestamp::UNIX_EPOCH)
}

fn verdict(plan: &Plan, condition: &str) -> (ConditionStatus, String) {
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
    assert_eq!(verdict(&plan, "Ready"), (ConditionStatus::True, String::new()));
    assert_eq!((plan.status.exports, plan.status.bound), (Some(2), Some(2)));
    assert!(plan.delete.is_empty());
}

#[test]
fn a_binding_whose_export_is_gone_goes() {
    let ours = bundle("prod");
    let provider = up_without(vec![], &[("a", Absence::Withdrawn), ("hand-made", Absence::Withdrawn)]);
    let plan =
        planned(valid_secret(), provider, vec![existing("a", Some(&ours)), existing("hand-made", None)]);
    let names: Vec<_> = plan.delete.iter().map(|binding| binding.name_any()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn an_export_that_is_going_is_not_bound_and_its_binding_goes() {
    let ours = bundle("prod");
    assert!(planned(valid_secret(), up(vec![export("a", true)]), vec![]).create.is_empty());
    let plan = planned(valid_secret(), up(vec![export("a", true)]), vec![existing("a", Some(&ours))]);
    assert_eq!(plan.delete.len(), 1);
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
        (valid_secret(), Provider::Pending, "Synced", "ProviderPending"),
        (valid_secret(), Provider::Down("refused".to_owned()), "Synced", "ListExportsFailed"),
        (valid_secret(), Provider::ClientFailed("bad".to_owned()), "Synced", "ProviderClientError"),
        (SecretState::NotFound, Provider::Pending, "SecretValid", "KubeconfigSecretNotFound"),
        (SecretState::KeyMissing, Provider::Pending, "SecretValid", "KubeconfigSecretInvalid"),
        (SecretState::Pending, Provider::Pending, "SecretValid", "KubeconfigSecretPending"),
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
        let provider = up_without(vec![], &[("a", Absence::MissingFor(Duration::from_secs(seconds)))]);
        planned(valid_secret(), provider, vec![existing("a", Some(&ours))])
    };
    let suspect = missing(50);
    assert!(suspect.delete.is_empty());
    assert_eq!(suspect.look_again, Some(Duration::from_secs(10)));
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
        (valid_secret(), Provider::Down(String::new())),
        (valid_secret(), Provider::Pending),
        (SecretState::NotFound, Provider::Pending),
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
    let observed = Observed {
        bundle: Arc::new(known),
        secret: SecretState::NotFound,
        provider: Provider::Pending,
        bindings: Vec::new(),
        beginning: None,
        stamp_interval: Duration::from_secs(300),
    };
    let plan = plan(&observed, Timestamp::UNIX_EPOCH);
    assert_eq!(verdict(&plan, "Synced"), (ConditionStatus::False, "WaitingForSecret".to_owned()));
    assert_eq!(verdict(&plan, "Ready"), (ConditionStatus::False, "KubeconfigSecretNotFound".to_owned()));
}

#[test]
fn a_provider_that_refuses_is_suspect_once_something_is_bound() {
    let refused = || Provider::Refused("exports is forbidden".to_owned());
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
        let closed = Provider::Closed(Verdict::error(reason, "why"));
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
    let Provider::Up(mut offer) = up(vec![export("a", false)]) else { unreachable!() };
    offer.contract = Some("c".to_owned());
    let plan = planned(valid_secret(), Provider::Up(offer), vec![]);
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

#[test]
fn long_lists_of_resources_are_shortened() {
    let names = (0..100).map(|i| format!("resource-{i:03}")).collect();
    let text = shortened(&names);
    assert!(text.len() < 230 && text.ends_with(" more"), "{text}");
}

#[test]
fn what_went_with_the_contract_namespace_stays_bound_for_a_while() {
    let owner = bundle("prod");
    let ends = |exports: Vec<_>, absent: &[(&str, Absence)], since: u64| {
        let Provider::Up(mut offer) = up_without(exports, absent) else { unreachable!() };
        offer.doubt = Some(Doubt { why: Why::Ends, since: Duration::from_secs(since) });
        let plan = planned(valid_secret(), Provider::Up(offer), vec![existing("a", Some(&owner))]);
        (plan.delete.len(), verdict(&plan, CONDITION_SYNCED).1, plan.look_again)
    };
    let suspected = (0, "ProviderSuspect".to_owned(), Some(Duration::from_secs(50)));
    assert_eq!(ends(vec![], &[("a", Absence::Withdrawn)], 10), suspected);
    assert_eq!(ends(vec![export("a", true)], &[], 10), suspected);
    assert_eq!(ends(vec![], &[("a", Absence::Withdrawn)], 60).0, 1);
    assert_eq!(ends(vec![export("a", true)], &[], 60).0, 1);
    assert_eq!(ends(vec![export("a", false)], &[], 10).0, 0);
}
