//! Counts products and keys for the metrics, some time after a change and not at each. Of the keys, it wakes those whose
//! time is over.

use std::{sync::Arc, time::Duration};

use portolan_core::{api::devportal::APIKey, condition::ConditionStatus, standard_condition::find};
use portolan_runtime::{clock, tasks::Tasks};
use tokio::time::sleep;

use crate::{context::Context, key::is_overdue, names::ObjectName};

const EVERY: Duration = Duration::from_secs(15);

pub fn run(tasks: &Tasks, context: &Arc<Context>) {
    let context = Arc::clone(context);
    tasks.spawn("counts", async move {
        loop {
            look(&context);
            sleep(EVERY).await;
        }
    });
}

fn look(context: &Context) {
    let keys = context.keys.all();
    count(context, &keys);
    wake(context, &keys);
}

/// Timers run by a clock that knows nothing of a suspended machine, or of a time that was corrected.
fn wake(context: &Context, keys: &[Arc<APIKey>]) {
    let now = clock::now();
    let overdue = keys.iter().filter(|key| is_overdue(key, now));
    overdue.for_each(|key| context.queues.keys.add(ObjectName::of(&**key)));
}

fn count(context: &Context, keys: &[Arc<APIKey>]) {
    let products = context.products.all();
    let is_ready = |conditions: &[_]| {
        find(conditions, "Ready").is_some_and(|ready| ready.status == ConditionStatus::True)
    };
    let ready = products
        .iter()
        .filter(|product| product.status.as_ref().is_some_and(|status| is_ready(&status.conditions)))
        .count();
    context.metrics.products(ready, products.len() - ready);
    context.metrics.keys(keys.iter().map(AsRef::as_ref));
}
