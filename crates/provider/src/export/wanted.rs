//! The desired export of a CRD in a contract namespace. Pure.
//!
//! Only two things withdraw an export: the label or the CRD goes, or the contract no longer chooses it. What
//! cannot be read, or may not be offered any more, leaves it as it is, because a consumer's objects hang on it. So
//! does a contract namespace that has lost its label.

use portolan_core::{
    api::kubebind::{ANNOTATION_ALLOW_REPLACE, APIServiceExport, APIServiceExportSpec},
    condition::Verdict,
};

use super::plan;
use crate::{
    contract::CrdChoice,
    source::{CrdOffer, OfferRefusal, SourceCrd},
    standing::{Standing, unlabelled},
    tenancy::{Tenancy, TenancyTerms},
};

/// The desired state of an export.
pub(super) enum WantedExport {
    /// An export. Its verdict names what people want and do not get.
    Offer(Box<CrdOffer>, Option<Verdict>),
    /// Nothing of ours.
    Nothing,
    /// Keep the observed export: nobody can tell better. A verdict may give the reason.
    AsItIs(Option<Verdict>),
}

pub(super) fn wanted(
    crd: Option<&SourceCrd>,
    (namespace, standing): (&str, &Standing),
    tenancy: Tenancy,
    export: Option<&APIServiceExport>,
) -> WantedExport {
    match (standing, crd) {
        // Neither is about the CRD: what is in the namespace goes with it, or the store is about to hear of it.
        (Standing::Ended | Standing::Unheard, _) => WantedExport::AsItIs(None),
        (Standing::Contract(_) | Standing::Unlabelled, None) => WantedExport::Nothing,
        (Standing::Unlabelled, Some(_)) => WantedExport::AsItIs(Some(unlabelled(namespace))),
        (Standing::Contract(contract), Some(crd)) => offered(crd, contract.choice(crd), tenancy, export),
    }
}

fn offered(
    crd: &SourceCrd,
    choice: CrdChoice,
    tenancy: Tenancy,
    export: Option<&APIServiceExport>,
) -> WantedExport {
    match (crd.offer(tenancy), choice) {
        (Err(OfferRefusal::Terminating), _) | (_, CrdChoice::NotChosen) => WantedExport::Nothing,
        (_, CrdChoice::Unclear) => WantedExport::AsItIs(None),
        (Err(OfferRefusal::NotExportable(why)), CrdChoice::Chosen) => unchanged(crd, export, &why),
        (Ok(offer), CrdChoice::Chosen) => match export.filter(|export| plan::is_in_use(export)) {
            Some(export) if moves(&export.spec, offer.terms) && !crd.allows_replacement() => {
                as_agreed(crd, export, refused(&export.spec, offer.terms))
            }
            _ => WantedExport::Offer(Box::new(offer), None),
        },
    }
}

/// Goes on as before with what is exported already.
fn unchanged(crd: &SourceCrd, export: Option<&APIServiceExport>, why: &str) -> WantedExport {
    let verdict = Verdict::warning("NotExportable", format!("{why} The existing export stays as it is."));
    match export {
        Some(export) => as_agreed(crd, export, verdict),
        None => WantedExport::AsItIs(None),
    }
}

/// The schema follows on the terms of the existing export.
fn as_agreed(crd: &SourceCrd, export: &APIServiceExport, verdict: Verdict) -> WantedExport {
    match crd.offer_on(crd.terms_of(&export.spec)) {
        Ok(offer) => WantedExport::Offer(Box::new(offer), Some(verdict)),
        Err(_) => WantedExport::AsItIs(Some(verdict)),
    }
}

/// Returns `true` if copies would move to another place than the export has promised.
fn moves(spec: &APIServiceExportSpec, terms: TenancyTerms) -> bool {
    (spec.isolation, spec.informer_scope) != (terms.isolation, terms.reach)
}

fn refused(spec: &APIServiceExportSpec, terms: TenancyTerms) -> Verdict {
    let message = format!(
        "It is exported with isolation {:?} and informer scope {:?}, and a consumer uses it. With isolation {:?} and \
         informer scope {:?} its copies would be elsewhere, so it stays as it is. To have it recreated, annotate the \
         CRD with {ANNOTATION_ALLOW_REPLACE}=true.",
        spec.isolation, spec.informer_scope, terms.isolation, terms.reach,
    );
    Verdict::warning("ReplaceRefused", message)
}

#[cfg(test)]
mod tests;
