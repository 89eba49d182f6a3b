//! Answers APIServiceNamespaces: a namespace of this cluster, with the consumer's rights in it.

mod apply;
mod observe;
mod plan;

use std::{sync::Arc, time::Duration};

use portolan_runtime::{controller, controller::Next, tasks::Tasks};

use crate::{
    context::Context,
    error::{ReconcileError, or_again},
    wake::Key,
};

const WORKERS: usize = 8;
/// When to look again at a request whose namespace is perhaps being deleted.
const AFTER_SWEEP: Duration = Duration::from_secs(1);

pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let shared = Arc::clone(context);
    let reconcile = move |key: Key| {
        let context = Arc::clone(&shared);
        async move { or_again(reconcile(&context, &key).await) }
    };
    controller::run(tasks, "request", WORKERS, &context.queues.requests, &context.metrics, reconcile);
}

async fn reconcile(context: &Context, key: &Key) -> Result<Next, ReconcileError> {
    if context.sweeping.holds(key) {
        return Ok(Next::After(AFTER_SWEEP));
    }
    let Some(observed) = observe::observe(context, key).await? else { return Ok(Next::OnChange) };
    let plan = plan::plan(&observed);
    apply::apply(context, key, &observed, plan).await
}
