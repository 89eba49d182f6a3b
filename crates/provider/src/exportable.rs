//! Says on each labelled CRD what keeps it from being exported, and what consumers do not get of it.

use std::sync::Arc;

use kube::{Resource as _, runtime::reflector::ObjectRef};
use portolan_runtime::{
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use crate::{
    context::ProviderContext,
    source::{OfferRefusal, SourceCrd, not_carried},
};

const WORKERS: usize = 1;

/// Says on each labelled CRD what keeps it from being exported.
pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile =
        |context: Arc<ProviderContext>, name: String| async move { reconcile(&context, &name).await };
    Controller {
        name: "source",
        workers: WORKERS,
        queue: &context.queues.sources,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, name: &str) -> Result<Action, ReconcileError> {
    let Some(crd) = context.crds.get(name) else {
        // Offered again, it is told again.
        context.notices.clear(&ObjectRef::<SourceCrd>::new(name).into());
        return Ok(Action::AwaitChange);
    };
    let on = crd.object_ref(&());
    match crd.offer(context.tenancy) {
        Err(OfferRefusal::NotExportable(why)) => {
            context.notices.warn(&on, "NotExportable", &why).await;
        }
        Ok(offer) if !offer.dropped.is_empty() => {
            let reason = if offer.drops_conversion() { "ConversionDropped" } else { "FieldsDropped" };
            context.notices.warn(&on, reason, &not_carried(&offer.dropped)).await;
        }
        Ok(_) | Err(OfferRefusal::Terminating) => context.notices.clear(&on),
    }
    Ok(Action::AwaitChange)
}
