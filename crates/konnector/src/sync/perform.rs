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

use self::{copy::CopyWriter, origin::OriginWriter};
use super::{
    agenda::{SyncAgenda, what},
    key::ObjectKey,
    latency::CopyLatency,
    plan::{EngineMode, SyncStep},
    report::{SyncReporter, SyncTrouble},
};
use crate::metrics::KonnectorMetrics;

/// Limit for one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// More steps in a row than any object needs: finalizer, create, annotate, status, and some spare.
const MAX_STEPS: usize = 12;

/// Reasons why a step failed.
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

/// Works on one object at a time.
pub(super) struct SyncWorker {
    agenda: Arc<SyncAgenda>,
    copies: CopyWriter,
    origins: OriginWriter,
    reporter: SyncReporter,
    latency: Arc<CopyLatency>,
    metrics: KonnectorMetrics,
}

impl SyncWorker {
    pub(super) fn new(
        agenda: &Arc<SyncAgenda>,
        reporter: SyncReporter,
        latency: &Arc<CopyLatency>,
        metrics: KonnectorMetrics,
    ) -> Self {
        Self {
            agenda: Arc::clone(agenda),
            copies: CopyWriter { agenda: Arc::clone(agenda) },
            origins: OriginWriter { agenda: Arc::clone(agenda) },
            reporter,
            latency: Arc::clone(latency),
            metrics,
        }
    }

    /// Takes steps until there is nothing to do, or something else has to happen first.
    pub(super) async fn reconcile(self: Arc<Self>, key: ObjectKey) -> Result<Action, SyncError> {
        for _ in 0..MAX_STEPS {
            let (step, written, wait) = {
                let mut index = self.agenda.index.lock();
                let (step, wait) = self.agenda.next(&index, &key);
                if step == SyncStep::Nothing {
                    self.latency.rests(&key);
                    index.drop_all_bodies(&key);
                }
                let written = what(&step, index.sides(&key));
                (step, written, wait)
            };
            // Where many wait, a copy for each comes before its place is recorded.
            if step == SyncStep::Annotate && self.agenda.queue.depth() > 0 {
                self.agenda.index.lock().drop_all_bodies(&key);
                return Ok(Action::RequeueLast);
            }
            let Some(action) = action(&step) else { return Ok(self.rest(&step, &key, wait).await) };
            let contest = self.reporter.contest(&step, &key, written).await;
            match timeout(REQUEST_LIMIT, self.take(&step, &key)).await {
                Ok(Ok(())) => {
                    let told = contest.is_some();
                    self.agenda.pace.lock().wrote((&key, step.label()), written, told, Instant::now());
                    self.latency.took(&key, &step, Instant::now());
                    self.went_well(&step, &key);
                    if let Some(note) = contest {
                        self.reporter.report(&key, "Contested", &note).await;
                    }
                }
                outcome => {
                    let trouble = outcome.map_or(SyncTrouble::TimedOut, |answer| match answer {
                        Ok(()) => SyncTrouble::TimedOut,
                        Err(error) => SyncTrouble::Answer(error),
                    });
                    return self.failed(&step, &key, (action, written), trouble).await;
                }
            }
        }
        Ok(Action::RequeueAfter(AFTER_CONFLICT))
    }

    /// Nothing is to be done now.
    async fn rest(&self, step: &SyncStep, key: &ObjectKey, wait: Option<Duration>) -> Action {
        match step {
            SyncStep::Conflict => self.reporter.report_conflict(key).await,
            SyncStep::AwaitEarlier => self.reporter.report_earlier(key).await,
            SyncStep::AwaitNamespace => return Action::RequeueAfter(self.reporter.report_waiting(key).await),
            _ => self.agenda.health.note_rest(key),
        }
        wait.map_or(Action::AwaitChange, Action::RequeueAfter)
    }

    fn went_well(&self, step: &SyncStep, key: &ObjectKey) {
        self.metrics.step(step.label());
        self.reporter.heard(step, key, None);
        match step {
            // In a namespace that is terminating, existing objects may still be changed.
            SyncStep::CreateCopy => self.agenda.told.lock().namespace_works(&key.namespace),
            SyncStep::UpdateCopy => self.agenda.told.lock().forget(key),
            _ => {}
        }
    }

    async fn failed(
        &self,
        step: &SyncStep,
        key: &ObjectKey,
        (action, written): (&'static str, Digest),
        trouble: SyncTrouble,
    ) -> Result<Action, SyncError> {
        if let SyncTrouble::Answer(error) = &trouble {
            self.reporter.heard(step, key, Some(error));
        }
        let cause = (trouble.code(), trouble.tolerated());
        let failed = self.agenda.pace.lock().failed((key, step.label()), written, cause, Instant::now());
        if failed.tell {
            self.reporter.report_failure(step, key, (action, failed.in_a_row), &trouble).await;
        }
        let key = key.clone();
        match trouble {
            SyncTrouble::Answer(WriteError::Conflict(_)) => {
                Ok(Action::RequeueAfter(failed.pause.max(AFTER_CONFLICT)))
            }
            SyncTrouble::Answer(source) => Err(SyncError::Write { action, key, source }),
            SyncTrouble::TimedOut => Err(SyncError::TimedOut { action, key }),
        }
    }

    async fn take(&self, step: &SyncStep, key: &ObjectKey) -> Result<(), WriteError> {
        match step {
            SyncStep::RequestNamespace => {
                self.agenda.places.spec.session.namespaces.request(&key.namespace).await
            }
            SyncStep::AddFinalizer | SyncStep::Annotate => self.origins.mark_origin(key).await,
            SyncStep::CreateCopy => self.copies.create_copy(key).await,
            SyncStep::UpdateCopy => self.copies.update_copy(key).await,
            SyncStep::WriteStatus => self.origins.write_status(key).await,
            SyncStep::DeleteCopy => self.copies.delete_copy(key).await,
            SyncStep::Release => self.release(key).await,
            SyncStep::Nothing
            | SyncStep::Wait
            | SyncStep::AwaitNamespace
            | SyncStep::Conflict
            | SyncStep::AwaitEarlier => Ok(()),
        }
    }

    /// Removes the finalizer, unless there is a copy that nobody has seen yet.
    async fn release(&self, key: &ObjectKey) -> Result<(), WriteError> {
        if self.agenda.mode != EngineMode::Withdraw && self.copies.finds_unseen_copy(key).await? {
            return Ok(());
        }
        self.origins.release(key).await
    }
}

/// The action of a step, for people; `None` where there is none.
const fn action(step: &SyncStep) -> Option<&'static str> {
    Some(match step {
        SyncStep::Nothing
        | SyncStep::Wait
        | SyncStep::AwaitNamespace
        | SyncStep::Conflict
        | SyncStep::AwaitEarlier => return None,
        SyncStep::RequestNamespace => "request a namespace for",
        SyncStep::AddFinalizer => "add the finalizer to",
        SyncStep::CreateCopy => "create the copy of",
        SyncStep::UpdateCopy => "update the copy of",
        SyncStep::Annotate => "annotate",
        SyncStep::WriteStatus => "write the status of",
        SyncStep::DeleteCopy => "delete the copy of",
        SyncStep::Release => "remove the finalizer from",
    })
}
