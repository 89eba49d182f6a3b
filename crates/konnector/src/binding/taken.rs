//! Names of a CRD that others have: its group and version, or one of its own names. Which, and whose.

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionNames,
    apimachinery::pkg::apis::meta::v1::APIResource,
};
use kube::{Client, ResourceExt as _};
use portolan_core::{
    api::kubebind::{REASON_GROUP_NOT_BINDABLE, ResourceNames},
    outline::{CrdOutline, SchemaOutline},
};
use tracing::debug;

use super::objection::SchemaObjection;
use crate::{crd, groups::ServedGroups};

/// The reason why a schema cannot become a CRD of this cluster, if it cannot.
pub(super) fn group_objection(schema: &SchemaOutline, served: &ServedGroups) -> Option<SchemaObjection> {
    let versions = schema.spec.versions.iter().filter(|version| version.served);
    let why = served.objection(&schema.spec.group, versions.map(|version| version.name.as_str()))?;
    let message = format!("CustomResourceDefinition {} cannot be bound: {why}.", crd::name(schema));
    Some(SchemaObjection { reason: REASON_GROUP_NOT_BINDABLE, message })
}

/// The reason why the API server does not take the names of a CRD, if it does not.
pub(super) async fn name_objection(client: &Client, crd: &CrdOutline) -> Option<SchemaObjection> {
    let refused = refused(crd);
    if refused.is_empty() {
        return None;
    }
    let others = resources(client, &crd.spec.group).await.unwrap_or_else(|error| {
        debug!(crd = crd.name_any(), "cannot find out what uses its names: {error}");
        Vec::new()
    });
    Some(SchemaObjection { reason: "NamesNotAccepted", message: describe(crd, &refused, &others) })
}

/// The resources that the API server serves in a group.
async fn resources(client: &Client, group: &str) -> kube::Result<Vec<APIResource>> {
    let groups = client.list_api_groups().await?.groups;
    let versions = groups.into_iter().filter(|found| found.name == group).flat_map(|found| found.versions);
    let mut found = Vec::new();
    for version in versions {
        found.extend(client.list_api_group_resources(&version.group_version).await?.resources);
    }
    Ok(found)
}

/// A name that was asked for, with the field that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RequestedName {
    field: &'static str,
    text: String,
}

/// The names that the API server has not accepted.
fn refused(crd: &CrdOutline) -> Vec<RequestedName> {
    let Some(status) = &crd.status else { return Vec::new() };
    let conditions = status.conditions.as_deref().unwrap_or_default();
    if !conditions.iter().any(|c| c.type_ == "NamesAccepted" && c.status == "False") {
        return Vec::new();
    }
    let accepted = status.accepted_names.clone().map(|found| names(&as_asked(found))).unwrap_or_default();
    names(&crd.spec.names).into_iter().filter(|name| !accepted.contains(name)).collect()
}

fn as_asked(names: CustomResourceDefinitionNames) -> ResourceNames {
    ResourceNames {
        plural: names.plural,
        kind: names.kind,
        singular: names.singular,
        list_kind: names.list_kind,
        short_names: names.short_names,
        categories: names.categories,
    }
}

