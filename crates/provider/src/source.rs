//! Labelled CRDs: what of them is offered to consumers, and why some cannot be.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Resource, ResourceExt as _, api::ObjectMeta};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_PERMISSION_CLAIMS, BoundSchemaSpec, BoundSchemaVersion, ConversionStrategy,
        ExportedResource, PermissionClaim, ResourceNames, ResourceScope, SchemaConversion, WebhookConversion,
    },
    digest::sha256_hex,
    groups,
};
use portolan_runtime::{controller, controller::Next, tasks::Tasks};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    claims,
    context::Context,
    error::ReconcileError,
    tenancy::{Tenancy, Terms},
};

const WORKERS: usize = 1;

/// A CRD as the API server writes it. Schemas are kept as they are, so that consumers get every field of
/// them, also those that this program's library does not know.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = CustomResourceDefinition)]
pub(crate) struct SourceCrd {
    metadata: ObjectMeta,
    spec: SourceSpec,
}

#[derive(Clone, Debug, Deserialize)]
struct SourceSpec {
    group: String,
    names: ResourceNames,
    scope: ResourceScope,
    versions: Vec<Value>,
    conversion: Option<Value>,
}

/// What a CRD gives to consumers.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) schema: BoundSchemaSpec,
    pub(crate) resource: ExportedResource,
    pub(crate) terms: Terms,
    pub(crate) claims: Vec<PermissionClaim>,
    /// Changes with the schema.
    pub(crate) hash: String,
}

/// Why a labelled CRD is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is going away.
    Terminating,
    /// It says something that cannot be offered.
    NotExportable(String),
    /// What goes with it cannot be read. What is exported already stays as it is.
    Unclear(String),
}

const CONVERSION_DROPPED: &str = "Its conversion webhook is reached through a Service of this cluster, which consumers \
    cannot reach: they convert between versions without it. Give the webhook a url, or serve one version.";

const OWN_GROUP: &str = "It is in the group of exports and bindings themselves, which no consumer can bind. Take the \
    label off it.";

impl SourceCrd {
    /// How it is offered, if it is offered at all.
    pub(crate) fn terms(&self, tenancy: Tenancy) -> Result<Terms, Refusal> {
        if self.metadata.deletion_timestamp.is_some() {
            return Err(Refusal::Terminating);
        }
        if groups::is_own(&self.spec.group) {
            return Err(Refusal::NotExportable(OWN_GROUP.to_owned()));
        }
        let annotation = |key: &str| self.annotations().get(key).map(String::as_str);
        tenancy.terms(self.spec.scope, annotation).map_err(Refusal::NotExportable)
    }

    /// Group and plural.
    pub(crate) fn group_resource(&self) -> (&str, &str) {
        (&self.spec.group, &self.spec.names.plural)
    }

    /// What consumers get.
    pub(crate) fn offer(&self, tenancy: Tenancy) -> Result<Offer, Refusal> {
        let terms = self.terms(tenancy)?;
        let schema = self
            .schema(terms)
            .map_err(|error| Refusal::NotExportable(format!("It cannot be read: {error}")))?;
        let hash = sha256_hex(json!(schema).to_string().as_bytes());
        let resource = ExportedResource {
            group: schema.group.clone(),
            resource: schema.names.plural.clone(),
            versions: preferred_versions(&schema),
        };
        let claims = self.annotations().get(ANNOTATION_PERMISSION_CLAIMS).map(String::as_str);
        let claims = claims::parse(claims, &resource, terms.isolation).map_err(Refusal::Unclear)?;
        Ok(Offer { schema, resource, terms, claims, hash })
    }

    /// Whether consumers convert between versions in another way than this cluster.
    fn drops_conversion(&self) -> bool {
        self.uses_webhook() && self.conversion().is_none()
    }

    fn schema(&self, terms: Terms) -> Result<BoundSchemaSpec, serde_json::Error> {
        Ok(BoundSchemaSpec {
            group: self.spec.group.clone(),
            informer_scope: terms.reach,
            names: self.spec.names.clone(),
            scope: terms.scope,
            versions: self
                .spec
                .versions
                .iter()
                .map(BoundSchemaVersion::deserialize)
                .collect::<Result<_, _>>()?,
            conversion: self.conversion(),
        })
    }

    fn uses_webhook(&self) -> bool {
        self.spec.conversion.as_ref().is_some_and(|conversion| conversion["strategy"] == "Webhook")
    }

    /// The conversion as far as a consumer can use it.
    fn conversion(&self) -> Option<SchemaConversion> {
        let webhook = self.spec.conversion.as_ref().filter(|_| self.uses_webhook())?.get("webhook")?;
        let webhook = WebhookConversion::deserialize(webhook).ok()?;
        webhook.client_config.as_ref()?.url.as_ref()?;
        Some(SchemaConversion { strategy: ConversionStrategy::Webhook, webhook: Some(webhook) })
    }
}

/// The served versions, the stored one first.
fn preferred_versions(schema: &BoundSchemaSpec) -> Vec<String> {
    let mut served: Vec<_> = schema.versions.iter().filter(|version| version.served).collect();
    served.sort_by_key(|version| !version.storage);
    served.into_iter().map(|version| version.name.clone()).collect()
}

/// Says on each labelled CRD what keeps it from being exported.
pub(crate) fn run(tasks: &Tasks, context: &Arc<Context>) {
    let shared = Arc::clone(context);
    let reconcile = move |name: String| {
        let context = Arc::clone(&shared);
        async move { reconcile(&context, &name).await }
    };
    controller::run(tasks, "source", WORKERS, &context.queues.sources, &context.metrics, reconcile);
}

async fn reconcile(context: &Context, name: &str) -> Result<Next, ReconcileError> {
    let Some(crd) = context.crds.get_cluster_scoped(name) else { return Ok(Next::OnChange) };
    let on = crd.object_ref(&());
    match crd.offer(context.tenancy) {
        Err(Refusal::NotExportable(why) | Refusal::Unclear(why)) => {
            context.notices.warn(&on, "NotExportable", &why).await;
        }
        Ok(_) if crd.drops_conversion() => {
            context.notices.warn(&on, "ConversionDropped", CONVERSION_DROPPED).await;
        }
        Ok(_) | Err(Refusal::Terminating) => context.notices.clear(&on),
    }
    Ok(Next::OnChange)
}

#[cfg(test)]
mod tests;
