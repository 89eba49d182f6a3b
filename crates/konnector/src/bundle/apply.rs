//! Carries out the plan of a bundle.

use kube::{Api, Resource as _, ResourceExt as _};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle, FIELD_MANAGER};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    clock,
    controller::{Action, ReconcileError},
};
use serde_json::json;
use tracing::info;

use super::{
    failures::{BindingFailures, say},
    plan::{self, BundlePlan},
    retire,
};
use crate::{
    binding::{report_drained, report_unbound},
    context::KonnectorContext,
};

pub(super) async fn apply(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
    plan: BundlePlan,
) -> Result<Action, ReconcileError> {
    let name = bundle.name_any();
    let next = plan.requeue_after.map_or(Action::AwaitChange, Action::RequeueAfter);
    let mut failures = BindingFailures::default();
    let bound = create(context, &name, &plan.create, &mut failures).await;
    for withdrawn in &plan.delete {
        let binding = withdrawn.name_any();
        match retire::withdraw_as_seen(context, withdrawn).await {
            Ok(()) => info!(bundle = name, binding, "the export was withdrawn: unbinding"),
            Err(error) => failures.take_in("delete", &binding, error),
        }
    }
    let complaint = plan::complaint(&plan.status);
    let before = bundle.status.as_ref();
    let status = plan::with_failures(plan.status, failures.said(), complaint, before, clock::now());
    say(context, bundle, &status).await.map_err(failed("write the status", &name))?;
    if !bound.is_empty() {
        let note = format!("Created APIServiceBindings: {}", bound.join(", "));
        context.reporter.inform(&bundle.object_ref(&()), "Bound", "Bind", &note).await;
    }
    let told = report_unbound(context, &bundle.spec.kubeconfig_secret_ref, &plan.unbound).await;
    told.map_err(failed("tell the provider what is not bound", &name))?;
    let told = report_drained(context, &bundle.spec.kubeconfig_secret_ref, &plan.drained).await;
    told.map_err(failed("tell the provider what is drained", &name))?;
    match failures.last {
        Some(error) => Err(failed("create or delete a binding", &name)(error)),
        None => Ok(next),
    }
}

/// Says that the bindings cannot be seen, and looks again.
pub(super) async fn say_blind(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
    why: &str,
) -> Result<Action, ReconcileError> {
    let status = plan::blind(bundle, why, clock::now());
    say(context, bundle, &status).await.map_err(failed("write the status", &bundle.name_any()))?;
    Ok(Action::RequeueAfter(context.poll_interval))
}

/// Wraps the error of an action for a bundle.
pub(super) fn failed(action: &'static str, bundle: &str) -> impl Fn(WriteError) -> ReconcileError {
    move |source| ReconcileError::new(action, format_args!("for bundle {bundle:?}"), source)
}

/// Gives the names of those that were made.
async fn create(
    context: &KonnectorContext,
    bundle: &str,
    wanted: &[APIServiceBinding],
    failures: &mut BindingFailures,
) -> Vec<String> {
    let bindings: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    let mut bound = Vec::new();
    for binding in wanted {
        match apply::apply::<APIServiceBinding>(
            &bindings,
            FIELD_MANAGER,
            &json!(binding),
            &Precondition::Absent,
        )
        .await
        {
            Ok(created) => {
                info!(bundle, binding = created.name_any(), "bound");
                bound.push(created.name_any());
            }
            Err(error) => failures.take_in("create", &binding.name_any(), error),
        }
    }
    bound
}
