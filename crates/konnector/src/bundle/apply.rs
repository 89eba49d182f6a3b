//! Carries out the plan of a bundle.

use kube::{Api, Resource as _, ResourceExt as _};
use portolan_core::{
    api::kubebind::{
        APIServiceBinding, APIServiceBindingBundle, APIServiceBindingBundleStatus, FIELD_MANAGER,
    },
    condition,
};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    clock,
    controller::Action,
};
use serde_json::json;
use tracing::info;

use super::{
    BundleError,
    plan::{self, Plan},
    retire,
};
use crate::{binding::report_unbound, context::Context, news::news};

pub(super) async fn apply(
    context: &Context,
    bundle: &APIServiceBindingBundle,
    plan: Plan,
) -> Result<Action, BundleError> {
    let name = bundle.name_any();
    let next = plan.look_again.map_or(Action::AwaitChange, Action::RequeueAfter);
    let failed = |action, source| BundleError { action, bundle: name.clone(), source };
    let bound = create(context, &name, &plan.create).await.map_err(|e| failed("create a binding", e))?;
    for doomed in &plan.delete {
        let binding = doomed.name_any();
        match retire::withdraw_as_seen(context, doomed).await {
            Ok(()) => info!(bundle = name, binding, "the export is gone: unbinding"),
            Err(WriteError::Conflict(_)) => {}
            Err(error) => return Err(failed("delete a binding", error)),
        }
    }
    say(context, bundle, &plan.status).await.map_err(|error| failed("write the status", error))?;
    if !bound.is_empty() {
        let note = format!("Created APIServiceBindings: {}", bound.join(", "));
        context.reporter.inform(&bundle.object_ref(&()), "Bound", "Bind", &note).await;
    }
    let told = report_unbound(context, &bundle.spec.kubeconfig_secret_ref, &plan.unbound).await;
    told.map_err(|error| failed("tell the provider what is not bound", error))?;
    Ok(next)
}

/// Says that the bindings cannot be seen, and looks again.
pub(super) async fn say_blind(
    context: &Context,
    bundle: &APIServiceBindingBundle,
    why: &str,
) -> Result<Action, BundleError> {
    let status = plan::blind(bundle, why, clock::now());
    let failed = |source| BundleError { action: "write the status", bundle: bundle.name_any(), source };
    say(context, bundle, &status).await.map_err(failed)?;
    Ok(Action::RequeueAfter(context.poll_interval))
}

/// Gives the names of those that were made.
async fn create(
    context: &Context,
    bundle: &str,
    wanted: &[APIServiceBinding],
) -> Result<Vec<String>, WriteError> {
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
            // Somebody else has just made one: its watch event brings us back.
            Err(WriteError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bound)
}

/// Writes the status where it differs, tells what is new in it, and counts.
async fn say(
    context: &Context,
    bundle: &APIServiceBindingBundle,
    status: &APIServiceBindingBundleStatus,
) -> Result<(), WriteError> {
    let ready = condition::find(&status.conditions, condition::READY);
    context.metrics.saw_bundle(&bundle.name_any(), ready, status.conflicts.unwrap_or_default());
    if bundle.status.as_ref() == Some(status) {
        return Ok(());
    }
    let bundles: Api<APIServiceBindingBundle> = Api::all(context.consumer.clone());
    let written = apply::replace_status(&bundles, &bundle.metadata, true, status).await?;
    context.written_bundles.wrote(written);
    let before = bundle.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    for said in news(before, &status.conditions) {
        context.reporter.warn(&bundle.object_ref(&()), &said.reason, "Bind", &said.message).await;
    }
    Ok(())
}
