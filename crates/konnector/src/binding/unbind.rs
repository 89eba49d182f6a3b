//! The end of a binding, in order: objects, then their CRDs, then the binding.
//!
//! Who ends it decides what goes. Where the consumer unbinds, the copies on the provider go too. Where the
//! provider has withdrawn the export, they stay, with their marks, for a consumer that binds again.

use std::sync::Arc;

use kube::{Api, ResourceExt as _, api::ApiResource};
use portolan_core::{
    api::kubebind::{APIServiceBinding, CONDITION_CONNECTED, InformerScope, Isolation, ResourceScope},
    condition::{self, Verdict},
    names,
    outline::CrdOutline,
};
use portolan_runtime::{
    apply::{self, WriteError},
    clock,
    controller::Next,
};
use tracing::info;

use super::{
    claims::{self, End},
    ending::mode,
    marks::{AFTER_RACE, FINALIZER},
    observe::{Observed, Provider, View},
    orphan,
};
use crate::{
    args::OnWithdraw,
    context::Context,
    crd, leftover, policy,
    provider::{ANOTHER_CONTRACT, Contact},
    sync::{EngineKey, EngineState, Mode, Placement, SchemaVersions, SyncSpec},
};

pub(super) async fn unbind(context: &Context, observed: &Observed) -> Result<Next, WriteError> {
    let binding = &observed.binding;
    let Some(place) = binding.finalizers().iter().position(|f| f == FINALIZER) else {
        context.sync.stop(&binding.name_any(), &[]);
        context.claims.stop(&binding.name_any(), &[]);
        return Ok(Next::OnChange);
    };
    if policy::is_being_orphaned(&**binding) {
        return orphan::let_go(context, observed).await;
    }
    let owned: Vec<_> = observed.crds.values().filter(|crd| crd::is_owned_by(&***crd, binding)).collect();
    if owned.is_empty() {
        context.sync.stop(&binding.name_any(), &[]);
        // Bound objects may need what is claimed until they are gone.
        if let Some(next) = end_claims(context, observed).await? {
            return Ok(next);
        }
        orphan::release_strays(context, binding).await?;
        if let Provider::Session(view) = &observed.provider {
            // After a restart, nobody has heard yet whether the provider waits for our word.
            if view.contact == Contact::Pending || (view.contact == Contact::Up && !view.listed) {
                return Ok(Next::After(AFTER_RACE));
            }
            super::report::unbound(view).await?;
        }
        release(context, binding, place).await?;
        return Ok(Next::OnChange);
    }
    // Copies that belong to another cluster are not ours to delete.
    if context.keeps_copies(binding) || observed.is_in_use_elsewhere() {
        return orphan::abandon(context, binding, &owned, is_withdrawn(context, observed)).await;
    }
    let Provider::Session(view) = &observed.provider else {
        return wait(context, binding, "its kubeconfig cannot be used").await;
    };
    if view.contact != Contact::Up || !view.listed {
        return wait(context, binding, silence(observed)).await;
    }
    match drain_all(context, binding, view, &owned).await? {
        Some(why) => wait(context, binding, &why).await,
        None => Ok(Next::After(AFTER_RACE)),
    }
}

/// Whether the provider has ended the binding, as far as anybody can tell.
fn is_withdrawn(context: &Context, observed: &Observed) -> bool {
    let binding = &observed.binding;
    match &observed.provider {
        Provider::Session(view) if view.contact == Contact::Up && view.listed => {
            mode(context, binding, view) == Mode::Withdraw
        }
        _ => policy::is_withdrawn(binding) && context.on_withdraw(binding) == OnWithdraw::Keep,
    }
}

/// A binding that was made by hand stays when the provider withdraws its export, and does no more with it. Gives
/// when to look again; `None` where nothing is withdrawn, or nothing is left.
pub(super) async fn withdrawn(context: &Context, observed: &Observed) -> Result<Option<Next>, WriteError> {
    let binding = &observed.binding;
    let Provider::Session(view) = &observed.provider else { return Ok(None) };
    if view.withdrawing.is_none() || policy::bundle_of(binding).is_some() || view.contact != Contact::Up {
        return Ok(None);
    }
    let owned: Vec<_> = observed.crds.values().filter(|crd| crd::is_owned_by(&***crd, binding)).collect();
    if owned.is_empty() {
        context.sync.stop(&binding.name_any(), &[]);
        // Its engines tell when they are done.
        if matches!(claims::end(context, binding, view, claims::last_mode(context, binding, view)), End::Done)
        {
            super::report::unbound(view).await?;
        }
        return Ok(None);
    }
    if context.keeps_copies(binding) {
        let keeps = mode(context, binding, view) == Mode::Withdraw;
        return orphan::abandon(context, binding, &owned, keeps).await.map(Some);
    }
    let obstacle = drain_all(context, binding, view, &owned).await?;
    Ok(Some(Next::After(if obstacle.is_some() { context.poll_interval } else { AFTER_RACE })))
}

/// Gives what stands in the way.
async fn drain_all(
    context: &Context,
    binding: &APIServiceBinding,
    view: &View,
    owned: &[&Arc<CrdOutline>],
) -> Result<Option<String>, WriteError> {
    let mut obstacle = None;
    for crd in owned {
        obstacle = drain(context, binding, view, crd).await?.or(obstacle);
    }
    Ok(obstacle)
}

