//! Claims of a binding's provider beside the bound resources: consent, an engine per claim, and an orderly end.

use std::sync::Arc;

use kube::{ResourceExt as _, api::ApiResource};
use portolan_core::{
    api::kubebind::{APIServiceBinding, ExportedResource, Isolation, LABEL_OWNER, PermissionClaim},
    claims::{self, ClaimedResource, InvalidClaim, ResourceClaim},
    condition::Verdict,
    outline::api_resource,
};

use super::{
    observe::{BindingView, ObservedBinding, ProviderSide},
    termination::mode,
};
use crate::{
    claims::{ClaimKey, ClaimSpec, ClaimState},
    context::KonnectorContext,
    crd,
    sync::EngineMode,
};

mod verdict;

/// The state of a binding's claims.
#[derive(Default)]
pub(super) enum ClaimsState {
    /// Nothing has changed, as far as anybody can tell.
    #[default]
    Unknown,
    Known {
        /// Sets nothing where nothing is claimed.
        verdict: Option<Verdict>,
        /// Claims whose objects may have been copied.
        accepted: Vec<ClaimedResource>,
    },
}

/// Findings about the claims of an export.
#[derive(Default)]
struct ClaimFindings {
    invalid: Vec<InvalidClaim>,
    refused: Vec<ClaimedResource>,
    running: Vec<(ResourceClaim, ClaimState)>,
    /// Copies are being removed.
    draining: Vec<(ClaimedResource, ClaimState)>,
}

/// The claims that are met, from the status: an engine starts only after its claim is recorded there, so that its
/// copies are found again whatever happens.
fn written_down(binding: &APIServiceBinding) -> Vec<ClaimedResource> {
    let accepted = binding.status.iter().flat_map(|status| &status.accepted_claims);
    accepted.filter_map(|plural| ClaimedResource::of(plural)).collect()
}

/// Runs an engine for each claim that the consumer has agreed to, and ends those that it has not.
pub(super) fn meet(context: &KonnectorContext, observed: &ObservedBinding) -> ClaimsState {
    let ProviderSide::Session(view) = &observed.provider else { return ClaimsState::Unknown };
    let before = written_down(&observed.binding);
    let Some(export) = view.export.as_ref().filter(|_| view.listed) else {
        if view.withdrawing.is_some() {
            end(context, &observed.binding, view, mode(context, &observed.binding, view));
        }
        return ClaimsState::Unknown;
    };
    let spec = &export.spec;
    let (valid, invalid) = claims::read(&spec.permission_claims, &spec.resources, spec.isolation);
    let mut found = ClaimFindings { invalid, ..ClaimFindings::default() };
    let mut accepted = Vec::new();
    for claim in valid {
        let resource = claim.resource;
        if !observed.consent.accepts(resource.plural()) {
            found.refused.push(resource);
            continue;
        }
        accepted.push(resource);
        let state = match referring(observed, view, &claim) {
            Some(kinds) if before.contains(&resource) => {
                run(context, &observed.binding, view, &claim, kinds, EngineMode::Sync)
            }
            _ => ClaimState::Starting,
        };
        found.running.push((claim, state));
    }
    let left = before.into_iter().filter(|resource| !accepted.contains(resource)).collect::<Vec<_>>();
    for resource in left {
        // Where the provider gives up a claim that is agreed to, what it has brought stays.
        let is_agreed = observed.consent.accepts(resource.plural());
        let mode = if is_agreed { EngineMode::Withdraw } else { EngineMode::Drain };
        let state = end_one(context, &observed.binding, view, resource, mode);
        if !context.claims.is_drained(&key(&observed.binding, resource)) {
            found.draining.push((resource, state));
            accepted.push(resource);
        }
    }
    context.claims.stop(&observed.binding.name_any(), &accepted);
    ClaimsState::Known { verdict: verdict::of(&observed.binding, &found), accepted }
}

/// Progress of the end of claims.
#[derive(Debug)]
pub(super) enum ClaimsEnd {
    /// Nothing is left of what they have brought.
    Done,
    /// The engines are at it, and tell.
    UnderWay,
    /// Something stands in the way.
    Blocked(String),
}

