//! The policy that keeps consumers from writing to one another's objects of kinds that stand in no namespace:
//! RBAC cannot. It lets a consumer create, change and delete only what has its own mark.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
        ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
        ValidatingAdmissionPolicySpec, Validation, Variable,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{Api, api::ObjectMeta};
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
    let desired = desired_policy(&kinds);
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

fn desired_policy(kinds: &Resources) -> ValidatingAdmissionPolicy {
    let text = str::to_owned;
    let mark = |object: &str| {
        format!(
            "{object} == null || {object}.metadata.?annotations[?'{ANNOTATION_CLUSTER_NAMESPACE}'].orValue('') == \
             variables.contract"
        )
    };
    let validation = |object: &str, message: &str| Validation {
        expression: mark(object),
        message: Some(message.to_owned()),
        reason: Some(text("Forbidden")),
        message_expression: None,
    };
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
            validation("oldObject", "The object is not a copy of this consumer."),
            validation("object", "An object of this consumer has its mark."),
        ]),
        ..ValidatingAdmissionPolicySpec::default()
    };
    ValidatingAdmissionPolicy { metadata: metadata(), spec: Some(spec), status: None }
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
