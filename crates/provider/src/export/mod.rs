//! Reconciles one CRD in one contract namespace: its APIServiceExport and its BoundSchema.

mod apply;
mod plan;
mod wanted;

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use portolan_core::api::kubebind::APIServiceExport;
use portolan_runtime::{
    clock,
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};

use self::plan::ObservedExport;
use crate::{context::ProviderContext, is_ours, queues::QueueKey};

const WORKERS: usize = 8;

pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile =
        |context: Arc<ProviderContext>, key: QueueKey| async move { reconcile(&context, &key).await };
    Controller {
        name: "export",
        workers: WORKERS,
        queue: &context.queues.exports,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, key: &QueueKey) -> Result<Action, ReconcileError> {
    let export = context.exports.get_in(&key.namespace, &key.name);
    let schema = context.schemas.get_in(&key.namespace, &key.name);
    let is_ours =
        export.as_deref().is_some_and(plan::is_ours_to_end) || schema.as_deref().is_some_and(is_ours);
    if !is_ours && context.contract(&key.namespace).is_none() {
        return Ok(Action::AwaitChange);
    }
    let standing = context.standing(&key.namespace).await?;
    let crd = context.crds.get(&key.name);
    let place = (key.namespace.as_str(), &standing);
    let wanted = wanted::wanted(crd.as_deref(), place, context.tenancy, export.as_deref());
    let observed = ObservedExport {
        now: clock::now(),
        drain_limit: context.drain_limit,
        contract_is_terminating: standing.ends(),
        wanted,
        export,
        schema,
    };
    let plan = plan::plan(&observed);
    let done = apply::apply(context, key, &observed, plan).await;
    if let Err(error) = &done {
        let on = observed.export.as_ref().map_or_else(|| reference(key), |export| export.object_ref(&()));
        context.notices.failed(&on, "ExportFailed", error).await;
    }
    done
}

/// An export that is not there.
fn reference(key: &QueueKey) -> ObjectReference {
    ObjectReference {
        api_version: Some(APIServiceExport::api_version(&()).into_owned()),
        kind: Some(APIServiceExport::kind(&()).into_owned()),
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
        ..ObjectReference::default()
    }
}
