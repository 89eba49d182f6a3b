//! Tells a webhook what happens to keys: CloudEvents, signed, tried again, and in order for each key.
//!
//! At least once as long as the process lives: what waits when it ends is lost, and what was sent may be sent again.

mod event;
pub mod notifier;
mod queue;

use std::sync::Arc;

use kube::{Resource as _, ResourceExt as _};
use portolan_core::api::devportal::APIKey;
use portolan_runtime::{
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use self::queue::DeliveryVerdict;
use crate::{context::Context, news::KeyFact};

const WORKERS: usize = 16;
impl Context {
    /// Tells those who are to be notified.
    pub fn publish(&self, key: &APIKey, fact: &KeyFact) {
        let Some(notifier) = &self.notifier else { return };
        if !notifier.waiting.push(key.uid().unwrap_or_default(), event::notice(key, fact)) {
            self.metrics.notice("dropped");
        }
        self.metrics.waiting(notifier.waiting.len());
    }
}

pub fn run(tasks: &Tasks, context: &Arc<Context>) {
    let Some(notifier) = &context.notifier else { return };
    let reconcile = |context: Arc<Context>, key: String| async move { reconcile(&context, &key).await };
    Controller {
        name: "notice",
        workers: WORKERS,
        queue: &notifier.waiting.queue,
        metrics: &context.controllers,
    }
    .run(tasks, context, reconcile);
}

/// Sends the first notice of a key. The next one waits for it.
async fn reconcile(context: &Context, key: &str) -> Result<Action, ReconcileError> {
    let Some(notifier) = &context.notifier else { return Ok(Action::AwaitChange) };
    let Some(notice) = notifier.waiting.first(key) else { return Ok(Action::AwaitChange) };
    let verdict = notifier.send(&notice).await;
    let refused = if let DeliveryVerdict::Refused(code) = verdict { Some(code) } else { None };
    let settled = notifier.waiting.settle(key, &verdict);
    context.metrics.notice(settled.word);
    context.metrics.waiting(notifier.waiting.len());
    if settled.word == "given_up" {
        let why =
            refused.map_or_else(|| "there was no answer".to_owned(), |code| format!("the answer was {code}"));
        let note = format!("A notice ({}) was given up: {why}", notice.kind);
        if let Some(key) = context.keys.get(&notice.of.namespace, &notice.of.name) {
            context.reporter.warn(&key.object_ref(&()), "NoticeGivenUp", "Notify", &note).await;
        }
    }
    Ok(settled.again.map_or(Action::AwaitChange, Action::RequeueAfter))
}
