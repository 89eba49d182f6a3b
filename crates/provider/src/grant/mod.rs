//! Rights of consumers outside the namespaces that were made for them: in their contract namespace, and, where
//! it is allowed, on kinds that consumers share.

mod apply;
mod guard;
mod shared;

use std::{collections::BTreeSet, sync::Arc};

use kube::ResourceExt as _;
use portolan_core::{
    api::kubebind::{APIServiceExport, InformerScope, Isolation, PermissionClaim, ResourceScope},
    names,
    outline::SchemaOutline,
};
use portolan_runtime::{
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use crate::{
    context::ProviderContext,
    is_ours,
    tenancy::{CopyPlace, TenancyTerms},
};

const WORKERS: usize = 2;

pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile =
        |context: Arc<ProviderContext>, contract: String| async move { reconcile(&context, &contract).await };
    Controller { name: "grant", workers: WORKERS, queue: &context.queues.grants, metrics: &context.metrics }
        .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, contract: &str) -> Result<Action, ReconcileError> {
    // What is left of a contract goes with its namespace.
    let namespace = context.contracts.get(contract);
    let namespace = namespace.filter(|namespace| namespace.metadata.deletion_timestamp.is_none());
    if namespace.is_some() {
        apply::in_contract(context, contract).await?;
    }
    if let Some(shared) = &context.shared {
        // Nobody has a right that is not guarded.
        guard::ensure(context, shared).await?;
        if let Some(namespace) = &namespace {
            apply::in_cluster(context, shared, namespace).await?;
        }
    }
    Ok(Action::AwaitChange)
}

/// Group and plural of what is exported to a contract, with copies that stand there.
pub fn exported_in(
    context: &ProviderContext,
    contract: &str,
    place: CopyPlace,
) -> BTreeSet<(String, String)> {
    let exports = context.exports.all().into_iter();
    let here = exports.filter(|export| export.namespace().as_deref() == Some(contract));
    here.flat_map(|export| resources(context, &export, |terms| terms.place == place)).collect()
}

/// The claims of what is exported to a contract.
pub fn claimed_in(context: &ProviderContext, contract: &str) -> Vec<Vec<PermissionClaim>> {
    let exports = context.exports.all().into_iter().filter(|export| is_ours(&**export));
    let here = exports.filter(|export| export.namespace().as_deref() == Some(contract));
    here.map(|export| export.spec.permission_claims.clone()).collect()
}

/// The resources of one of our exports to which the terms apply.
fn resources(
    context: &ProviderContext,
    export: &APIServiceExport,
    apply: impl Fn(TenancyTerms) -> bool,
) -> Vec<(String, String)> {
    if !is_ours(export) {
        return Vec::new();
    }
    let namespace = export.namespace().unwrap_or_default();
    let terms = |group: &str, resource: &str| {
        let schema = context.schemas.get_in(&namespace, &names::bound_schema(resource, group))?;
        Some(terms(export, &schema))
    };
    let named = export.spec.resources.iter().map(|named| (named.group.clone(), named.resource.clone()));
    named.filter(|(group, resource)| terms(group, resource).is_some_and(&apply)).collect()
}

/// The terms that were agreed, from what was written down.
fn terms(export: &APIServiceExport, schema: &SchemaOutline) -> TenancyTerms {
    let (scope, isolation, reach) = (schema.spec.scope, export.spec.isolation, export.spec.informer_scope);
    let place = match (scope, isolation) {
        (ResourceScope::Namespaced, _) => CopyPlace::Mapped,
        (ResourceScope::Cluster, Isolation::Namespaced) => CopyPlace::Contract,
        (ResourceScope::Cluster, Isolation::Prefixed | Isolation::None) => CopyPlace::Cluster,
    };
    TenancyTerms { scope, isolation, reach, place }
}

/// Resources whose copies every consumer may read, because its watch reaches across the cluster.
fn read_across(terms: TenancyTerms) -> bool {
    terms.place == CopyPlace::Mapped && terms.reach == InformerScope::Cluster
}
