//! Summary of a bundle's bindings: whether all of them can be used. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::ResourceExt as _;
use portolan_core::{
    api::kubebind::{APIServiceBinding, CONDITION_USABLE},
    condition::{self, Condition, ConditionStatus, READY, Severity, Verdict},
};

use super::{BundlePlan, ObservedBundle, lists::listed, owned};

/// The bindings of a bundle that are not ready, with what they say.
#[derive(Debug, Default)]
pub(super) struct NotReady {
    bound: usize,
    /// Severity and reason, by name.
    waiting: BTreeMap<String, (Severity, String)>,
}

impl NotReady {
    /// Of existing bindings, and of those that are about to be created.
    pub(super) fn of<'a>(
        there: impl Iterator<Item = &'a APIServiceBinding>,
        made: &[APIServiceBinding],
    ) -> Self {
        let mut found = Self::default();
        for binding in there.filter(|binding| binding.metadata.deletion_timestamp.is_none()) {
            found.bound += 1;
            let conditions = binding.status.as_ref().map(|status| status.conditions.as_slice());
            let ready = condition::find(conditions.unwrap_or_default(), READY);
            match ready {
                Some(ready) if ready.status == ConditionStatus::True => {}
                Some(ready) => found.waits(binding, severity(ready), &ready.reason),
                None => found.waits(binding, Severity::Info, "Pending"),
            }
        }
        for binding in made {
            found.bound += 1;
            found.waits(binding, Severity::Info, "Pending");
        }
        found
    }

    fn waits(&mut self, binding: &APIServiceBinding, severity: Severity, reason: &str) {
        self.waiting.insert(binding.name_any(), (severity, reason.to_owned()));
    }

    /// Number of bindings, and of those that are ready.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.bound, self.bound - self.waiting.len())
    }

    /// `others` are the conditions of the bundle. Where one of them does not hold, it is the cause: this one gives
    /// way to it in the summary.
    pub(super) fn verdict(&self, others: &[Condition]) -> Verdict {
        let Some(worst) = self.waiting.values().map(|(severity, _)| *severity).min() else {
            return Verdict::holds();
        };
        let names: Vec<_> = self.waiting.keys().cloned().collect();
        let reasons: BTreeSet<_> =
            self.waiting.values().map(|(_, reason)| reason.as_str()).filter(|r| !r.is_empty()).collect();
        let reasons: Vec<_> = reasons.into_iter().map(str::to_owned).collect();
        let why = if reasons.is_empty() { String::new() } else { format!(" ({})", listed(&reasons)) };
        let message = format!(
            "{} of {} are not ready: {}{why}. See: kubectl get apiservicebindings",
            names.len(),
            self.bound,
            listed(&names),
        );
        let is_cause = |c: &&Condition| c.r#type != READY && c.r#type != CONDITION_USABLE;
        let caused = others.iter().filter(is_cause).any(|c| c.status == ConditionStatus::False);
        let severity = if caused { Severity::Info } else { worst };
        Verdict { severity, ..Verdict::warning("BindingsNotReady", message) }
    }
}

fn severity(ready: &Condition) -> Severity {
    match (ready.status, ready.severity) {
        (ConditionStatus::False, Severity::None) => Severity::Error,
        (ConditionStatus::False, severity) => severity,
        (ConditionStatus::Unknown | ConditionStatus::True, _) => Severity::Info,
    }
}

/// Sets the summary, which is known whatever the provider answers.
pub(super) fn say(observed: &ObservedBundle, plan: &mut BundlePlan, now: Timestamp) {
    let found = NotReady::of(owned(observed).map(|binding| &**binding), &plan.create);
    let (bound, ready) = found.counts();
    plan.status.bound = i32::try_from(bound).ok();
    plan.status.ready = i32::try_from(ready).ok();
    plan.status.not_ready = i32::try_from(bound - ready).ok();
    let verdict = found.verdict(&plan.status.conditions);
    condition::set(&mut plan.status.conditions, CONDITION_USABLE, verdict, now);
    condition::summarize(&mut plan.status.conditions, now);
}
