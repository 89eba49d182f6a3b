//! Permission claims as far as they can be met: what may be claimed, and which objects a claim chooses. Pure.

mod path;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as MetaLabelSelector;
use kube::core::{ApiResource, Selector, SelectorExt as _};
use serde_json::json;

pub use self::path::{FieldPath, InvalidPath};
use crate::api::kubebind::{
    ExportedResource, Isolation, LabelSelector, NamedResource, PermissionClaim, ResourceReference,
};

/// A resource that may be claimed. All are of the core group, in version v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimedResource {
    /// `ConfigMap`s.
    ConfigMaps,
    /// `Secret`s, without the tokens of `ServiceAccount`s.
    Secrets,
    /// `ServiceAccount`s, without their `Secret`s.
    ServiceAccounts,
}

impl ClaimedResource {
    /// Everything that may be claimed.
    pub const ALL: [Self; 3] = [Self::ConfigMaps, Self::Secrets, Self::ServiceAccounts];

    /// The plural, as in a claim.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ConfigMaps => "configmaps",
            Self::Secrets => "secrets",
            Self::ServiceAccounts => "serviceaccounts",
        }
    }

    /// The kind.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ConfigMaps => "ConfigMap",
            Self::Secrets => "Secret",
            Self::ServiceAccounts => "ServiceAccount",
        }
    }

    /// The kind, group, version and plural as a client needs them.
    pub fn api_resource(self) -> ApiResource {
        ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: self.kind().to_owned(),
            plural: self.plural().to_owned(),
        }
    }

    /// The resource with this plural in the core group.
    pub fn of(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|claimed| claimed.plural() == plural)
    }
}

/// A claim that can be met.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceClaim {
    /// The claimed resource.
    pub resource: ClaimedResource,
    /// Labels of chosen objects, if the claim chooses by labels.
    pub labels: Option<Selector>,
    /// The label keys that `labels` looks at.
    pub label_keys: BTreeSet<String>,
    /// Objects chosen by name.
    pub names: Vec<NamedResource>,
    /// Objects chosen because bound objects refer to them.
    pub references: Vec<ClaimReference>,
}

/// The paths at which objects of a resource name the objects that they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimReference {
    /// The referring resource.
    pub group: String,
    /// Its plural.
    pub resource: String,
    /// Its version, where the claim says one.
    pub version: Option<String>,
    /// The path of the name.
    pub name: FieldPath,
    /// The path of the namespace; without it, the referring object's own namespace.
    pub namespace: Option<FieldPath>,
}

/// A claim that cannot be met as it stands. The text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidClaim(String);

impl ResourceClaim {
    /// Returns `true` if labels alone choose an object.
    pub fn chooses_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.as_ref().is_some_and(|selector| selector.matches(labels))
    }

    /// Returns `true` if the claim names an object.
    pub fn names(&self, namespace: &str, name: &str) -> bool {
        let here = |named: &NamedResource| in_any(named).is_none_or(|one| one == namespace);
        self.names.iter().any(|named| named.name == name && here(named))
    }
}

/// The namespace that a name is limited to.
pub fn in_any(named: &NamedResource) -> Option<&str> {
    named.namespace.as_deref().filter(|namespace| !namespace.is_empty())
}

/// Reads the claims of an export: those that can be met, and what is wrong with the others.
pub fn read(
    claims: &[PermissionClaim],
    exported: &[ExportedResource],
    isolation: Isolation,
) -> (Vec<ResourceClaim>, Vec<InvalidClaim>) {
    let (mut valid, mut invalid) = (Vec::<ResourceClaim>::new(), Vec::new());
    for claim in claims {
        match read_one(claim, exported, isolation) {
            Ok(claim) if valid.iter().any(|other| other.resource == claim.resource) => {
                let plural = claim.resource.plural();
                invalid.push(InvalidClaim(format!(
                    "There are several claims on {plural}: only the first is used. Combine their selectors in one \
                     claim."
                )));
            }
            Ok(claim) => valid.push(claim),
            Err(error) => invalid.push(error),
        }
    }
    (valid, invalid)
}

fn read_one(
    claim: &PermissionClaim,
    exported: &[ExportedResource],
    isolation: Isolation,
) -> Result<ResourceClaim, InvalidClaim> {
    let resource = ClaimedResource::of(&claim.resource).filter(|_| claim.group.is_empty()).ok_or_else(|| {
        let (resource, group) = (&claim.resource, &claim.group);
        InvalidClaim(format!(
            "{resource:?} of group {group:?} cannot be claimed: only configmaps, secrets and serviceaccounts of the \
             core group can be."
        ))
    })?;
    let wrong =
        |why: String| InvalidClaim(format!("The claim on {} cannot be read: {why}", resource.plural()));
    let selector = &claim.selector;
    let labels = selector.label_selector.as_ref().map(labels).transpose().map_err(&wrong)?;
    let references = selector.references.iter().map(|one| reference(one, exported, isolation));
    if let Some(unnamed) = selector.named_resources.iter().find(|named| named.name.is_empty()) {
        return Err(wrong(format!(
            "a named resource has no name, only the namespace {:?}.",
            unnamed.namespace
        )));
    }
    Ok(ResourceClaim {
        resource,
        labels,
        label_keys: selector.label_selector.iter().flat_map(keys).cloned().collect(),
        names: selector.named_resources.clone(),
        references: references.collect::<Result<_, _>>().map_err(wrong)?,
    })
}

fn labels(selector: &LabelSelector) -> Result<Selector, String> {
    let known = ["In", "NotIn", "Exists", "DoesNotExist"];
    if let Some(odd) = selector.match_expressions.iter().find(|one| !known.contains(&one.operator.as_str())) {
        return Err(format!("operator {:?} is unknown: use one of {}.", odd.operator, known.join(", ")));
    }
    let selector: MetaLabelSelector =
        serde_json::from_value(json!(selector)).map_err(|error| format!("{error}."))?;
    Selector::try_from(selector).map_err(|error| format!("{error}."))
}

fn keys(selector: &LabelSelector) -> impl Iterator<Item = &String> {
    selector.match_labels.keys().chain(selector.match_expressions.iter().map(|one| &one.key))
}

fn reference(
    reference: &ResourceReference,
    exported: &[ExportedResource],
    isolation: Isolation,
) -> Result<ClaimReference, String> {
    let (group, resource) = (&reference.group, &reference.resource);
    let is_exported = exported.iter().any(|one| (&one.group, &one.resource) == (group, resource));
    let version = reference.versions.first().cloned();
    if !is_exported && isolation != Isolation::None {
        return Err(format!("it refers to {resource}.{group}, which is not in the same export."));
    }
    if !is_exported && version.is_none() {
        return Err(format!("it refers to {resource}.{group} of another export without a version."));
    }
    let path = |text: &str| FieldPath::parse(text).map_err(|error| format!("{error}."));
    let namespace = reference.json_path.namespace.as_deref().filter(|text| !text.is_empty());
    Ok(ClaimReference {
        group: group.clone(),
        resource: resource.clone(),
        version,
        name: path(&reference.json_path.name)?,
        namespace: namespace.map(path).transpose()?,
    })
}
