//! Labelled CRDs: what of them is offered to consumers, and why some cannot be.

mod body;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Resource, ResourceExt as _, api::ObjectMeta};
use portolan_core::{
    api::kubebind::{
        ANNOTATION_ALLOW_REPLACE, ANNOTATION_API_APPROVED, ANNOTATION_PERMISSION_CLAIMS, ExportedResource,
        PermissionClaim,
    },
    digest::sha256_hex,
    groups,
    outline::{SchemaOutlineSpec, slim},
};
use serde::Deserialize;
use serde_json::json;

pub(crate) use self::body::FullCrd;
use self::body::SourceSpec;
use crate::{
    claims,
    tenancy::{Tenancy, Terms},
};

/// A labelled CRD as far as plans read it; its schemas are read when they are written.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = CustomResourceDefinition)]
pub(crate) struct SourceCrd {
    #[serde(deserialize_with = "slim")]
    metadata: ObjectMeta,
    spec: SourceSpec,
}

/// What a CRD gives to consumers.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    pub(crate) schema: SchemaOutlineSpec,
    pub(crate) resource: ExportedResource,
    pub(crate) terms: Terms,
    pub(crate) claims: Vec<PermissionClaim>,
    /// Who has approved that the CRD is of a protected group.
    pub(crate) approved: Option<String>,
    /// Fields of the CRD that consumers do not get.
    pub(crate) dropped: Vec<String>,
    /// Changes with the schema.
    pub(crate) hash: String,
}

/// Why a labelled CRD is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is going away.
    Terminating,
    /// It cannot be offered, or nobody can tell how. What is exported already stays as it is.
    NotExportable(String),
}

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

    /// The terms that an export has been made on.
    pub(crate) fn terms_of(&self, export: &portolan_core::api::kubebind::APIServiceExportSpec) -> Terms {
        Terms::agreed(self.spec.scope, export.isolation, export.informer_scope)
    }

    /// Group and plural.
    pub(crate) fn group_resource(&self) -> (&str, &str) {
        (&self.spec.group, &self.spec.names.plural)
    }

    /// Whether its exports may be made anew where consumers have objects.
    pub(crate) fn allows_replacement(&self) -> bool {
        self.annotations().get(ANNOTATION_ALLOW_REPLACE).is_some_and(|value| value == "true")
    }

    /// What consumers get.
    pub(crate) fn offer(&self, tenancy: Tenancy) -> Result<Offer, Refusal> {
        self.offer_on(self.terms(tenancy)?)
    }

    /// What consumers get on these terms.
    pub(crate) fn offer_on(&self, terms: Terms) -> Result<Offer, Refusal> {
        let schema = self.spec.outline(terms).map_err(Refusal::NotExportable)?;
        let resource = ExportedResource {
            group: schema.group.clone(),
            resource: schema.names.plural.clone(),
            // All of them, as they come and go.
            versions: Vec::new(),
        };
        let claims = self.annotations().get(ANNOTATION_PERMISSION_CLAIMS).map(String::as_str);
        let claims = claims::parse(claims, &resource, terms.isolation).map_err(Refusal::NotExportable)?;
        let approved = self.annotations().get(ANNOTATION_API_APPROVED).cloned();
        let dropped = self.spec.dropped.clone();
        let hash = hash(&schema, approved.as_deref(), &dropped);
        Ok(Offer { schema, resource, terms, claims, approved, dropped, hash })
    }
}

impl Offer {
    /// Whether consumers convert between versions in another way than this cluster.
    pub(crate) fn drops_conversion(&self) -> bool {
        self.dropped.iter().any(|field| field == body::CONVERSION_SERVICE)
    }
}

fn hash(schema: &SchemaOutlineSpec, approved: Option<&str>, dropped: &[String]) -> String {
    let SchemaOutlineSpec { group, informer_scope, names, scope, conversion, bodies, .. } = schema;
    let parts =
        json!([group, informer_scope, names, scope, conversion, bodies.to_string(), approved, dropped]);
    sha256_hex(parts.to_string().as_bytes())
}

/// What people are told about fields that consumers do not get.
pub(crate) fn not_carried(dropped: &[String]) -> String {
    let service = dropped.iter().any(|field| field == body::CONVERSION_SERVICE);
    let cure = if service {
        " Consumers cannot reach a Service of this cluster, so they convert between versions without the webhook: \
         give it a url, or serve one version."
    } else {
        ""
    };
    format!("Consumers get the CRD without these fields: {}.{cure}", dropped.join(", "))
}

#[cfg(test)]
mod tests;
