//! Warnings for people, as Events: each once, until what it says changes.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::ObjectReference;
use parking_lot::Mutex;
use portolan_runtime::{
    controller::{ReconcileError, ReconcileFailure as _},
    events::EventReporter,
    telemetry::ErrorChain,
};
use tracing::warn;

/// Failures in a row from which on they are told: fewer are over before anybody could look.
const TOLD_FROM: u32 = 3;

/// The warnings that stand, by object.
pub struct Notices {
    reporter: EventReporter,
    standing: Mutex<HashMap<String, Standing>>,
}

/// The notices about an object so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Standing {
    /// The object that it was: another one of the same name is told again.
    uid: Option<String>,
    said: String,
    failures: u32,
}

impl Standing {
    /// Records a warning. Returns `true` if it is news.
    fn say(&mut self, on: &ObjectReference, said: String) -> bool {
        let is_news = self.said != said || self.uid != on.uid;
        (self.said, self.uid) = (said, on.uid.clone());
        is_news
    }

    /// Records a failure. Returns `true` if it lasts.
    fn fail(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.failures >= TOLD_FROM
    }

    /// Records that work went through: the next failure is the first one in a row.
    const fn work(&mut self) {
        self.failures = 0;
    }
}

impl Notices {
    pub fn new(reporter: EventReporter) -> Self {
        Self { reporter, standing: Mutex::default() }
    }

    /// Warns, unless the last Event about the object was the same.
    pub async fn warn(&self, on: &ObjectReference, reason: &str, note: &str) {
        let said = format!("{reason}: {note}");
        if !self.standing.lock().entry(key(on)).or_default().say(on, said) {
            return;
        }
        warn!(object = key(on), reason, "{note}");
        self.reporter.warn(on, reason, "Reconcile", note).await;
    }

    /// Warns of work on the object that fails time and again.
    pub async fn failed(&self, on: &ObjectReference, reason: &str, error: &ReconcileError) {
        if !error.is_conflict() {
            self.lasts(on, reason, &format!("It cannot be done: {}", ErrorChain(error))).await;
        }
    }

    /// Warns of what is no trouble unless it comes up time and again.
    pub async fn lasts(&self, on: &ObjectReference, reason: &str, note: &str) {
        if self.standing.lock().entry(key(on)).or_default().fail() {
            self.warn(on, reason, note).await;
        }
    }

    /// Work on the object went through. What was said of it stands.
    pub fn worked(&self, on: &ObjectReference) {
        if let Some(known) = self.standing.lock().get_mut(&key(on)) {
            known.work();
        }
    }

    /// All is well with the object, or it is gone: the next trouble is news.
    pub fn clear(&self, on: &ObjectReference) {
        self.standing.lock().remove(&key(on));
    }
}

fn key(on: &ObjectReference) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{} {}/{}", text(&on.kind), text(&on.namespace), text(&on.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_news_once_for_each_object_and_text() {
        let of = |uid: &str| ObjectReference { uid: Some(uid.to_owned()), ..ObjectReference::default() };
        let mut standing = Standing::default();
        for (uid, said, is_news) in
            [("a", "x", true), ("a", "x", false), ("a", "y", true), ("b", "y", true), ("b", "y", false)]
        {
            assert_eq!(standing.say(&of(uid), said.to_owned()), is_news, "{uid} {said}");
        }
    }

    #[test]
    fn failures_are_told_from_the_third_in_a_row() {
        let (mut standing, on) = (Standing::default(), ObjectReference::default());
        assert!(standing.say(&on, "x".to_owned()));
        // Between two of these, work goes through.
        let rows: [&[bool]; 4] =
            [&[false, false], &[false], &[false, false, true, true], &[false, false, true]];
        for told in rows {
            let seen: Vec<_> = told.iter().map(|_| standing.fail()).collect();
            assert_eq!(seen, told);
            standing.work();
        }
        assert!(!standing.say(&on, "x".to_owned()), "what was said stands");
    }
}
