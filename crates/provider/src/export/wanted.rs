//! What should be in a contract namespace for a CRD. Pure.
//!
//! Only two things withdraw an export: the label or the CRD goes, or the contract no longer chooses it. What
//! cannot be read, or may not be offered any more, leaves it as it is, because a consumer's objects hang on it.

use portolan_core::{
    api::kubebind::{ANNOTATION_ALLOW_REPLACE, APIServiceExport, APIServiceExportSpec},
    condition::Verdict,
};

use super::plan;
use crate::{
    contract::Choice,
    source::{Offer, Refusal, SourceCrd},
    tenancy::{Tenancy, Terms},
};

/// What should be there.
pub(super) enum Wanted {
    /// An export. Where something of what people want is not done, it says so.
    Offer(Box<Offer>, Option<Verdict>),
    /// Nothing of ours.
    Nothing,
    /// What is there: nobody can tell better, and it may say why.
    AsItIs(Option<Verdict>),
}

pub(super) fn wanted(
    crd: Option<&SourceCrd>,
    choice: Choice,
    tenancy: Tenancy,
    export: Option<&APIServiceExport>,
) -> Wanted {
    let Some(crd) = crd else { return Wanted::Nothing };
    match (crd.offer(tenancy), choice) {
        (Err(Refusal::Terminating), _) | (_, Choice::NotChosen) => Wanted::Nothing,
        (_, Choice::Unclear) => Wanted::AsItIs(None),
        (Err(Refusal::NotExportable(why)), Choice::Chosen) => unchanged(crd, export, &why),
        (Ok(offer), Choice::Chosen) => match export.filter(|export| plan::is_in_use(export)) {
            Some(export) if moves(&export.spec, offer.terms) && !crd.allows_replacement() => {
                as_agreed(crd, export, refused(&export.spec, offer.terms))
            }
            _ => Wanted::Offer(Box::new(offer), None),
        },
    }
}

/// Goes on as before with what is exported already.
fn unchanged(crd: &SourceCrd, export: Option<&APIServiceExport>, why: &str) -> Wanted {
    let verdict =
        Verdict::warning("NotExportable", format!("{why} What was exported before stays as it is."));
    match export {
        Some(export) => as_agreed(crd, export, verdict),
        None => Wanted::AsItIs(None),
    }
}

/// The schema follows on the terms of the export that is there.
fn as_agreed(crd: &SourceCrd, export: &APIServiceExport, verdict: Verdict) -> Wanted {
    match crd.offer_on(crd.terms_of(&export.spec)) {
        Ok(offer) => Wanted::Offer(Box::new(offer), Some(verdict)),
        Err(_) => Wanted::AsItIs(Some(verdict)),
    }
}

/// Whether copies would stand elsewhere than the export has promised.
fn moves(spec: &APIServiceExportSpec, terms: Terms) -> bool {
    (spec.isolation, spec.informer_scope) != (terms.isolation, terms.reach)
}

fn refused(spec: &APIServiceExportSpec, terms: Terms) -> Verdict {
    let message = format!(
        "It is exported with isolation {:?} and informer scope {:?}, and a consumer uses it. With isolation {:?} and \
         informer scope {:?} its copies would stand elsewhere, so it stays as it is. To have it made anew, annotate the \
         CRD with {ANNOTATION_ALLOW_REPLACE}=true.",
        spec.isolation, spec.informer_scope, terms.isolation, terms.reach,
    );
    Verdict::warning("ReplaceRefused", message)
}

#[cfg(test)]
mod tests;
