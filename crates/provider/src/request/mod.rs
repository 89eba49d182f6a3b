//! Answers APIServiceNamespaces: a namespace of this cluster, with the consumer's rights in it.

mod apply;
mod observe;
mod plan;

use std::{sync::Arc, time::Duration};

use portolan_core::api::kubebind::APIServiceNamespace;
use portolan_runtime::{
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use crate::{context::ProviderContext, queues::QueueKey};

const WORKERS: usize = 8;
/// Delay of the requeue of a request whose namespace may be terminating.
const AFTER_SWEEP: Duration = Duration::from_secs(1);

pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile =
        |context: Arc<ProviderContext>, key: QueueKey| async move { reconcile(&context, &key).await };
    Controller {
        name: "request",
        workers: WORKERS,
        queue: &context.queues.requests,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, key: &QueueKey) -> Result<Action, ReconcileError> {
    if context.sweeping.holds(key) {
        return Ok(Action::RequeueAfter(AFTER_SWEEP));
    }
    let Some(observed) = observe::observe(context, key).await? else {
        context.notices.worked(&key.reference::<APIServiceNamespace>());
        return Ok(Action::AwaitChange);
    };
    let plan = plan::plan(&observed);
    apply::apply(context, key, &observed, plan).await
}
