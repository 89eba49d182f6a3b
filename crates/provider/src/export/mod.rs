//! Reconciles one CRD in one contract namespace: its APIServiceExport and its BoundSchema.

mod apply;
mod plan;
mod wanted;

use std::sync::Arc;

use portolan_runtime::{clock, controller, controller::Next, tasks::Tasks};

use self::plan::Observed;
use crate::{
    context::Context,
    error::{ReconcileError, or_again},
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
    let contract = context.contract(&key.namespace);
    let crd = contract.as_ref().and_then(|_| context.crds.get_cluster_scoped(&key.name));
    let choice = contract.as_ref().zip(crd.as_ref()).map(|(contract, crd)| contract.choice(crd));
    let export = context.exports.get(key);
    let wanted = match choice {
        Some(choice) => wanted::wanted(crd.as_deref(), choice, context.tenancy, export.as_deref()),
        None => wanted::Wanted::Nothing,
    };
    let observed = Observed {
        now: clock::now(),
        drain_limit: context.drain_limit,
        contract_ends: contract.is_none_or(|contract| contract.ends()),
        wanted,
        export,
        schema: context.schemas.get(key),
    };
    let plan = plan::plan(&observed);
    apply::apply(context, key, &observed, plan).await
}
