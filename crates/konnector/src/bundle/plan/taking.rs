//! Exports that a bundle takes, by their API groups, and the message about the others. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{ResourceExt as _, api::Resource as _};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_ACCEPT_GROUPS, APIServiceBindingBundle, APIServiceExport, CONDITION_EXPORTS_ACCEPTED,
        REASON_GROUP_NOT_BINDABLE,
    },
    condition::{self, Verdict},
    groups::{GroupPatterns, InvalidPattern},
};

use super::{BundlePlan, ObservedBundle, ProviderState, lists::listed, owned};
use crate::groups::ServedGroups;

/// The selection of a bundle.
pub(super) struct ExportSelection<'a> {
    /// The patterns of people, if they have set any.
    patterns: Option<Result<GroupPatterns, InvalidPattern>>,
    served: &'a ServedGroups,
}

/// Reasons why an export is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExportRefusal {
    /// It cannot be, for this reason.
    Never(String),
    /// People do not want it.
    NotAccepted,
    /// The patterns of people cannot be read.
    Unclear,
}

impl<'a> ExportSelection<'a> {
    pub(super) fn of(bundle: &APIServiceBindingBundle, served: &'a ServedGroups) -> Self {
        let said = bundle.annotations().get(ANNOTATION_ACCEPT_GROUPS);
        Self { patterns: said.map(|text| GroupPatterns::parse(text)), served }
    }

    pub(super) fn refusal(&self, export: &APIServiceExport) -> Option<ExportRefusal> {
        let resources = &export.spec.resources;
        match &self.patterns {
            Some(Err(_)) => return Some(ExportRefusal::Unclear),
            Some(Ok(patterns)) if !resources.iter().all(|resource| patterns.accept(&resource.group)) => {
                return Some(ExportRefusal::NotAccepted);
            }
            Some(Ok(_)) | None => {}
        }
        let objection = resources.iter().find_map(|resource| {
            self.served.objection(&resource.group, resource.versions.iter().map(String::as_str))
        });
        objection.map(ExportRefusal::Never)
    }

    /// Verdict on the exports that are not taken, and on those that are bound although they would not be.
    pub(super) fn verdict(
        &self,
        refused: &BTreeMap<String, ExportRefusal>,
        kept: &[String],
        exports: usize,
    ) -> Option<Verdict> {
        if let Some(Err(error)) = &self.patterns {
            let message = format!(
                "Annotation {ANNOTATION_ACCEPT_GROUPS}: {error}. Fix it: until then, nothing more is bound, and \
                 existing bindings stay."
            );
            return Some(Verdict::error("InvalidAcceptGroups", message));
        }
        let unwanted: Vec<_> = names(refused, |refusal| *refusal == ExportRefusal::NotAccepted);
        let never: Vec<_> = refused.iter().filter_map(|(name, refusal)| reason(name, refusal)).collect();
        let mut sentences = Vec::new();
        if !never.is_empty() {
            sentences.push(format!(
                "{} of {exports} exports cannot be bound: {}. To do without them, name the groups that you want in \
                 the annotation {ANNOTATION_ACCEPT_GROUPS}.",
                never.len(),
                listed(&never)
            ));
        }
        if !unwanted.is_empty() {
            sentences.push(format!(
                "{} of {exports} exports are not accepted, because the annotation {ANNOTATION_ACCEPT_GROUPS} does not \
                 name their groups: {}.",
                unwanted.len(),
                listed(&unwanted)
            ));
        }
        if !kept.is_empty() {
            sentences.push(format!(
                "Already bound, until their APIServiceBindings are deleted: {}.",
                listed(kept)
            ));
        }
        let message = sentences.join(" ");
        match (never.is_empty(), message.is_empty()) {
            (_, true) => None,
            (false, _) => Some(Verdict::warning(REASON_GROUP_NOT_BINDABLE, message)),
            // Somebody has wanted it so.
            (true, _) => {
                Some(Verdict { reason: "GroupsNotAccepted".to_owned(), message, ..Verdict::holds() })
            }
        }
    }
}

fn names(refused: &BTreeMap<String, ExportRefusal>, is: impl Fn(&ExportRefusal) -> bool) -> Vec<String> {
    refused.iter().filter(|(_, refusal)| is(refusal)).map(|(name, _)| name.clone()).collect()
}

fn reason(name: &str, refusal: &ExportRefusal) -> Option<String> {
    let ExportRefusal::Never(why) = refusal else { return None };
    Some(format!("{name} ({why})"))
}

/// Sets the condition. Where the provider does not answer, the earlier one stands.
pub(super) fn say(observed: &ObservedBundle, plan: &mut BundlePlan, now: Timestamp) {
    let ProviderState::Up(offer) = &observed.provider else { return };
    let taking = ExportSelection::of(&observed.bundle, &observed.served);
    let (mut refused, mut kept) = (BTreeMap::new(), Vec::new());
    let living = offer.exports.iter().filter(|export| export.meta().deletion_timestamp.is_none());
    for (name, refusal) in living.filter_map(|e| Some((e.name_any(), taking.refusal(e)?))) {
        let bound = owned(observed).any(|binding| binding.name_any() == name);
        match refusal {
            ExportRefusal::NotAccepted if bound => kept.push(name),
            // The binding says so itself.
            ExportRefusal::Never(_) | ExportRefusal::Unclear if bound => {}
            _ => {
                refused.insert(name, refusal);
            }
        }
    }
    plan.status.refused = i32::try_from(refused.len()).ok();
    match taking.verdict(&refused, &kept, offer.exports.len()) {
        Some(verdict) => {
            condition::set(&mut plan.status.conditions, CONDITION_EXPORTS_ACCEPTED, verdict, now);
        }
        None => condition::remove(&mut plan.status.conditions, CONDITION_EXPORTS_ACCEPTED),
    }
}
