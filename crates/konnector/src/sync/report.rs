//! Events about objects that could not be synced, and the message of the binding about them.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use portolan_core::{api::kubebind::ANNOTATION_PROVIDER_UID, digest::Digest};
use portolan_runtime::{
    apply::{WriteError, code},
    events::EventReporter,
    telemetry::brief,
};
use tokio::time::Instant;

use super::{
    agenda::SyncAgenda,
    contested::{contested, status_writers},
    key::ObjectKey,
    owned::comparable,
    plan::SyncStep,
    told::AGAIN,
};
use crate::metrics::KonnectorMetrics;

/// Number of failures in a row after which people hear of one that may pass by itself.
const TOLERATED: u32 = 3;
/// The same for conflicts, which busy objects always have.
const TOLERATED_CONFLICTS: u32 = 10;

/// Reasons why a step was not taken.
pub(super) enum SyncTrouble {
    Answer(WriteError),
    TimedOut,
}

impl SyncTrouble {
    /// The code of the answer, 0 where there was none.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Answer(error) => code(error.cause()),
            Self::TimedOut => 0,
        }
    }

    /// Number of failures in a row after which people hear of it.
    pub(super) fn tolerated(&self) -> u32 {
        match self {
            Self::Answer(error @ (WriteError::Forbidden(_) | WriteError::Invalid(_)))
                if !lacks_any_right(error) =>
            {
                1
            }
            Self::Answer(WriteError::Conflict(kube::Error::Api(status))) if status.code != 404 => {
                TOLERATED_CONFLICTS
            }
            Self::Answer(_) | Self::TimedOut => TOLERATED,
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Answer(error) => match error.cause() {
                cause @ kube::Error::Api(status) => format!("{} ({})", brief(cause), status.code),
                cause => brief(cause),
            },
            Self::TimedOut => "no answer in time".to_owned(),
        }
    }

    /// Returns `true` if all objects of the namespace have the trouble.
    fn is_of_namespace(&self, step: &SyncStep) -> bool {
        let on_provider = matches!(step, SyncStep::CreateCopy | SyncStep::UpdateCopy | SyncStep::DeleteCopy);
        match self {
            _ if *step == SyncStep::RequestNamespace => true,
            Self::Answer(error) if on_provider => {
                is_in_terminating_namespace(error) || lacks_any_right(error) || self.code() == 404
            }
            Self::Answer(_) | Self::TimedOut => false,
        }
    }
}

/// Speaks to the owners of objects.
pub(super) struct SyncReporter {
    pub(super) agenda: Arc<SyncAgenda>,
    pub(super) metrics: KonnectorMetrics,
    pub(super) events: EventReporter,
}

impl SyncReporter {
    pub(super) async fn report_conflict(&self, key: &ObjectKey) {
        let Some((about, copy, marked)) = self.stranger(key) else { return };
        if !self.agenda.told.lock().is_news(key, "ForeignObject", &about, Instant::now()) {
            return;
        }
        let note = format!(
            "An object of name {} exists{} on the provider and is not the copy of this one. It is left as it is.{}",
            self.agenda.places.copy_name(key),
            self.agenda.places.told(key),
            marked.map(|uid| how_to_adopt(&uid, &copy)).unwrap_or_default()
        );
        self.report(key, "ForeignObject", &note).await;
    }

    /// The uids of both sides, that of what stands in the way of a copy, and the one that its marks name.
    fn stranger(&self, key: &ObjectKey) -> Option<(String, String, Option<String>)> {
        let index = self.agenda.index.lock();
        let sides = index.sides(key);
        let (origin, copy) = (sides.origin?, sides.copy?);
        let marked = copy.evidence.annotated_for().map(str::to_owned);
        Some((format!("{} {}", origin.uid, copy.uid), copy.uid.clone(), marked))
    }

    /// Reports that the copy of an earlier object is terminating, and that something holds it.
    pub(super) async fn report_earlier(&self, key: &ObjectKey) {
        let Some((about, earlier)) = self.earlier(key) else { return };
        if !self.agenda.told.lock().is_news(key, "EarlierObject", &about, Instant::now()) {
            return;
        }
        let note = format!(
            "The copy {}{} on the provider belongs to an earlier object of this name{earlier}, and is terminating. \
             This one is copied once that is deleted. If it stays, see on the provider which finalizers hold it.",
            self.agenda.places.copy_name(key),
            self.agenda.places.told(key)
        );
        self.report(key, "EarlierObject", &note).await;
    }