/// Takes away what claims have brought, as far as the mode says.
pub(super) fn end(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    view: &BindingView,
    mode: EngineMode,
) -> ClaimsEnd {
    let mut reached = ClaimsEnd::Done;
    for resource in written_down(binding) {
        let state = end_one(context, binding, view, resource, mode);
        if context.claims.is_drained(&key(binding, resource)) {
            continue;
        }
        match verdict::obstacle(resource, &state) {
            Some(why) => reached = ClaimsEnd::Blocked(why),
            None if matches!(reached, ClaimsEnd::Done) => reached = ClaimsEnd::UnderWay,
            None => {}
        }
    }
    reached
}

/// Returns `true` if anything may have been copied for claims.
pub(super) fn are_met(binding: &APIServiceBinding) -> bool {
    !written_down(binding).is_empty()
}

/// The mode of a terminating binding for which the copies on the provider may have to stay.
pub(super) fn last_mode(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    view: &BindingView,
) -> EngineMode {
    if context.keeps_copies(binding) { EngineMode::Withdraw } else { mode(context, binding, view) }
}

fn end_one(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    view: &BindingView,
    resource: ClaimedResource,
    mode: EngineMode,
) -> ClaimState {
    let claims = binding.status.iter().flat_map(|status| &status.permission_claims);
    let claim = claims.filter(|claim| claim.resource == resource.plural()).find_map(reread);
    // Every copy and every original of ours has the owner label.
    let claim = claim.unwrap_or_else(|| everything_owned(resource));
    run(context, binding, view, &claim, Vec::new(), mode)
}

/// A claim that was valid once, without asking whether the export still has what it refers to.
fn reread(claim: &PermissionClaim) -> Option<ResourceClaim> {
    let exported = |one: &portolan_core::api::kubebind::ResourceReference| ExportedResource {
        group: one.group.clone(),
        resource: one.resource.clone(),
        versions: Vec::new(),
    };
    let exported: Vec<_> = claim.selector.references.iter().map(exported).collect();
    claims::read(std::slice::from_ref(claim), &exported, Isolation::Prefixed).0.pop()
}

fn everything_owned(resource: ClaimedResource) -> ResourceClaim {
    let labels = kube::core::Expression::Exists(LABEL_OWNER.to_owned()).into();
    let label_keys = [LABEL_OWNER.to_owned()].into();
    ResourceClaim { resource, labels: Some(labels), label_keys, names: Vec::new(), references: Vec::new() }
}

fn key(binding: &APIServiceBinding, resource: ClaimedResource) -> ClaimKey {
    ClaimKey { binding: binding.name_any(), resource }
}

fn run(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    view: &BindingView,
    claim: &ResourceClaim,
    referring: Vec<ApiResource>,
    mode: EngineMode,
) -> ClaimState {
    let export = view.export.as_ref().or(view.withdrawing.as_ref());
    let spec = ClaimSpec {
        binding: binding.name_any(),
        claim: claim.clone(),
        referring,
        export_uid: export.and_then(|export| export.uid()).unwrap_or_default(),
        session: Arc::clone(&view.session),
    };
    let key = key(binding, claim.resource);
    context.claims.ensure(&key, &spec, mode, || context.claim_context(&spec.binding))
}

/// The kinds that a claim's references stand in; `None` until the consumer serves them.
fn referring(
    observed: &ObservedBinding,
    view: &BindingView,
    claim: &ResourceClaim,
) -> Option<Vec<ApiResource>> {
    let kind = |reference: &claims::ClaimReference| {
        let same =
            |one: &&ExportedResource| (&one.group, &one.resource) == (&reference.group, &reference.resource);
        let exported = view.schemas.iter().find(|(resource, _)| same(&resource));
        let Some((_, schema)) = exported else {
            return reference.version.as_ref().map(|version| elsewhere(reference, version));
        };
        let schema = schema.as_ref()?;
        let here = observed.crds.get(&crd::name(schema)).filter(|crd| crd.is_established())?;
        let stored = crd::resources(schema, here)?.consumer;
        let version = reference.version.as_ref().unwrap_or(&stored.version);
        Some(api_resource(&schema.spec.group, &schema.spec.names, version))
    };
    claim.references.iter().map(kind).collect()
}

fn elsewhere(reference: &claims::ClaimReference, version: &str) -> ApiResource {
    let group = &reference.group;
    ApiResource {
        group: group.clone(),
        version: version.to_owned(),
        api_version: if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") },
        // It is not needed to list and watch.
        kind: String::new(),
        plural: reference.resource.clone(),
    }
}
