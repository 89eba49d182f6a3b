//! Reconciles one CRD in one contract namespace: its APIServiceExport and its BoundSchema.

mod apply;
mod plan;
mod wanted;

use std::sync::Arc;

use portolan_runtime::{
    clock,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use self::plan::ObservedExport;
use crate::{context::ProviderContext, queues::QueueKey};

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
    let contract = context.contract(&key.namespace);
    let crd = contract.as_ref().and_then(|_| context.crds.get(&key.name));
    let choice = contract.as_ref().zip(crd.as_ref()).map(|(contract, crd)| contract.choice(crd));
    let export = context.exports.get_in(&key.namespace, &key.name);
    let wanted = match choice {
        Some(choice) => wanted::wanted(crd.as_deref(), choice, context.tenancy, export.as_deref()),
        None => wanted::WantedExport::Nothing,
    };
    let observed = ObservedExport {
        now: clock::now(),
        drain_limit: context.drain_limit,
        contract_is_terminating: contract.is_none_or(|contract| contract.is_terminating()),
        wanted,
        export,
        schema: context.schemas.get_in(&key.namespace, &key.name),
    };
    let plan = plan::plan(&observed);
    apply::apply(context, key, &observed, plan).await
}
