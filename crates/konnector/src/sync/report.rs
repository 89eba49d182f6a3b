//! What people hear of objects that could not be synced, as Events and as what the binding says.

use k8s_openapi::api::core::v1::ObjectReference;
use portolan_core::{api::kubebind::ANNOTATION_PROVIDER_UID, digest::Digest};
use portolan_runtime::{
    apply::{WriteError, code},
    telemetry::brief,
};
use tokio::time::Instant;

use super::{
    contested::{contested, status_writers},
    engine::Engine,
    key::ObjectKey,
    owned::comparable,
    plan::Step,
};

/// After how many failures in a row people hear of one that may end by itself.
const PATIENCE: u32 = 3;
/// The same of lost races, which are part of a busy life.
const PATIENCE_WITH_RACES: u32 = 10;

/// Why a step was not taken.
pub(super) enum Trouble {
    Answer(WriteError),
    TimedOut,
}

impl Trouble {
    /// The code of the answer, 0 where there was none.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Answer(error) => code(error.cause()),
            Self::TimedOut => 0,
        }
    }

    /// At which failure in a row people hear of it.
    pub(super) fn patience(&self) -> u32 {
        match self {
            Self::Answer(error @ (WriteError::Forbidden(_) | WriteError::Invalid(_)))
                if !lacks_any_right(error) =>
            {
                1
            }
            Self::Answer(WriteError::Conflict(kube::Error::Api(status))) if status.code != 404 => {
                PATIENCE_WITH_RACES
            }
            Self::Answer(_) | Self::TimedOut => PATIENCE,
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Answer(error) => match error.cause() {
                cause @ kube::Error::Api(status) => format!("{} ({})", brief(cause), status.code),
                cause => brief(cause),
            },
            Self::TimedOut => "there was no answer in time".to_owned(),
        }
    }

    /// Whether all objects of the namespace have it.
    fn is_of_namespace(&self, step: &Step) -> bool {
        let on_provider = matches!(step, Step::CreateCopy | Step::UpdateCopy | Step::DeleteCopy);
        match self {
            _ if *step == Step::RequestNamespace => true,
            Self::Answer(error) if on_provider => {
                is_being_ended(error) || lacks_any_right(error) || self.code() == 404
            }
            Self::Answer(_) | Self::TimedOut => false,
        }
    }
}

impl Engine {
    pub(super) async fn report_conflict(&self, key: &ObjectKey) {
        let Some((about, copy, marked)) = self.stranger(key) else { return };
        if !self.told.lock().is_news(key, "ForeignObject", &about, Instant::now()) {
            return;
        }
        let note = format!(
            "An object of name {} exists{} on the provider and is not the copy of this one. It is left as it is.{}",
            self.copy_name(key),
            self.place(key),
            marked.map(|uid| how_to_adopt(&uid, &copy)).unwrap_or_default()
        );
        self.report(key, "ForeignObject", &note).await;
    }

    /// The uids of both sides, that of what stands in the way of a copy, and the one that its marks name.
    fn stranger(&self, key: &ObjectKey) -> Option<(String, String, Option<String>)> {
        let index = self.index.lock();
        let sides = index.sides(key);
        let (origin, copy) = (sides.origin?, sides.copy?);
        let marked = copy.evidence.annotated_for().map(str::to_owned);
        Some((format!("{} {}", origin.uid, copy.uid), copy.uid.clone(), marked))
    }

    /// The copy of an earlier object is being deleted, and something holds it.
    pub(super) async fn report_earlier(&self, key: &ObjectKey) {
        let Some((about, earlier)) = self.earlier(key) else { return };
        if !self.told.lock().is_news(key, "EarlierObject", &about, Instant::now()) {
            return;
        }
        let note = format!(
            "The copy {}{} on the provider belongs to an earlier object of this name{earlier}, and is being deleted. This \
             one is copied when it is gone. If it stays, see on the provider which finalizers hold it.",
            self.copy_name(key),
            self.place(key)
        );
        self.report(key, "EarlierObject", &note).await;
    }

    /// The uids of both sides where the copy does not say what this object says, but what an earlier one said, and which.
    fn earlier(&self, key: &ObjectKey) -> Option<(String, String)> {
        let index = self.index.lock();
        let sides = index.sides(key);
        let (origin, copy) = (sides.origin?, sides.ours()?);
        let earlier = copy.written_for().map(|uid| format!(" (uid {uid})")).unwrap_or_default();
        (!copy.is_for(origin)).then(|| (format!("{} {}", origin.uid, copy.uid), earlier))
    }

    pub(super) async fn report_failure(
        &self,
        step: &Step,
        key: &ObjectKey,
        (action, in_a_row): (&str, u32),
        trouble: &Trouble,
    ) {
        let why = trouble.why();
        if trouble.is_of_namespace(step) && !key.namespace.is_empty() {
            if self.told.lock().is_news_of_namespace(&key.namespace, Instant::now()) {
                let note = format!(
                    "The objects of namespace {} wait for their place{} on the provider, this one among them: {why}. They \
                     are tried again, more and more seldom.",
                    key.namespace,
                    self.place(key)
                );
                self.report(key, "NamespaceUnavailable", &note).await;
            }
            return;
        }
        let note = format!("Could not {action} this object: {why}.{}", tries(in_a_row));
        self.report(key, "SyncFailed", &note).await;
        if let (Step::UpdateCopy, Some((_, earlier))) = (step, self.earlier(key)) {
            let note = format!(
                "The copy {}{} on the provider belongs to an earlier object of this name{earlier} and could not be made \
                 that of this one. Its status is not shown here. Change this object so that the provider takes it, or \
                 delete the copy on the provider to begin anew.",
                self.copy_name(key),
                self.place(key)
            );
            self.report(key, "EarlierObject", &note).await;
        }
    }

