//! Takes the steps that the plan names, one object at a time. Each answer goes into the index.

mod copy;
mod origin;

use std::{sync::Arc, time::Duration};

use portolan_runtime::{apply::WriteError, controller::Next};
use tokio::time::{Instant, timeout};

use super::{engine::Engine, index::ObjectKey, plan::Step, report::is_refusal};

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// When to look again after a lost race, if no watch event comes first.
const AFTER_RACE: Duration = Duration::from_millis(250);
/// More steps in a row than any object needs: finalizer, create, annotate, status, and some spare.
const MAX_STEPS: usize = 12;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    #[error("failed to {action} {key:?}")]
    Write {
        action: &'static str,
        key: ObjectKey,
        #[source]
        source: WriteError,
    },
    #[error("no answer within {} seconds to {action} {key:?}", REQUEST_LIMIT.as_secs())]
    TimedOut { action: &'static str, key: ObjectKey },
}

impl Engine {
    /// Takes steps until there is nothing to do, or something else has to happen first.
    pub(super) async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Next, SyncError> {
        for _ in 0..MAX_STEPS {
            let step = {
                let mut index = self.index.lock();
                let step = self.step(&index, &key);
                if step == Step::Nothing {
                    self.latency.rests(&key);
                    index.drop_all_bodies(&key);
                }
                step
            };
            // Where many wait, a copy for each comes before the word on where it is.
            if step == Step::Annotate && self.queue.depth() > 0 {
                self.index.lock().drop_all_bodies(&key);
                return Ok(Next::Last);
            }
            let action = match step {
                Step::Nothing | Step::Wait => {
                    self.note_rest(&key);
                    return Ok(Next::OnChange);
                }
                Step::Conflict => {
                    self.report_conflict(&key).await;
                    return Ok(Next::OnChange);
                }
                Step::RequestNamespace => "request a namespace for",
                Step::AddFinalizer => "put the finalizer on",
                Step::CreateCopy => "create the copy of",
                Step::UpdateCopy => "update the copy of",
                Step::Annotate => "annotate",
                Step::WriteStatus => "write the status of",
                Step::DeleteCopy => "delete the copy of",
                Step::Release => "take the finalizer off",
            };
            match timeout(REQUEST_LIMIT, self.take(&step, &key)).await {
                Ok(Ok(())) => {
                    self.context.metrics.step(step.label());
                    self.latency.took(&key, &step, Instant::now());
                    self.heard(&step, &key, None);
                }
                Ok(Err(WriteError::Raced(_))) => return Ok(Next::After(AFTER_RACE)),
                Ok(Err(source)) => {
                    self.heard(&step, &key, Some(&source));
                    match step {
                        Step::UpdateCopy if is_refusal(&source) => self.index.lock().refused(&key),
                        // It must not keep the next try of an update from coming.
                        Step::WriteStatus => self.index.lock().may_try_again(&key),
                        _ => {}
                    }
                    self.report_failure(&key, action, &source).await;
                    return Err(SyncError::Write { action, key, source });
                }
                Err(_) => return Err(SyncError::TimedOut { action, key }),
            }
        }
        Ok(Next::After(AFTER_RACE))
    }

    async fn take(&self, step: &Step, key: &ObjectKey) -> Result<(), WriteError> {
        match step {
            Step::RequestNamespace => self.spec.session.namespaces.request(&key.namespace).await,
            Step::AddFinalizer | Step::Annotate => self.mark_origin(key).await,
            Step::CreateCopy => self.create_copy(key).await,
            Step::UpdateCopy => self.update_copy(key).await,
            Step::WriteStatus => self.write_status(key).await,
            Step::DeleteCopy => self.delete_copy(key).await,
            Step::Release => self.release(key).await,
            Step::Nothing | Step::Wait | Step::Conflict => Ok(()),
        }
    }
}
