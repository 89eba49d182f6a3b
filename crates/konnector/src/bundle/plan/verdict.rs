//! Verdicts of the condition `Synced` where it does not hold. Pure.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use portolan_core::{
    api::kubebind::{APIServiceBinding, CONDITION_CONNECTED},
    condition::{self, Condition, Verdict},
};

use super::{ExportOffer, taking::ExportRefusal};
use crate::{binding::FOREIGN_CRD, policy, provider::PROVIDER_SUSPECT};

pub(super) fn suspect(suspects: &[String], offer: &ExportOffer) -> Verdict {
    let (list, seconds) = (suspects.join(", "), offer.grace.as_secs());
    let cause = match &offer.doubt {
        Some(doubt) => {
            let why = doubt.why.text();
            format!(
                "The contract namespace on the provider {why}, so perhaps these APIServiceExports were not withdrawn:"
            )
        }
        None => "The provider no longer lists these APIServiceExports, and their deletion was not seen:"
            .to_owned(),
    };
    let message = format!("{cause} {list}. They stay bound unless they are missing for {seconds} s.");
    Verdict::warning(PROVIDER_SUSPECT, message)
}

pub(super) fn refused(why: &str) -> Verdict {
    let message = format!(
        "The provider no longer lets the konnector see its APIServiceExports, and existing bindings stay: {why}"
    );
    Verdict::warning(PROVIDER_SUSPECT, message)
}

/// The message for the provider about an export that is not bound. Names of other bundles are not its business.
pub(super) const NAME_TAKEN: &str = "The consumer has an APIServiceBinding of this name for something else.";

pub(super) fn not_taken(refusal: &ExportRefusal) -> String {
    match refusal {
        ExportRefusal::Never(why) => format!("The consumer cannot bind this export: {why}."),
        ExportRefusal::NotAccepted => "The consumer does not accept exports of this API group.".to_owned(),
        ExportRefusal::Unclear => "The consumer's list of accepted API groups cannot be read.".to_owned(),
    }
}

/// The reason where bindings could not be created or deleted, or are somebody else's.
pub(super) const SYNC_ERRORS: &str = "SyncErrors";

pub(super) fn conflict(conflicts: &[String]) -> Verdict {
    Verdict::warning(SYNC_ERRORS, format!("{}{}", opening(conflicts.len()), conflicts.join("; ")))
}

fn opening(count: usize) -> String {
    format!("Failed to sync some APIServiceBindings: {count} error(s): ")
}

/// Stands between bindings that could not be created or deleted and what else is the matter.
const BESIDES: &str = ". Besides: ";
/// Time for which a text stands while nothing but the causes in it changes.
const STANDS: SignedDuration = SignedDuration::from_mins(1);

/// Bindings that could not be created or deleted, beside what else is the matter. `said` is what the status says.
///
/// A cause may read differently each time, and to write it would bring the next try at once.
pub(super) fn failed(
    failures: &[String],
    beside: Option<String>,
    said: Option<&Condition>,
    now: Timestamp,
) -> Verdict {
    if let Some(said) = said.filter(|said| stands(said, failures, beside.as_deref(), now)) {
        return condition::verdict_of(said);
    }
    let mut verdict = conflict(failures);
    if let Some(beside) = beside {
        verdict.message = format!("{}{BESIDES}{beside}", verdict.message);
    }
    verdict
}

/// Returns `true` if the same was said not long ago: the same action failed for the same bindings, whatever the causes.
fn stands(said: &Condition, failures: &[String], beside: Option<&str>, now: Timestamp) -> bool {
    let (list, besides) = match said.message.split_once(BESIDES) {
        Some((list, besides)) => (list, Some(besides)),
        None => (said.message.as_str(), None),
    };
    let is_told = |failure: &String| {
        failure.split_once(": ").is_some_and(|(action, _)| list.contains(&format!("{action}: ")))
    };
    now.duration_since(said.last_transition_time.0).abs() < STANDS
        && besides == beside
        && list.starts_with(&opening(failures.len()))
        && failures.iter().all(is_told)
}

pub(super) fn describe_conflict(existing: &APIServiceBinding) -> String {
    let owner = match policy::bundle_of(existing) {
        Some(bundle) => format!("belongs to bundle {bundle}"),
        None => "was not made by a bundle".to_owned(),
    };
    format!("APIServiceBinding {} exists and {owner}", existing.name_any())
}

/// The message of a binding about a CRD that is somebody else's.
pub(super) fn foreign_crd(binding: &APIServiceBinding) -> Option<String> {
    let connected = condition::find(&binding.status.as_ref()?.conditions, CONDITION_CONNECTED)?;
    (connected.reason == FOREIGN_CRD).then(|| connected.message.trim_end_matches('.').to_owned())
}
