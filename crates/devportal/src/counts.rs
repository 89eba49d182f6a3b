//! Counts products and keys for the metrics, some time after a change and not at each.

use std::{sync::Arc, time::Duration};

use portolan_core::{condition::ConditionStatus, standard_condition::find};
use portolan_runtime::tasks::Tasks;
use tokio::time::sleep;

use crate::context::Context;

const EVERY: Duration = Duration::from_secs(15);

pub fn run(tasks: &Tasks, context: &Arc<Context>) {
    let context = Arc::clone(context);
    tasks.spawn("counts", async move {
        loop {
            count(&context);
            sleep(EVERY).await;
        }
    });
}

fn count(context: &Context) {
    let products = context.products.all();
    let is_ready = |conditions: &[_]| {
        find(conditions, "Ready").is_some_and(|ready| ready.status == ConditionStatus::True)
    };
    let ready = products
        .iter()
        .filter(|product| product.status.as_ref().is_some_and(|status| is_ready(&status.conditions)))
        .count();
    context.metrics.products(ready, products.len() - ready);
    context.metrics.keys(context.keys.all().iter().map(AsRef::as_ref));
}
