//! Answers APIServiceExportRequests: what one names, and this cluster offers, is exported to the consumer whose
//! contract namespace it stands in, whatever the selector of that namespace says.
//!
//! A consumer's own account may not write any. So a request comes from somebody who may decide about exports.

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
    controller::{Action, Controller, ReconcileError},
    tasks::Tasks,
};
use serde_json::json;
use tracing::info;

pub use self::plan::is_granted;
use self::plan::{Found, ObservedApproval};
use crate::{
    FIELD_MANAGER, context::ProviderContext, queues::QueueKey, source::OfferRefusal, standing::contract_for,
};

const WORKERS: usize = 2;

pub fn run(tasks: &Tasks, context: &Arc<ProviderContext>) {
    let reconcile =
        |context: Arc<ProviderContext>, key: QueueKey| async move { reconcile(&context, &key).await };
    Controller {
        name: "approval",
        workers: WORKERS,
        queue: &context.queues.approvals,
        metrics: &context.metrics,
    }
    .run(tasks, context, reconcile);
}

async fn reconcile(context: &ProviderContext, key: &QueueKey) -> Result<Action, ReconcileError> {
    let Some(request) = context.export_requests.get_in(&key.namespace, &key.name) else {
        context.notices.clear(&key.reference::<APIServiceExportRequest>());
        return Ok(Action::AwaitChange);
    };
    let on = request.object_ref(&());
    if request.metadata.deletion_timestamp.is_some() || contract_for(context, &on).await?.is_none() {
        return Ok(Action::AwaitChange);
    }
    let found = request.spec.resources.iter().map(|resource| look(context, key, resource)).collect();
    let plan = plan::plan(&ObservedApproval { request: &request, found, now: clock::now() });
    let impossible = request.spec.namespaces.iter().find(|wanted| !names::is_dns_label(&wanted.name));
    match (&plan.status.terminal_message, impossible) {
        (Some(why), _) => context.notices.warn(&on, "RequestFailed", why).await,
        (None, Some(wanted)) => {
            let note = format!("{:?} is not a valid name for a namespace, so none is created.", wanted.name);
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

/// Looks up a requested resource in this cluster.
fn look(context: &ProviderContext, key: &QueueKey, resource: &ExportedResource) -> Found {
    let name = names::crd(&resource.resource, &resource.group);
    let Some(crd) = context.crds.get(&name) else { return Found::Missing };
    let offer = match crd.offer(context.tenancy) {
        Ok(offer) => offer,
        Err(OfferRefusal::Terminating) => return Found::NotOffered("It is terminating.".to_owned()),
        Err(OfferRefusal::NotExportable(why)) => return Found::NotOffered(why),
    };
    let export = context.exports.get_in(&key.namespace, &name);
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
async fn seed(
    context: &ProviderContext,
    key: &QueueKey,
    request: &APIServiceExportRequest,
) -> Result<(), ReconcileError> {
    let named = request.spec.namespaces.iter().map(|namespace| namespace.name.clone());
    let wanted: BTreeSet<_> = named.filter(|name| names::is_dns_label(name)).collect();
    let api: Api<APIServiceNamespace> = Api::namespaced(context.client.clone(), &key.namespace);
    for name in wanted {
        if context.requests.get_in(&key.namespace, &name).is_some() {
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
