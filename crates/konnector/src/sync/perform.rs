//! Takes the steps that the plan names, one object at a time. Each answer goes into the index.

mod copy;
mod origin;

use std::{sync::Arc, time::Duration};

use portolan_core::digest::Digest;
use portolan_runtime::{
    apply::WriteError,
    controller::{AFTER_CONFLICT, Action, ReconcileFailure},
};
use tokio::time::{Instant, timeout};

use super::{
    engine::{Engine, what},
    key::ObjectKey,
    plan::Step,
    report::Trouble,
};

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
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

impl ReconcileFailure for SyncError {}

impl Engine {
    /// Takes steps until there is nothing to do, or something else has to happen first.
    pub(super) async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Action, SyncError> {
        for _ in 0..MAX_STEPS {
            let (step, written, wait) = {
                let mut index = self.index.lock();
                let (step, wait) = self.next(&index, &key);
                if step == Step::Nothing {
                    self.latency.rests(&key);
                    index.drop_all_bodies(&key);
                }
                let written = what(&step, index.sides(&key));
                (step, written, wait)
            };
            // Where many wait, a copy for each comes before the word on where it is.
            if step == Step::Annotate && self.queue.depth() > 0 {
                self.index.lock().drop_all_bodies(&key);
                return Ok(Action::RequeueLast);
            }
            let Some(action) = action(&step) else { return Ok(self.rest(&step, &key, wait).await) };
            let contest = self.contest(&step, &key, written).await;
            match timeout(REQUEST_LIMIT, self.take(&step, &key)).await {
                Ok(Ok(())) => {
                    let told = contest.is_some();
                    self.pace.lock().wrote((&key, step.label()), written, told, Instant::now());
                    self.latency.took(&key, &step, Instant::now());
                    self.went_well(&step, &key);
                    if let Some(note) = contest {
                        self.report(&key, "Contested", &note).await;
                    }
                }
                outcome => {
                    let trouble = outcome.map_or(Trouble::TimedOut, |answer| match answer {
                        Ok(()) => Trouble::TimedOut,
                        Err(error) => Trouble::Answer(error),
                    });
                    return self.failed(&step, &key, (action, written), trouble).await;
                }
            }
        }
        Ok(Action::RequeueAfter(AFTER_CONFLICT))
    }

    /// Nothing is to be done now.
    async fn rest(&self, step: &Step, key: &ObjectKey, wait: Option<Duration>) -> Action {
        match step {
            Step::Conflict => self.report_conflict(key).await,
            Step::AwaitEarlier => self.report_earlier(key).await,
            _ => self.note_rest(key),
        }
        wait.map_or(Action::AwaitChange, Action::RequeueAfter)
    }

    fn went_well(&self, step: &Step, key: &ObjectKey) {
        self.context.metrics.step(step.label());
        self.heard(step, key, None);
        match step {
            // In a namespace that is being deleted, what is there may still be changed.
            Step::CreateCopy => self.told.lock().namespace_works(&key.namespace),
            Step::UpdateCopy => self.told.lock().forget(key),
            _ => {}
        }
    }

    async fn failed(
        &self,
        step: &Step,
        key: &ObjectKey,
        (action, written): (&'static str, Digest),
        trouble: Trouble,
    ) -> Result<Action, SyncError> {
        if let Trouble::Answer(error) = &trouble {
            self.heard(step, key, Some(error));
        }
        let cause = (trouble.code(), trouble.patience());
        let failed = self.pace.lock().failed((key, step.label()), written, cause, Instant::now());
        if failed.tell {
            self.report_failure(step, key, (action, failed.in_a_row), &trouble).await;
        }
        let key = key.clone();
        match trouble {
            Trouble::Answer(WriteError::Conflict(_)) => {
                Ok(Action::RequeueAfter(failed.pause.max(AFTER_CONFLICT)))
            }
            Trouble::Answer(source) => Err(SyncError::Write { action, key, source }),
            Trouble::TimedOut => Err(SyncError::TimedOut { action, key }),
        }
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
            Step::Nothing | Step::Wait | Step::Conflict | Step::AwaitEarlier => Ok(()),
        }
    }
}

/// What is being done, for people; `None` where nothing is.
const fn action(step: &Step) -> Option<&'static str> {
    Some(match step {
        Step::Nothing | Step::Wait | Step::Conflict | Step::AwaitEarlier => return None,
        Step::RequestNamespace => "request a namespace for",
        Step::AddFinalizer => "put the finalizer on",
        Step::CreateCopy => "create the copy of",
        Step::UpdateCopy => "update the copy of",
        Step::Annotate => "annotate",
        Step::WriteStatus => "write the status of",
        Step::DeleteCopy => "delete the copy of",
        Step::Release => "take the finalizer off",
    })
}
