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
    controller::{Action, ReconcileError},
    telemetry::brief,
};
use serde_json::json;
use tracing::info;

use super::{
    plan::{self, BundlePlan},
    retire,
};
use crate::{
    binding::{report_drained, report_unbound},
    context::KonnectorContext,
    news::news,
};

pub(super) async fn apply(
    context: &KonnectorContext,
    bundle: &APIServiceBindingBundle,
    plan: BundlePlan,
) -> Result<Action, ReconcileError> {
    let name = bundle.name_any();
    let next = plan.requeue_after.map_or(Action::AwaitChange, Action::RequeueAfter);
    let mut failures = Failures::default();
    let bound = create(context, &name, &plan.create, &mut failures).await;
    for withdrawn in &plan.delete {
        let binding = withdrawn.name_any();
        match retire::withdraw_as_seen(context, withdrawn).await {
            Ok(()) => info!(bundle = name, binding, "the export was withdrawn: unbinding"),
            Err(error) => failures.take_in("delete", &binding, error),
        }
    }
    let complaint = plan::complaint(&plan.status);
    let status = plan::with_failures(plan.status, &failures.said, complaint, clock::now());
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

/// Bindings that could not be created or deleted. The others do not wait for them.
#[derive(Default)]
pub(super) struct Failures {
    said: Vec<String>,
    last: Option<WriteError>,
}

impl Failures {
    pub(super) fn take_in(&mut self, action: &str, binding: &str, error: WriteError) {
        // Somebody else has just made, changed or deleted it: its watch event brings us back.
        if error.is_conflict() {
            return;
        }
        let why = brief(error.cause());
        self.said.push(format!("cannot {action} APIServiceBinding {binding}: {}", why.trim_end_matches('.')));
        self.last = Some(error);
    }

    /// Says them on a bundle that is terminating, and gives the last one.
    pub(super) async fn tell(
        self,
        context: &KonnectorContext,
        bundle: &APIServiceBindingBundle,
    ) -> Result<(), WriteError> {
        let Some(error) = self.last else { return Ok(()) };
        let status = bundle.status.clone().unwrap_or_default();
        say(context, bundle, &plan::with_failures(status, &self.said, None, clock::now())).await?;
        Err(error)
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
    failures: &mut Failures,
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

/// Writes the status where it differs, tells what is new in it, and counts.
async fn say(
    context: &KonnectorContext,
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
    context.bundles.wrote(written);
    let before = bundle.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    for said in news(before, &status.conditions) {
        context.reporter.warn(&bundle.object_ref(&()), &said.reason, "Bind", &said.message).await;
    }
    Ok(())
}
