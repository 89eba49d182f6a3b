//! Drains the objects of one CRD, with an engine, and deletes it after them.

use std::sync::Arc;

use kube::{Api, ResourceExt as _, api::ApiResource};
use portolan_core::{
    api::kubebind::{APIServiceBinding, InformerScope, Isolation, ResourceScope},
    names,
    outline::CrdOutline,
};
use portolan_runtime::apply::{self, WriteError};
use tracing::info;

use super::{
    super::{observe::BindingView, termination::mode},
    served::served,
};
use crate::{
    context::KonnectorContext,
    crd::resources,
    leftover,
    sync::{EngineKey, EngineMode, EngineState, Placement, SchemaVersions, SyncSpec},
};

/// Drains the objects of a CRD, then deletes it. Called again until the CRD is gone. Gives what stands in
/// the way.
pub(super) async fn drain(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    view: &BindingView,
    crd: &Arc<CrdOutline>,
) -> Result<Option<String>, WriteError> {
    let Some(resource) = served(context, crd).await? else { return Ok(None) };
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
    if mode == EngineMode::Withdraw {
        leftover::leave(context, binding, crd, &resource).await?;
        return Ok(None);
    }
    info!(binding = name, crd = crd.name_any(), ?mode, "drained: deleting the CRD");
    let api: Api<CrdOutline> = Api::all(context.consumer.clone());
    apply::delete(&api, &crd.name_any(), &crd.uid().unwrap_or_default()).await?;
    Ok(None)
}

/// The resource on the provider, in the version to talk about it.
fn remote(view: &BindingView, crd: &CrdOutline, here: &ApiResource) -> ApiResource {
    let schema = view.session.contents.schema(&names::bound_schema(&crd.spec.names.plural, &crd.spec.group));
    let resources = schema.and_then(|schema| resources(&schema, crd));
    resources.map_or_else(|| here.clone(), |resources| resources.provider)
}

/// In which way the objects of a CRD are drained, and where their copies are looked for.
fn how_to_drain(
    context: &KonnectorContext,
    binding: &APIServiceBinding,
    view: &BindingView,
    crd: &CrdOutline,
) -> (EngineMode, Placement) {
    let mode = mode(context, binding, view);
    let scope = crd.spec.scope;
    if let Some(export) = view.export.as_ref().or(view.withdrawing.as_ref()) {
        return (mode, Placement::of(scope, export.spec.isolation, export.spec.informer_scope));
    }
    let key = EngineKey { binding: binding.name_any(), crd: crd.name_any() };
    without_export(mode, scope, context.sync.current(&key), context.sync.is_failing(&key))
}

/// The same where the export cannot be seen: as an engine that runs has it.
fn without_export(
    mode: EngineMode,
    scope: ResourceScope,
    running: Option<(EngineMode, Placement)>,
    is_failing: bool,
) -> (EngineMode, Placement) {
    let guess = Placement::of(scope, Isolation::default(), InformerScope::default());
    match running {
        // The provider does not let us delete copies any more, so they stay.
        Some((EngineMode::Withdraw, placement)) => (EngineMode::Withdraw, placement),
        Some((EngineMode::Drain, placement)) if is_failing => (EngineMode::Withdraw, placement),
        Some((_, placement)) => (mode, placement),
        None if scope == ResourceScope::Namespaced => (mode, guess),
        // Nobody knows any more where copies of kinds without namespaces are.
        None => (EngineMode::Withdraw, guess),
    }
}

/// The obstacle to draining an engine, other than time.
fn obstacle(state: &EngineState, crd: &CrdOutline) -> Option<String> {
    match state {
        EngineState::ForbiddenOnConsumer => Some(format!(
            "the konnector lacks the rights to read and mark objects of {} on this cluster (restore its ClusterRole)",
            crd.name_any()
        )),
        EngineState::Failing(why) => Some(why.trim_end_matches('.').to_owned()),
        EngineState::Starting | EngineState::Watching => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_export_cannot_be_seen_copies_stay_that_cannot_be_found_or_deleted() {
        use EngineMode::{Drain, Sync, Withdraw};
        use ResourceScope::{Cluster, Namespaced};

        let wide = Placement::Mapped { cluster_wide: true };
        let guess = |scope| Placement::of(scope, Isolation::default(), InformerScope::default());
        let table = [
            (Namespaced, None, false, (Drain, guess(Namespaced))),
            (Cluster, None, false, (Withdraw, guess(Cluster))),
            (Namespaced, Some((Sync, wide)), false, (Drain, wide)),
            (Namespaced, Some((Drain, wide)), false, (Drain, wide)),
            (Namespaced, Some((Drain, wide)), true, (Withdraw, wide)),
            (Namespaced, Some((Withdraw, wide)), false, (Withdraw, wide)),
            (Cluster, Some((Drain, Placement::Prefixed)), false, (Drain, Placement::Prefixed)),
        ];
        for (scope, running, is_failing, expected) in table {
            assert_eq!(without_export(Drain, scope, running, is_failing), expected, "{scope:?} {running:?}");
        }
    }
}
