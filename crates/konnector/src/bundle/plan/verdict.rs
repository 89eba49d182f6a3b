//! Verdicts of the condition `Synced` where it does not hold. Pure.

use kube::ResourceExt as _;
use portolan_core::{
    api::kubebind::{APIServiceBinding, CONDITION_CONNECTED},
    condition::{self, Verdict},
};

use super::{ExportOffer, taking::Refusal};
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

pub(super) fn not_taken(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Never(why) => format!("The consumer cannot bind this export: {why}."),
        Refusal::NotAccepted => "The consumer does not accept exports of this API group.".to_owned(),
        Refusal::Unclear => "The consumer's list of accepted API groups cannot be read.".to_owned(),
    }
}

/// The reason where bindings could not be created or deleted, or are somebody else's.
pub(super) const SYNC_ERRORS: &str = "SyncErrors";

pub(super) fn conflict(conflicts: &[String]) -> Verdict {
    let (count, list) = (conflicts.len(), conflicts.join("; "));
    Verdict::warning(SYNC_ERRORS, format!("Failed to sync some APIServiceBindings: {count} error(s): {list}"))
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
