//! The policy that keeps consumers from writing to one another's objects of kinds that stand in no namespace:
//! RBAC cannot. It lets a consumer create, change and delete only what has its own mark. Where somebody has taken the
//! mark off a copy, the name that begins with the contract's tells whose it is, so that its consumer can mark it again.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
        ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
        ValidatingAdmissionPolicySpec, Validation, Variable,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{Api, ResourceExt as _, api::ObjectMeta};
use portolan_core::api::kubebind::{ANNOTATION_CLUSTER_NAMESPACE, LABEL_MANAGED_BY};
use portolan_runtime::{
    apply::{self},
    controller::ReconcileError,
};
use tracing::info;

use super::{
    resources,
    shared::{Resources, written_by},
};
use crate::{
    BINDER, FIELD_MANAGER, MANAGED_BY, cluster_rights::Shared, context::ProviderContext, tenancy::CopyPlace,
};

/// Name of the policy and of its binding.
const NAME: &str = "kube-bind-shared-kinds";

/// Makes the policy what it should be, and removes it where nothing is shared.
pub(super) async fn ensure(context: &ProviderContext, shared: &Shared) -> Result<(), ReconcileError> {
    let kinds = kinds(context, shared);
    let policy = shared.policies.get(NAME);
    let binding = shared.policy_bindings.get(NAME);
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(context.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(context.client.clone());
    let failed = |action: &'static str| move |error| ReconcileError::new(action, NAME, error);
    if kinds.is_empty() {
        if let Some(uid) = binding.and_then(|binding| binding.metadata.uid.clone()) {
            apply::delete(&bindings, NAME, &uid).await.map_err(failed("delete admission policy binding"))?;
        }
        if let Some(uid) = policy.and_then(|policy| policy.metadata.uid.clone()) {
            apply::delete(&policies, NAME, &uid).await.map_err(failed("delete admission policy"))?;
        }
        return Ok(());
    }
    let contracts = context.contracts.all().iter().map(|contract| contract.name_any()).collect();
    let desired = desired_policy(&kinds, &contracts);
    if policy.as_ref().is_none_or(|policy| policy.spec != desired.spec) {
        let written = apply::apply_over(&policies, FIELD_MANAGER, &desired, policy.as_deref()).await;
        shared.policies.wrote(written.map_err(failed("write admission policy"))?);
        info!(policy = NAME, kinds = kinds.len(), "guards the kinds that consumers share");
    }
    let desired = desired_binding();
    if binding.as_ref().is_none_or(|binding| binding.spec != desired.spec) {
        let written = apply::apply_over(&bindings, FIELD_MANAGER, &desired, binding.as_deref()).await;
        shared.policy_bindings.wrote(written.map_err(failed("write admission policy binding"))?);
    }
    Ok(())
}

/// Kinds without a namespace that any consumer may write, or is about to get the right to.
fn kinds(context: &ProviderContext, shared: &Shared) -> Resources {
    let exports = context.exports.all().into_iter();
    let exported =
        exports.flat_map(|export| resources(context, &export, |terms| terms.place == CopyPlace::Cluster));
    let roles = shared.roles.all();
    exported.chain(roles.iter().flat_map(|role| written_by(role))).collect()
}

fn desired_policy(kinds: &Resources, contracts: &BTreeSet<String>) -> ValidatingAdmissionPolicy {
    let text = str::to_owned;
    let validation = |expression: String, message: &str| Validation {
        expression,
        message: Some(message.to_owned()),
        reason: Some(text("Forbidden")),
        message_expression: None,
    };
    let (before, after) = (mark("oldObject"), mark("object"));
    let named = named(contracts);
    let is_its_own =
        format!("oldObject == null || {before} == variables.contract || ({before} == '' && {named})");
    let is_marked = format!("object == null || {after} == variables.contract");
    let spec = ValidatingAdmissionPolicySpec {
        failure_policy: Some(text("Fail")),
        match_conditions: Some(vec![MatchCondition {
            name: text("consumers"),
            expression: format!(
                "request.userInfo.username.matches('^system:serviceaccount:[^:]+:{BINDER}$')"
            ),
        }]),
        match_constraints: Some(MatchResources {
            match_policy: Some(text("Equivalent")),
            namespace_selector: Some(LabelSelector::default()),
            object_selector: Some(LabelSelector::default()),
            resource_rules: Some(kinds.iter().map(rule).collect()),
            exclude_resource_rules: None,
        }),
        variables: Some(vec![Variable {
            name: text("contract"),
            expression: text("request.userInfo.username.split(':')[2]"),
        }]),
        validations: Some(vec![
            validation(is_its_own, "The object is not a copy of this consumer."),
            validation(is_marked, "An object of this consumer has its mark."),
        ]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    ValidatingAdmissionPolicy { metadata: metadata(), spec: Some(spec), status: None }
}

/// The mark of an object, empty where it has none.
fn mark(object: &str) -> String {
    format!("{object}.metadata.?annotations[?'{ANNOTATION_CLUSTER_NAMESPACE}'].orValue('')")
}

/// True for an old object whose name begins as this contract's copies do, and not as those of a contract with a longer
/// name.
fn named(contracts: &BTreeSet<String>) -> String {
    let begins = |with: &str| format!("oldObject.metadata.name.startsWith({with} + '-')");
    let own = begins("variables.contract");
    let extends = |name: &&String| {
        contracts.iter().any(|shorter| name.strip_prefix(shorter).is_some_and(|rest| rest.starts_with('-')))
    };
    let longer: Vec<_> = contracts.iter().filter(extends).map(|name| format!("'{name}'")).collect();
    if longer.is_empty() {
        return own;
    }
    let (longer, other) = (longer.join(", "), begins("other"));
    format!("{own} && ![{longer}].exists(other, other.startsWith(variables.contract + '-') && {other})")
}

fn rule((group, resource): &(String, String)) -> NamedRuleWithOperations {
    let operations = ["CREATE", "UPDATE", "DELETE"];
    NamedRuleWithOperations {
        api_groups: Some(vec![group.clone()]),
        api_versions: Some(vec!["*".to_owned()]),
        operations: Some(operations.map(str::to_owned).to_vec()),
        resources: Some(vec![resource.clone(), format!("{resource}/*")]),
        scope: Some("*".to_owned()),
        resource_names: None,
    }
}

fn desired_binding() -> ValidatingAdmissionPolicyBinding {
    let spec = ValidatingAdmissionPolicyBindingSpec {
        policy_name: Some(NAME.to_owned()),
        validation_actions: Some(vec!["Deny".to_owned()]),
        ..ValidatingAdmissionPolicyBindingSpec::default()
    };
    ValidatingAdmissionPolicyBinding { metadata: metadata(), spec: Some(spec) }
}

fn metadata() -> ObjectMeta {
    ObjectMeta {
        name: Some(NAME.to_owned()),
        labels: Some(BTreeMap::from([(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned())])),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_contract_is_named_where_a_shorter_one_begins_it() {
        let table: [(&[&str], Option<&str>); 4] = [
            (&[], None),
            (&["kube-bind-a", "kube-bind-ab"], None),
            (&["kube-bind-a", "kube-bind-a-b"], Some("['kube-bind-a-b']")),
            (&["a", "a-b", "a-b-c", "x"], Some("['a-b', 'a-b-c']")),
        ];
        for (contracts, longer) in table {
            let contracts: BTreeSet<_> = contracts.iter().map(|name| (*name).to_owned()).collect();
            let named = named(&contracts);
            assert!(
                named.starts_with("oldObject.metadata.name.startsWith(variables.contract + '-')"),
                "{named}"
            );
            assert_eq!(named.contains("exists"), longer.is_some(), "{named}");
            assert!(longer.is_none_or(|longer| named.contains(longer)), "{named}");
        }
    }
}