fn names(all: &ResourceNames) -> Vec<RequestedName> {
    let single = [
        ("plural", Some(&all.plural)),
        ("singular", all.singular.as_ref()),
        ("kind", Some(&all.kind)),
        ("listKind", all.list_kind.as_ref()),
    ];
    let single = single.into_iter().filter_map(|(field, text)| Some((field, text?)));
    let short = all.short_names.iter().flatten().map(|text| ("shortName", text));
    let name = |(field, text): (&'static str, &String)| RequestedName { field, text: text.clone() };
    single.chain(short).filter(|(_, text)| !text.is_empty()).map(name).collect()
}

fn describe(crd: &CrdOutline, refused: &[RequestedName], others: &[APIResource]) -> String {
    let (group, plural) = (&crd.spec.group, &crd.spec.names.plural);
    let others: Vec<_> = others.iter().filter(|o| o.name != *plural && !o.name.contains('/')).collect();
    let holder = |name: &RequestedName| others.iter().find(|other| has(other, name)).map(|other| &other.name);
    let held = refused.iter().filter_map(|name| Some((name, holder(name)?)));
    let mut said: Vec<_> = held
        .map(|(RequestedName { field, text }, by)| format!("{field} {text} is in use by {by}.{group}"))
        .collect();
    if said.is_empty() {
        // One of the short names is enough for all of them to be refused.
        said =
            refused.iter().map(|RequestedName { field, text }| format!("{field} {text} is in use")).collect();
    }
    let state = if crd.is_established() { "keeps its former names" } else { "is not served" };
    format!(
        "CustomResourceDefinition {} {state}: {}. Have the provider choose other names, or remove the other \
         CustomResourceDefinition from this cluster.",
        crd.name_any(),
        said.join(", ")
    )
}

/// Returns `true` if another resource has a name. Those of kinds and those of resources are apart.
fn has(other: &APIResource, RequestedName { field, text }: &RequestedName) -> bool {
    if matches!(*field, "kind" | "listKind") {
        return other.kind == *text || format!("{}List", other.kind) == *text;
    }
    let mut short = other.short_names.iter().flatten();
    other.name == *text || other.singular_name == *text || short.any(|name| name == text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn crd(accepted: &Value, names_accepted: &str, established: &str) -> CrdOutline {
        serde_json::from_value(json!({
            "metadata": {"name": "cowboys.lab.dev"},
            "spec": {
                "group": "lab.dev", "scope": "Namespaced", "versions": [],
                "names": {
                    "plural": "cowboys", "singular": "cowboy", "kind": "Cowboy", "listKind": "CowboyList",
                    "shortNames": ["cb", "cbs"],
                },
            },
            "status": {
                "acceptedNames": accepted,
                "conditions": [
                    {"type": "NamesAccepted", "status": names_accepted, "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "Established", "status": established, "lastTransitionTime": "2026-01-01T00:00:00Z"},
                ],
            },
        }))
        .unwrap()
    }

    fn other(name: &str, singular: &str, kind: &str, short: &[&str]) -> APIResource {
        APIResource {
            name: name.to_owned(),
            singular_name: singular.to_owned(),
            kind: kind.to_owned(),
            short_names: Some(short.iter().map(|name| (*name).to_owned()).collect()),
            ..APIResource::default()
        }
    }

    fn said(accepted: &Value, others: &[APIResource]) -> String {
        let crd = crd(accepted, "False", "False");
        describe(&crd, &refused(&crd), others)
    }

    #[test]
    fn the_name_that_is_taken_is_named_with_who_has_it() {
        let without = |field: &str| {
            let mut accepted = json!({
                "plural": "cowboys", "singular": "cowboy", "kind": "Cowboy", "listKind": "CowboyList",
                "shortNames": ["cb", "cbs"],
            });
            let removed = if field == "shortNames" { json!([]) } else { json!("") };
            accepted[field] = removed;
            accepted
        };
        let table = [
            (
                "shortNames",
                other("locals", "local", "Local", &["cb"]),
                "shortName cb is in use by locals.lab.dev.",
            ),
            ("shortNames", other("cbs", "x", "Local", &[]), "shortName cbs is in use by cbs.lab.dev."),
            ("shortNames", other("locals", "cb", "Local", &[]), "shortName cb is in use by locals.lab.dev."),
            (
                "singular",
                other("locals", "local", "Local", &["cowboy"]),
                "singular cowboy is in use by locals.lab.dev.",
            ),
            (
                "plural",
                other("locals", "local", "Local", &["cowboys"]),
                "plural cowboys is in use by locals.lab.dev.",
            ),
            ("kind", other("locals", "local", "Cowboy", &[]), "kind Cowboy is in use by locals.lab.dev."),
            (
                "listKind",
                other("locals", "local", "Cowboy", &[]),
                "listKind CowboyList is in use by locals.lab.dev.",
            ),
            ("kind", other("locals", "Cowboy", "Local", &["Cowboy"]), "kind Cowboy is in use."),
        ];
        for (field, other, expected) in table {
            let text = said(&without(field), &[other]);
            assert!(text.contains(expected), "{field}: {text}");
        }
        let unknown = said(&without("shortNames"), &[other("cowboys", "cowboy", "Cowboy", &["cb"])]);
        assert!(unknown.contains("shortName cb is in use, shortName cbs is in use."), "{unknown}");
    }

    #[test]
    fn nothing_is_said_of_a_crd_whose_names_are_accepted_or_not_judged_yet() {
        let names = json!({"plural": "cowboys", "kind": "Cowboy"});
        assert!(refused(&crd(&names, "True", "True")).is_empty());
        assert!(refused(&crd(&names, "Unknown", "False")).is_empty());
        let mut fresh = crd(&names, "False", "False");
        fresh.status = None;
        assert!(refused(&fresh).is_empty());
    }

    #[test]
    fn a_crd_that_is_served_already_keeps_its_names() {
        let served = crd(&json!({"plural": "cowboys", "kind": "Cowboy"}), "False", "True");
        let text = describe(&served, &refused(&served), &[]);
        assert!(text.contains("cowboys.lab.dev keeps its former names: "), "{text}");
    }
}