    /// The uids of both sides where the copy does not say what this object says, but what an earlier one said, and
    /// which.
    fn earlier(&self, key: &ObjectKey) -> Option<(String, String)> {
        let index = self.agenda.index.lock();
        let sides = index.sides(key);
        let (origin, copy) = (sides.origin?, sides.ours()?);
        let earlier = copy.written_for().map(|uid| format!(" (uid {uid})")).unwrap_or_default();
        (!copy.is_for(origin)).then(|| (format!("{} {}", origin.uid, copy.uid), earlier))
    }

    /// Reports that the provider has not answered for a namespace when it should have. Gives when to look again.
    pub(super) async fn report_waiting(&self, key: &ObjectKey) -> Duration {
        let session = &self.agenda.places.spec.session;
        if let Some(left) = session.namespaces.due_in(&key.namespace) {
            return left;
        }
        if self.agenda.told.lock().is_news_of_namespace(&key.namespace, Instant::now()) {
            let note = unanswered(&key.namespace, &session.namespace);
            self.report(key, "NamespaceUnavailable", &note).await;
        }
        AGAIN
    }

    pub(super) async fn report_failure(
        &self,
        step: &SyncStep,
        key: &ObjectKey,
        (action, in_a_row): (&str, u32),
        trouble: &SyncTrouble,
    ) {
        let why = trouble.why();
        if trouble.is_of_namespace(step) && !key.namespace.is_empty() {
            if self.agenda.told.lock().is_news_of_namespace(&key.namespace, Instant::now()) {
                let note = format!(
                    "The objects of namespace {} wait for their place{} on the provider, this one among them: {why}. \
                     The konnector retries with a growing delay.",
                    key.namespace,
                    self.agenda.places.told(key)
                );
                self.report(key, "NamespaceUnavailable", &note).await;
            }
            return;
        }
        let note = format!("Could not {action} this object: {why}.{}", tries(in_a_row));
        self.report(key, "SyncFailed", &note).await;
        if let (SyncStep::UpdateCopy, Some((_, earlier))) = (step, self.earlier(key)) {
            let note = format!(
                "The copy {}{} on the provider belongs to an earlier object of this name{earlier} and could not be \
                 updated for this one. Its status is not shown here. Change this object so that the provider accepts \
                 it, or delete the copy on the provider to start over.",
                self.agenda.places.copy_name(key),
                self.agenda.places.told(key)
            );
            self.report(key, "EarlierObject", &note).await;
        }
    }

    /// The message for people where a step undoes once more what somebody else does.
    pub(super) async fn contest(&self, step: &SyncStep, key: &ObjectKey, written: Digest) -> Option<String> {
        let again = self.agenda.pace.lock().contested(key, step.label(), written, Instant::now())?;
        let what = match step {
            SyncStep::UpdateCopy => {
                let live = self
                    .agenda
                    .places
                    .provider(key)
                    .get_opt(&self.agenda.places.copy_name(key))
                    .await
                    .ok()??;
                let body = self.agenda.index.lock().body(key);
                let body = if let Some(body) = body {
                    body
                } else {
                    let origin = self.agenda.places.consumer(key).get_opt(&key.name).await.ok()??;
                    self.agenda.index.lock().desired(&origin).into()
                };
                contested(&live, &comparable(&body))?
            }
            SyncStep::WriteStatus => {
                let live = self.agenda.places.consumer(key).get_opt(&key.name).await.ok()??;
                format!("Field status of this object: also written by {}", status_writers(&live))
            }
            SyncStep::CreateCopy => "Another client on the provider deletes the copy".to_owned(),
            SyncStep::AddFinalizer | SyncStep::Annotate => {
                "Another client removes the konnector's finalizer or annotation from this object".to_owned()
            }
            _ => return None,
        };
        Some(format!(
            "{what}. The konnector has written its part {again} times more, with a growing delay. Let only one of \
             them write it."
        ))
    }

    /// Notes whether the consumer's API server lets us write.
    pub(super) fn heard(&self, step: &SyncStep, key: &ObjectKey, error: Option<&WriteError>) {
        let Some(right) = step.consumer_right() else { return };
        match error {
            None => self.agenda.health.note_right(right, key, true),
            Some(error) if lacks_right(error) => self.agenda.health.note_right(right, key, false),
            Some(_) => {}
        }
    }

    pub(super) async fn report(&self, key: &ObjectKey, reason: &str, note: &str) {
        let uid = self.agenda.index.lock().sides(key).origin.map(|origin| origin.uid.clone());
        let reference = ObjectReference {
            api_version: Some(self.agenda.places.spec.resource.api_version.clone()),
            kind: Some(self.agenda.places.spec.resource.kind.clone()),
            name: Some(key.name.clone()),
            namespace: (!key.namespace.is_empty()).then(|| key.namespace.clone()),
            uid,
            ..Default::default()
        };
        self.metrics.problem(reason);
        self.events.warn(&reference, reason, "Sync", note).await;
    }
}

