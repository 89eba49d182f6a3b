//! Carries out the plan of a bundle.

use kube::{Api, Resource as _, ResourceExt as _};
use portolan_core::api::kubebind::{APIServiceBinding, APIServiceBindingBundle, FIELD_MANAGER};
use portolan_runtime::{
    apply::{self, Observed, WriteError},
    controller::Next,
};
use serde_json::json;
use tracing::info;

use super::{BundleError, plan::Plan, retire};
use crate::context::Context;

pub(super) async fn apply(
    context: &Context,
    bundle: &APIServiceBindingBundle,
    plan: Plan,
) -> Result<Next, BundleError> {
    let name = bundle.name_any();
    let next = plan.look_again.map_or(Next::OnChange, Next::After);
    let failed = |action, source| BundleError { action, bundle: name.clone(), source };
    let bindings: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    let mut bound = Vec::new();
    for binding in &plan.create {
        match apply::apply::<APIServiceBinding>(&bindings, FIELD_MANAGER, &json!(binding), &Observed::Absent)
            .await
        {
            Ok(created) => {
                info!(bundle = name, binding = created.name_any(), "bound");
                bound.push(created.name_any());
            }
            // Somebody else has just made one: its watch event brings us back.
            Err(WriteError::Raced(_)) => {}
            Err(error) => return Err(failed("create a binding", error)),
        }
    }
    for doomed in &plan.delete {
        let binding = doomed.name_any();
        match retire::withdraw_as_seen(context, doomed).await {
            Ok(()) => info!(bundle = name, binding, "the export is gone: unbinding"),
            Err(WriteError::Raced(_)) => {}
            Err(error) => return Err(failed("delete a binding", error)),
        }
    }
    if bundle.status.as_ref() == Some(&plan.status) {
        return Ok(next);
    }
    let bundles: Api<APIServiceBindingBundle> = Api::all(context.consumer.clone());
    match apply::replace_status(&bundles, &bundle.metadata, true, &plan.status).await {
        Ok(written) => context.written_bundles.wrote(written),
        Err(WriteError::Raced(_)) => return Ok(Next::After(super::super::binding::AFTER_RACE)),
        Err(error) => return Err(failed("write the status", error)),
    }
    if !bound.is_empty() {
        let note = format!("Created APIServiceBindings: {}", bound.join(", "));
        context.reporter.inform(&bundle.object_ref(&()), "Bound", "Bind", &note).await;
    }
    Ok(next)
}
