//! Reconciles one CRD in one contract namespace: its APIServiceExport and its BoundSchema.

mod apply;
mod plan;

use std::sync::Arc;

use portolan_runtime::{clock, controller, controller::Next, tasks::Tasks};

use self::plan::{Observed, Wanted};
use crate::{
    context::Context,
    contract::Choice,
    error::{ReconcileError, or_again},
    source::Refusal,
    wake::Key,
};

const WORKERS: usize = 8;

pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let shared = Arc::clone(context);
    let reconcile = move |key: Key| {
        let context = Arc::clone(&shared);
        async move { or_again(reconcile(&context, &key).await) }
    };
    controller::run(tasks, "export", WORKERS, &context.queues.exports, &context.metrics, reconcile);
}

async fn reconcile(context: &Context, key: &Key) -> Result<Next, ReconcileError> {
    let observed = Observed {
        now: clock::now(),
        drain_limit: context.drain_limit,
        contract_ends: context.contract(&key.namespace).is_none_or(|contract| contract.ends()),
        wanted: wanted(context, key),
        export: context.exports.get(key),
        schema: context.schemas.get(key),
    };
    let plan = plan::plan(&observed);
    apply::apply(context, key, &observed, plan).await
}

fn wanted(context: &Context, key: &Key) -> Wanted {
    let Some(contract) = context.contract(&key.namespace) else { return Wanted::Nothing };
    let Some(crd) = context.crds.get_cluster_scoped(&key.name) else { return Wanted::Nothing };
    match (contract.choice(&crd), crd.offer(context.tenancy)) {
        (Choice::NotChosen, _) | (_, Err(Refusal::Terminating | Refusal::NotExportable(_))) => {
            Wanted::Nothing
        }
        (Choice::Chosen, Ok(offer)) => Wanted::Offer(Box::new(offer)),
        (Choice::Unclear, Ok(_)) | (_, Err(Refusal::Unclear(_))) => Wanted::AsItIs,
    }
}
