//! Answers APIServiceExportRequests: what one names, and this cluster offers, is exported to the consumer whose contract
//! namespace it stands in, whatever the selector of that namespace says.
//!
//! A consumer's own account may not write any. So a request is the word of somebody who may decide about exports.

mod plan;

use std::{collections::BTreeSet, sync::Arc};

use kube::{Api, Resource as _, ResourceExt as _};
use portolan_core::{
    api::kubebind::{
        APIServiceExportRequest, APIServiceNamespace, APIServiceNamespaceSpec, CONDITION_PROVIDER_IN_SYNC,
        ExportedResource, LABEL_OWNER,
    },
    condition, names,
    outline::VersionOutline,
};
use portolan_runtime::{
    apply::{self, Precondition, WriteError},
    clock,
    controller::{Action, Controller},
    tasks::Tasks,
};
use serde_json::json;
use tracing::info;

pub(crate) use self::plan::is_granted;
use self::plan::{Found, ObservedApproval};
use crate::{FIELD_MANAGER, context::Context, error::ReconcileError, queues::Key, source::Refusal};

const WORKERS: usize = 2;

pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let reconcile = |context: Arc<Context>, key: Key| async move { reconcile(&context, &key).await };
    Controller {
        name: "approval",
        workers: WORKERS,
        queue: &context.queues.approvals,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &Context, key: &Key) -> Result<Action, ReconcileError> {
    let Some(request) = context.export_requests.get(key) else { return Ok(Action::AwaitChange) };
    let ends = context.contract(&key.namespace).is_none_or(|contract| contract.ends());
    if ends || request.metadata.deletion_timestamp.is_some() {
        return Ok(Action::AwaitChange);
    }
    let found = request.spec.resources.iter().map(|resource| look(context, key, resource)).collect();
    let plan = plan::plan(&ObservedApproval { request: &request, found, now: clock::now() });
    let on = request.object_ref(&());
    let impossible = request.spec.namespaces.iter().find(|wanted| !names::is_dns_label(&wanted.name));
    match (&plan.status.terminal_message, impossible) {
        (Some(why), _) => context.notices.warn(&on, "RequestFailed", why).await,
        (None, Some(wanted)) => {
            let note = format!("No namespace can be called {:?}, so it is not made.", wanted.name);
            context.notices.warn(&on, "InvalidName", &note).await;
        }
        (None, None) => context.notices.clear(&on),
    }
    if request.status.as_ref() != Some(&plan.status) {
        let api: Api<APIServiceExportRequest> = Api::namespaced(context.client.clone(), &key.namespace);
        let written = apply::replace_status(&api, &request.metadata, true, &plan.status).await;
        context.export_requests.wrote(written.map_err(|error| ReconcileError::new("answer", key, error))?);
        info!(request = %key, phase = ?plan.status.phase, "answered");
        // What it has been granted shows in the contract.
        context.trigger_in_contract(&key.namespace);
    }
    if is_granted(&plan.status) {
        seed(context, key, &request).await?;
    }
    Ok(plan.again.map_or(Action::AwaitChange, Action::RequeueAfter))
}

/// What this cluster has of a resource that is asked for.
fn look(context: &Context, key: &Key, resource: &ExportedResource) -> Found {
    let name = names::crd(&resource.resource, &resource.group);
    let Some(crd) = context.crds.get_cluster_scoped(&name) else { return Found::Missing };
    let offer = match crd.offer(context.tenancy) {
        Ok(offer) => offer,
        Err(Refusal::Terminating) => return Found::NotOffered("It is being deleted.".to_owned()),
        Err(Refusal::NotExportable(why)) => return Found::NotOffered(why),
    };
    let export = context.exports.get(&Key::new(&key.namespace, name));
    let in_sync = export.and_then(|export| {
        let conditions = export.status.clone()?.conditions;
        condition::find(&conditions, CONDITION_PROVIDER_IN_SYNC).map(condition::verdict_of)
    });
    Found::Offered {
        scope: offer.schema.scope,
        versions: served(&offer.schema.versions),
        isolation: offer.terms.isolation,
        claims: offer.claims,
        in_sync,
    }
}

/// The names of the versions that consumers can use.
fn served(versions: &[VersionOutline]) -> Vec<String> {
    versions.iter().filter(|version| version.served).map(|version| version.name.clone()).collect()
}

/// Makes the namespaces that are asked for, on behalf of the provider: they appear on the consumer before anything
/// is in them.
async fn seed(context: &Context, key: &Key, request: &APIServiceExportRequest) -> Result<(), ReconcileError> {
    let named = request.spec.namespaces.iter().map(|namespace| namespace.name.clone());
    let wanted: BTreeSet<_> = named.filter(|name| names::is_dns_label(name)).collect();
    let api: Api<APIServiceNamespace> = Api::namespaced(context.client.clone(), &key.namespace);
    for name in wanted {
        if context.requests.get(&Key::new(&key.namespace, &name)).is_some() {
            continue;
        }
        let mut made = APIServiceNamespace::new(&name, APIServiceNamespaceSpec {});
        made.labels_mut().insert(LABEL_OWNER.to_owned(), "provider".to_owned());
        match apply::apply::<APIServiceNamespace>(&api, FIELD_MANAGER, &json!(made), &Precondition::Absent)
            .await
        {
            Ok(_) => info!(request = %key, namespace = name, "asked for a namespace on the consumer"),
            // Somebody else has made one.
            Err(WriteError::Conflict(_)) => {}
            Err(error) => return Err(ReconcileError::new("make a namespace for", key, error)),
        }
    }
    Ok(())
}