/// The remedy for an object with the marks of a copy, which were set by somebody else.
fn how_to_adopt(earlier: &str, copy: &str) -> String {
    format!(
        " Its annotations are those of the copy of an earlier object of this name (uid {earlier}), but the konnector \
         has not set them. If it should be the copy of this one, annotate this one {ANNOTATION_PROVIDER_UID}={copy}; \
         otherwise delete it."
    )
}

/// The reason why the objects of a namespace wait, for people.
fn unanswered(namespace: &str, contract: &str) -> String {
    format!(
        "The objects of namespace {namespace} wait for their place on the provider, this one among them: the provider \
         has not answered APIServiceNamespace {namespace} in its namespace {contract}. The konnector waits for it."
    )
}

/// The number of tries, for people.
pub fn tries(in_a_row: u32) -> String {
    match in_a_row {
        0 | 1 => String::new(),
        more => format!(" That was try {more}; the konnector retries with a growing delay."),
    }
}

/// Returns `true` if the right to write to objects is missing. Admission, quotas and terminating namespaces answer
/// with the same code.
fn lacks_right(error: &WriteError) -> bool {
    forbidden_as(error, "cannot patch resource")
}

fn lacks_any_right(error: &WriteError) -> bool {
    ["create", "patch", "delete", "get"]
        .iter()
        .any(|verb| forbidden_as(error, &format!("cannot {verb} resource")))
}

fn is_in_terminating_namespace(error: &WriteError) -> bool {
    forbidden_as(error, "being terminated")
}

fn forbidden_as(error: &WriteError, words: &str) -> bool {
    let WriteError::Forbidden(kube::Error::Api(status)) = error else { return false };
    status.message.contains(words)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, message: &str) -> SyncTrouble {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        SyncTrouble::Answer(WriteError::from(kube::Error::Api(Box::new(status))))
    }

    #[test]
    fn refusals_are_told_at_once_and_what_may_end_by_itself_at_the_third_try() {
        for (trouble, tolerated) in [
            (answer(422, "spec.a: Invalid value"), 1),
            (answer(400, "bad"), 1),
            (answer(403, "admission webhook denied the request"), 1),
            (answer(403, "exceeded quota"), 1),
            (answer(413, "Request entity too large"), 3),
            (answer(429, "too many requests"), 3),
            (answer(500, "failed calling webhook: connection refused"), 3),
            (answer(503, "unavailable"), 3),
            (answer(504, "timeout"), 3),
            (answer(403, "User x cannot create resource \"cowboys\" in the namespace \"y\""), 3),
            (answer(404, "namespaces \"y\" not found"), 3),
            (answer(409, "the object has been modified"), 10),
            (SyncTrouble::TimedOut, 3),
        ] {
            assert_eq!(trouble.tolerated(), tolerated, "{}", trouble.why());
        }
    }

    #[test]
    fn what_a_whole_namespace_has_is_not_told_of_each_object() {
        let ends = "forbidden: unable to create new content in namespace y because it is being terminated";
        for (step, trouble, expected) in [
            (SyncStep::CreateCopy, answer(403, ends), true),
            (SyncStep::UpdateCopy, answer(404, "not found"), true),
            (SyncStep::CreateCopy, answer(403, "cannot create resource \"cowboys\" in the namespace"), true),
            (SyncStep::CreateCopy, answer(403, "admission webhook denied the request"), false),
            (SyncStep::CreateCopy, answer(500, "etcd"), false),
            (SyncStep::CreateCopy, SyncTrouble::TimedOut, false),
            (SyncStep::WriteStatus, answer(403, "cannot patch resource \"cowboys/status\""), false),
            (SyncStep::RequestNamespace, answer(500, "etcd"), true),
        ] {
            assert_eq!(trouble.is_of_namespace(&step), expected, "{step:?} {}", trouble.why());
        }
    }

    #[test]
    fn a_namespace_without_an_answer_is_told_in_one_sentence_without_gaps() {
        let note = unanswered("west", "contract");
        assert!(
            note.contains("the provider has not answered APIServiceNamespace west in its namespace contract")
        );
        assert!(!note.contains("  "), "{note}");
    }

    #[test]
    fn a_long_answer_is_cut() {
        let why = answer(413, &"x".repeat(100_000)).why();
        assert!(why.len() < 1000 && why.ends_with("(413)"), "{}", why.len());
    }
}
