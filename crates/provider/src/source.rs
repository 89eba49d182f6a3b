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

pub use self::body::FullCrd;
use self::body::SourceSpec;
use crate::{
    claims,
    tenancy::{Tenancy, TenancyTerms},
};

/// A labelled CRD as far as plans read it; its schemas are read when they are written.
#[derive(Resource, Clone, Debug, Deserialize)]
#[resource(inherit = CustomResourceDefinition)]
pub struct SourceCrd {
    #[serde(deserialize_with = "slim")]
    metadata: ObjectMeta,
    spec: SourceSpec,
}

/// The part of a CRD that consumers get.
#[derive(Clone, Debug)]
pub struct CrdOffer {
    pub schema: SchemaOutlineSpec,
    pub resource: ExportedResource,
    pub terms: TenancyTerms,
    pub claims: Vec<PermissionClaim>,
    /// The approval, from an annotation, that the CRD is of a protected group.
    pub approved: Option<String>,
    /// Fields of the CRD that consumers do not get.
    pub dropped: Vec<String>,
    /// Changes with the schema.
    pub hash: String,
}

/// Reasons why a labelled CRD is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfferRefusal {
    /// It is terminating.
    Terminating,
    /// It cannot be offered, or nobody can tell how. What is exported already stays as it is.
    NotExportable(String),
}

const OWN_GROUP: &str = "It is in the API group of exports and bindings themselves, which no consumer can bind. \
 Remove the label.";

impl SourceCrd {
    /// The terms of the offer, if the CRD is offered at all.
    pub fn terms(&self, tenancy: Tenancy) -> Result<TenancyTerms, OfferRefusal> {
        if self.metadata.deletion_timestamp.is_some() {
            return Err(OfferRefusal::Terminating);
        }
        if groups::is_own(&self.spec.group) {
            return Err(OfferRefusal::NotExportable(OWN_GROUP.to_owned()));
        }
        let annotation = |key: &str| self.annotations().get(key).map(String::as_str);
        tenancy.terms(self.spec.scope, annotation).map_err(OfferRefusal::NotExportable)
    }

    /// The terms that an export has been made on.
    pub fn terms_of(&self, export: &portolan_core::api::kubebind::APIServiceExportSpec) -> TenancyTerms {
        TenancyTerms::agreed(self.spec.scope, export.isolation, export.informer_scope)
    }

    /// Group and plural.
    pub fn group_resource(&self) -> (&str, &str) {
        (&self.spec.group, &self.spec.names.plural)
    }

    /// Returns `true` if its exports may be recreated where consumers have objects.
    pub fn allows_replacement(&self) -> bool {
        self.annotations().get(ANNOTATION_ALLOW_REPLACE).is_some_and(|value| value == "true")
    }

    /// The offer to consumers.
    pub fn offer(&self, tenancy: Tenancy) -> Result<CrdOffer, OfferRefusal> {
        self.offer_on(self.terms(tenancy)?)
    }

    /// The offer to consumers on these terms.
    pub fn offer_on(&self, terms: TenancyTerms) -> Result<CrdOffer, OfferRefusal> {
        let schema = self.spec.outline(terms).map_err(OfferRefusal::NotExportable)?;
        let resource = ExportedResource {
            group: schema.group.clone(),
            resource: schema.names.plural.clone(),
            // All of them, as they come and go.
            versions: Vec::new(),
        };
        let claims = self.annotations().get(ANNOTATION_PERMISSION_CLAIMS).map(String::as_str);
        let claims =
            claims::parse(claims, &resource, terms.isolation).map_err(OfferRefusal::NotExportable)?;
        let approved = self.annotations().get(ANNOTATION_API_APPROVED).cloned();
        let dropped = self.spec.dropped.clone();
        let hash = hash(&schema, approved.as_deref(), &dropped);
        Ok(CrdOffer { schema, resource, terms, claims, approved, dropped, hash })
    }
}

impl CrdOffer {
    /// Returns `true` if consumers convert between versions in another way than this cluster.
    pub fn drops_conversion(&self) -> bool {
        self.dropped.iter().any(|field| field == body::CONVERSION_SERVICE)
    }
}

fn hash(schema: &SchemaOutlineSpec, approved: Option<&str>, dropped: &[String]) -> String {
    let SchemaOutlineSpec { group, informer_scope, names, scope, conversion, bodies, .. } = schema;
    let parts =
        json!([group, informer_scope, names, scope, conversion, bodies.to_string(), approved, dropped]);
    sha256_hex(parts.to_string().as_bytes())
}

/// The message about fields that consumers do not get.
pub fn not_carried(dropped: &[String]) -> String {
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
