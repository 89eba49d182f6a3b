//! Reconciles one CRD in one contract namespace: its APIServiceExport and its BoundSchema.

mod apply;
mod plan;
mod wanted;

use std::sync::Arc;

use kube::Resource as _;
use portolan_core::api::kubebind::APIServiceExport;
use portolan_runtime::{
    clock,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use self::plan::{ExportPlan, ObservedExport};
use crate::{context::ProviderContext, is_ours, queues::QueueKey};

const WORKERS: usize = 8;

pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile =
        |context: Arc<ProviderContext>, key: QueueKey| async move { reconcile(&context, &key).await };
    Controller {
        name: "export",
        workers: WORKERS,
        queue: &context.queues.exports,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, key: &QueueKey) -> Result<Action, ReconcileError> {
    let Some(observed) = observe(context, key).await? else {
        context.notices.clear(&key.reference::<APIServiceExport>());
        return Ok(Action::AwaitChange);
    };
    let plan = plan::plan(&observed);
    let is_gone = observed.export.is_none() && plan == ExportPlan::Nothing;
    let done = apply::apply(context, key, &observed, plan).await;
    let there = observed.export.as_ref().map(|export| export.object_ref(&()));
    let on = there.unwrap_or_else(|| key.reference::<APIServiceExport>());
    match &done {
        Ok(_) if is_gone => context.notices.clear(&on),
        Ok(_) => context.notices.worked(&on),
        Err(error) => context.notices.failed(&on, "ExportFailed", error).await,
    }
    done
}

/// `None` where nothing is ours, and nobody is to get anything.
async fn observe(
    context: &ProviderContext,
    key: &QueueKey,
) -> Result<Option<ObservedExport>, ReconcileError> {
    let export = context.exports.get_in(&key.namespace, &key.name);
    let schema = context.schemas.get_in(&key.namespace, &key.name);
    let is_ours =
        export.as_deref().is_some_and(plan::is_ours_to_end) || schema.as_deref().is_some_and(is_ours);
    if !is_ours && context.contracts.get(&key.namespace).is_none() {
        return Ok(None);
    }
    let standing = context.standing(&key.namespace).await?;
    let crd = context.crds.get(&key.name);
    let place = (key.namespace.as_str(), &standing);
    let wanted = wanted::wanted(crd.as_deref(), place, context.tenancy, export.as_deref());
    Ok(Some(ObservedExport {
        now: clock::now(),
        drain_limit: context.drain_limit,
        contract_is_terminating: standing.ends(),
        wanted,
        export,
        schema,
    }))
}
