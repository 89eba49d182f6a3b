//! Says on each labelled CRD what keeps it from being exported, and what consumers do not get of it.

use std::sync::Arc;

use kube::Resource as _;
use portolan_runtime::{
    controller::{Action, Controller},
    tasks::Tasks,
};

use crate::{
    context::Context,
    error::ReconcileError,
    source::{Refusal, not_carried},
};

const WORKERS: usize = 1;

/// Says on each labelled CRD what keeps it from being exported.
pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let reconcile = |context: Arc<Context>, name: String| async move { reconcile(&context, &name).await };
    Controller {
        name: "source",
        workers: WORKERS,
        queue: &context.queues.sources,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &Context, name: &str) -> Result<Action, ReconcileError> {
    let Some(crd) = context.crds.get_cluster_scoped(name) else { return Ok(Action::AwaitChange) };
    let on = crd.object_ref(&());
    match crd.offer(context.tenancy) {
        Err(Refusal::NotExportable(why)) => {
            context.notices.warn(&on, "NotExportable", &why).await;
        }
        Ok(offer) if !offer.dropped.is_empty() => {
            let reason = if offer.drops_conversion() { "ConversionDropped" } else { "FieldsDropped" };
            context.notices.warn(&on, reason, &not_carried(&offer.dropped)).await;
        }
        Ok(_) | Err(Refusal::Terminating) => context.notices.clear(&on),
    }
    Ok(Action::AwaitChange)
}