/// `None` when nothing is left of what claims have brought.
async fn end_claims(context: &Context, observed: &Observed) -> Result<Option<Next>, WriteError> {
    let binding = &observed.binding;
    if !claims::are_met(binding) {
        return Ok(None);
    }
    let Provider::Session(view) = &observed.provider else {
        return wait(context, binding, "its kubeconfig cannot be used").await.map(Some);
    };
    let mode = if observed.is_in_use_elsewhere() {
        Mode::Withdraw
    } else {
        claims::last_mode(context, binding, view)
    };
    if mode != Mode::Withdraw && (view.contact != Contact::Up || !view.listed) {
        return wait(context, binding, silence(observed)).await.map(Some);
    }
    match claims::end(context, binding, view, mode) {
        End::Done => {
            context.claims.stop(&binding.name_any(), &[]);
            Ok(None)
        }
        End::Blocked(why) => wait(context, binding, &why).await.map(Some),
        // The engines tell.
        End::UnderWay => Ok(Some(Next::After(context.poll_interval))),
    }
}

/// Drains the objects of a CRD, then deletes it. Called again until the CRD is gone. Gives what stands in
/// the way.
async fn drain(
    context: &Context,
    binding: &APIServiceBinding,
    view: &View,
    crd: &Arc<CrdOutline>,
) -> Result<Option<String>, WriteError> {
    let Some(resource) = crd.stored_resource() else { return Ok(None) };
    let name = binding.name_any();
    let key = EngineKey { binding: name.clone(), crd: crd.name_any() };
    let export = view.export.as_ref().or(view.withdrawing.as_ref());
    let (mode, placement) = how_to_drain(context, binding, view, crd);
    let spec = SyncSpec {
        remote: remote(view, crd, &resource),
        resource: resource.clone(),
        has_status_subresource: false,
        placement,
        defaults: Arc::default(),
        schema: SchemaVersions::default(),
        export_uid: export.and_then(|export| export.uid()).unwrap_or_default(),
        session: Arc::clone(&view.session),
    };
    let state = context.sync.ensure(&key, &spec, mode, || context.engine_context(&name));
    if crd.metadata.deletion_timestamp.is_some() || !context.sync.is_drained(&key) {
        return Ok(obstacle(&state, crd));
    }
    if mode == Mode::Withdraw {
        leftover::leave(context, binding, crd, &resource).await?;
        return Ok(None);
    }
    info!(binding = name, crd = crd.name_any(), ?mode, "drained: deleting the CRD");
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    apply::delete(&api, &crd.name_any(), &crd.uid().unwrap_or_default()).await?;
    Ok(None)
}

/// The resource on the provider, in the version to talk about it.
fn remote(view: &View, crd: &CrdOutline, here: &ApiResource) -> ApiResource {
    let schema = view.session.schema(&names::bound_schema(&crd.spec.names.plural, &crd.spec.group));
    let resources = schema.and_then(|schema| crate::crd::resources(&schema, crd));
    resources.map_or_else(|| here.clone(), |resources| resources.provider)
}

/// In which way the objects of a CRD are drained, and where their copies are looked for.
fn how_to_drain(
    context: &Context,
    binding: &APIServiceBinding,
    view: &View,
    crd: &CrdOutline,
) -> (Mode, Placement) {
    let mode = mode(context, binding, view);
    let scope = crd.spec.scope;
    if let Some(export) = view.export.as_ref().or(view.withdrawing.as_ref()) {
        return (mode, Placement::of(scope, export.spec.isolation, export.spec.informer_scope));
    }
    let key = EngineKey { binding: binding.name_any(), crd: crd.name_any() };
    let guess = Placement::of(scope, Isolation::default(), InformerScope::default());
    match context.sync.current(&key) {
        // The provider does not let us delete copies any more, so they stay.
        Some((Mode::Withdraw, placement)) => (Mode::Withdraw, placement),
        Some((Mode::Drain, placement)) if context.sync.is_failing(&key) => (Mode::Withdraw, placement),
        Some((_, placement)) => (mode, placement),
        None if scope == ResourceScope::Namespaced => (mode, guess),
        // Nobody knows any more where copies of kinds without namespaces are.
        None => (Mode::Withdraw, guess),
    }
}

/// What keeps an engine from draining, other than time.
fn obstacle(state: &EngineState, crd: &CrdOutline) -> Option<String> {
    match state {
        EngineState::ForbiddenOnConsumer => Some(format!(
            "the konnector may not read and mark objects of {} on this cluster (give it the ClusterRole back)",
            crd.name_any()
        )),
        EngineState::Failing(why) => Some(why.trim_end_matches('.').to_owned()),
        EngineState::Starting | EngineState::Watching => None,
    }
}

/// Why the provider is of no use now.
fn silence(observed: &Observed) -> &str {
    match observed.closed() {
        Some(verdict) if verdict.reason == ANOTHER_CONTRACT => {
            "the kubeconfig leads to another contract than the one that is bound"
        }
        Some(_) => "it is not known whether the contract is still the one that is bound",
        None => "the provider cluster does not answer",
    }
}

async fn wait(context: &Context, binding: &APIServiceBinding, why: &str) -> Result<Next, WriteError> {
    let mut status = binding.status.clone().unwrap_or_default();
    let message = format!("Unbinding waits, because {why}: copies on the provider would be left behind.");
    condition::set(
        &mut status.conditions,
        CONDITION_CONNECTED,
        Verdict::error("UnbindPending", message),
        clock::now(),
    );
    condition::summarize(&mut status.conditions, clock::now());
    super::report::say(context, binding, &status).await?;
    Ok(Next::After(context.poll_interval))
}

async fn release(context: &Context, binding: &APIServiceBinding, place: usize) -> Result<(), WriteError> {
    let api: Api<APIServiceBinding> = Api::all(context.consumer.clone());
    apply::take_finalizer(&api, None, &binding.metadata, (place, FINALIZER)).await?;
    info!(binding = binding.name_any(), "unbound");
    Ok(())
}