    /// What people are to hear where a step undoes once more what somebody else does.
    pub(super) async fn contest(&self, step: &Step, key: &ObjectKey, written: Digest) -> Option<String> {
        let again = self.pace.lock().contested(key, step.label(), written, Instant::now())?;
        let what = match step {
            Step::UpdateCopy => {
                let live = self.provider(key).get_opt(&self.copy_name(key)).await.ok()??;
                let body = self.index.lock().body(key);
                let body = if let Some(body) = body {
                    body
                } else {
                    let origin = self.consumer(key).get_opt(&key.name).await.ok()??;
                    self.index.lock().desired(&origin).into()
                };
                contested(&live, &comparable(&body))?
            }
            Step::WriteStatus => {
                let live = self.consumer(key).get_opt(&key.name).await.ok()??;
                format!("Field status of this object: also written by {}", status_writers(&live))
            }
            Step::CreateCopy => "The copy is deleted by somebody on the provider".to_owned(),
            Step::AddFinalizer | Step::Annotate => {
                "The finalizer or an annotation of the konnector is taken off this object by somebody"
                    .to_owned()
            }
            _ => return None,
        };
        Some(format!(
            "{what}. What the konnector has to say was written {again} times more, and now more and more seldom. Let only \
             one of both write it."
        ))
    }

    /// Where the copy stands, for people.
    fn place(&self, key: &ObjectKey) -> String {
        let namespace = self.provider_namespace(key);
        if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") }
    }

    /// Notes whether the consumer's API server lets us write.
    pub(super) fn heard(&self, step: &Step, key: &ObjectKey, error: Option<&WriteError>) {
        let Some(right) = step.consumer_right() else { return };
        match error {
            None => self.note_right(right, key, true),
            Some(error) if lacks_right(error) => self.note_right(right, key, false),
            Some(_) => {}
        }
    }

    pub(super) async fn report(&self, key: &ObjectKey, reason: &str, note: &str) {
        let uid = self.index.lock().sides(key).origin.map(|origin| origin.uid.clone());
        let reference = ObjectReference {
            api_version: Some(self.spec.resource.api_version.clone()),
            kind: Some(self.spec.resource.kind.clone()),
            name: Some(key.name.clone()),
            namespace: (!key.namespace.is_empty()).then(|| key.namespace.clone()),
            uid,
            ..Default::default()
        };
        self.context.metrics.problem(reason);
        self.context.reporter.warn(&reference, reason, "Sync", note).await;
    }
}

/// What to do about an object with the marks of a copy, which were set by somebody else.
fn how_to_adopt(earlier: &str, copy: &str) -> String {
    format!(
        " Its annotations are those of the copy of an earlier object of this name (uid {earlier}), but the konnector has not \
         set them. If it shall be the copy of this one, annotate this one {ANNOTATION_PROVIDER_UID}={copy}; else delete it."
    )
}

/// How often it was tried, for people.
pub(crate) fn tries(in_a_row: u32) -> String {
    match in_a_row {
        0 | 1 => String::new(),
        more => format!(" That was try {more}; it is tried again, more and more seldom."),
    }
}

/// Whether the right to write to objects is missing. Admission, quotas and namespaces that go answer with the same code.
fn lacks_right(error: &WriteError) -> bool {
    forbidden_as(error, "cannot patch resource")
}

fn lacks_any_right(error: &WriteError) -> bool {
    ["create", "patch", "delete", "get"]
        .iter()
        .any(|verb| forbidden_as(error, &format!("cannot {verb} resource")))
}

fn is_being_ended(error: &WriteError) -> bool {
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

    fn answer(code: u16, message: &str) -> Trouble {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        Trouble::Answer(WriteError::from(kube::Error::Api(Box::new(status))))
    }

    #[test]
    fn refusals_are_told_at_once_and_what_may_end_by_itself_at_the_third_try() {
        for (trouble, patience) in [
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
            (Trouble::TimedOut, 3),
        ] {
            assert_eq!(trouble.patience(), patience, "{}", trouble.why());
        }
    }

    #[test]
    fn what_a_whole_namespace_has_is_not_told_of_each_object() {
        let ends = "forbidden: unable to create new content in namespace y because it is being terminated";
        for (step, trouble, expected) in [
            (Step::CreateCopy, answer(403, ends), true),
            (Step::UpdateCopy, answer(404, "not found"), true),
            (Step::CreateCopy, answer(403, "cannot create resource \"cowboys\" in the namespace"), true),
            (Step::CreateCopy, answer(403, "admission webhook denied the request"), false),
            (Step::CreateCopy, answer(500, "etcd"), false),
            (Step::CreateCopy, Trouble::TimedOut, false),
            (Step::WriteStatus, answer(403, "cannot patch resource \"cowboys/status\""), false),
            (Step::RequestNamespace, answer(500, "etcd"), true),
        ] {
            assert_eq!(trouble.is_of_namespace(&step), expected, "{step:?} {}", trouble.why());
        }
    }

    #[test]
    fn a_long_answer_is_cut() {
        let why = answer(413, &"x".repeat(100_000)).why();
        assert!(why.len() < 1000 && why.ends_with("(413)"), "{}", why.len());
    }
}
