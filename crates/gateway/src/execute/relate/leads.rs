//! Pure: where the objects of a gap are, and which of those that are read belong there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Asking;
use crate::{
    document::KindName,
    error::{Code, GraphError},
    input::Evaluator,
    plan::Related,
    schema::{Api, Kind, Relation},
};

/// What an object says of others. It is written beside what is selected.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Of {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
    #[serde(rename = "involvedObject")]
    involved: Option<Named>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Owner {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    controller: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    selector: Option<Value>,
    volumes: Option<Vec<Value>>,
    volume_name: Option<String>,
    claim_ref: Option<Named>,
}

/// A name, and perhaps more.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: Option<String>,
    namespace: Option<String>,
    kind: Option<String>,
    uid: Option<String>,
}

/// Which objects belong into a gap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    /// None.
    Nothing,
    /// Those of these names, and of this identity if it is known.
    Names(Vec<String>, Option<String>),
    /// Those that this one owns.
    OwnedBy(String),
    /// Events about this one.
    About(String),
    /// Those with these labels.
    Labelled(String),
}

/// What leads to the objects of a gap.
#[derive(Clone, Debug)]
pub(super) struct Lead {
    /// Their kind.
    pub(super) kind: usize,
    /// Their namespace; none for all.
    pub(super) namespace: Option<String>,
    /// Which of them.
    pub(super) which: Which,
    /// `true` if the gap is a list.
    pub(super) is_list: bool,
}

/// What leads to the objects of a gap.
pub(super) fn of(
    asking: Asking<'_>,
    related: &Related,
    (of, json): (Option<&Of>, &[u8]),
) -> Result<Lead, GraphError> {
    let api = &asking.endpoint.api;
    let of = of.cloned().unwrap_or_default();
    let (metadata, spec) = (of.metadata.unwrap_or_default(), of.spec.unwrap_or_default());
    let own = metadata.namespace.clone().filter(|namespace| !namespace.is_empty());
    let uid = metadata.uid.clone().filter(|uid| !uid.is_empty());
    let of_uid = |make: fn(String) -> Which| uid.clone().map_or(Which::Nothing, make);
    let lead = |kind: usize, namespace: Option<String>, which, is_list| {
        let is_namespaced = api.kinds.get(kind).is_some_and(|kind| kind.resource.is_namespaced);
        Ok(Lead { kind, namespace: namespace.filter(|_| is_namespaced), which, is_list })
    };
    match &related.relation {
        Relation::Reference { kind, .. } => {
            let named: Named = serde_json::from_slice(json).unwrap_or_default();
            let namespace = named.namespace.clone().filter(|namespace| !namespace.is_empty()).or(own);
            lead(*kind, namespace, of_reference(&named, api.kinds.get(*kind)), false)
        }
        Relation::Owner => match owner(&metadata) {
            Some(owner) => {
                let kind = kind_of(api, &owner.api_version, &owner.kind)?;
                let which = Which::Names(vec![owner.name.clone()], Some(owner.uid.clone()));
                lead(kind, own, which, false)
            }
            None => lead(0, None, Which::Nothing, false),
        },
        Relation::Owned => {
            let kind = named_kind(api, &argument(asking, related)?)?;
            lead(kind, own, of_uid(Which::OwnedBy), true)
        }
        Relation::Events { kind } => {
            let namespace = own.unwrap_or_else(|| "default".to_owned());
            lead(*kind, Some(namespace), of_uid(Which::About), true)
        }
        Relation::Selected { kind, by_labels } => {
            let selector = spec.selector.as_ref().and_then(|selector| selector_text(selector, *by_labels));
            lead(*kind, own, selector.map_or(Which::Nothing, Which::Labelled), true)
        }
        Relation::Claims { kind } => {
            let names = claims(&spec, metadata.name.as_deref().unwrap_or_default());
            let which = if names.is_empty() { Which::Nothing } else { Which::Names(names, None) };
            lead(*kind, own, which, true)
        }
        Relation::Volume { kind } => {
            let name = spec.volume_name.filter(|name| !name.is_empty());
            let which = name.map_or(Which::Nothing, |name| Which::Names(vec![name], None));
            lead(*kind, None, which, false)
        }
        Relation::Claim { kind } => {
            let claim = spec.claim_ref.unwrap_or_default();
            lead(*kind, claim.namespace.clone(), of_reference(&claim, None), false)
        }
    }
}

/// A reference that names another kind leads nowhere.
fn of_reference(named: &Named, kind: Option<&Kind>) -> Which {
    let is_other = kind.is_some_and(|kind| {
        named.kind.as_deref().is_some_and(|named| !named.is_empty() && named != kind.resource.name.kind)
    });
    match named.name.clone().filter(|name| !name.is_empty() && !is_other) {
        Some(name) => Which::Names(vec![name], None),
        None => Which::Nothing,
    }
}

fn owner(metadata: &Metadata) -> Option<&Owner> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).or_else(|| owners.first())
}

/// The kind of an owner, in the version that it names or in another one.
fn kind_of(api: &Api, api_version: &str, kind: &str) -> Result<usize, GraphError> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let name = KindName { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
    let exact = api.kinds.iter().position(|known| known.resource.name == name);
    let other = || {
        let is = |known: &Kind| known.resource.name.group == group && known.resource.name.kind == kind;
        api.kinds.iter().position(is)
    };
    exact.or_else(other).ok_or_else(|| {
        GraphError::new(Code::NotFound, format!("the cluster has no kind {kind} in {api_version}"))
    })
}

/// The kind of an argument: `Pod`, or with its version such as `apps/v1/ReplicaSet`.
pub(super) fn named_kind(api: &Api, text: &str) -> Result<usize, GraphError> {
    if let Some((api_version, kind)) = text.rsplit_once('/') {
        return kind_of(api, api_version, kind);
    }
    let unknown = || GraphError::new(Code::Invalid, format!("the cluster has no kind {text:?}"));
    crate::schema::best_kind(&api.kinds, text).ok_or_else(unknown)
}

fn argument(asking: Asking<'_>, related: &Related) -> Result<String, GraphError> {
    let Some(argument) = &related.argument else { return Ok(String::new()) };
    let evaluator = Evaluator { api: &asking.endpoint.api, variables: asking.variables };
    let json = evaluator.json(argument)?.unwrap_or_default();
    Ok(serde_json::from_slice::<Option<String>>(&json).unwrap_or_default().unwrap_or_default())
}

/// A selector as text: of labels alone as Services have it, or with expressions. None if it selects nothing.
pub(super) fn selector_text(selector: &Value, by_labels: bool) -> Option<String> {
    let fields = selector.as_object()?;
    let equal = |(key, value): (&String, &Value)| Some(format!("{key}={}", value.as_str()?));
    if by_labels {
        let all: Option<Vec<_>> = fields.iter().map(equal).collect();
        return all.filter(|all| !all.is_empty()).map(|all| all.join(","));
    }
    let mut all = Vec::new();
    for label in fields.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        all.push(equal(label)?);
    }
    for expression in fields.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = expression["key"].as_str()?;
        let values: Vec<_> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let values = values.join(",");
        all.push(match expression["operator"].as_str()? {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => return None,
        });
    }
    Some(all.join(","))
}

/// The claims that the volumes of a pod name. Those of ephemeral volumes are called like pod and volume.
fn claims(spec: &Spec, pod: &str) -> Vec<String> {
    let name = |volume: &Value| {
        if volume["ephemeral"].is_object() {
            return Some(format!("{pod}-{}", volume["name"].as_str()?));
        }
        Some(volume["persistentVolumeClaim"]["claimName"].as_str()?.to_owned())
    };
    spec.volumes.iter().flatten().filter_map(name).collect()
}

impl Of {
    pub(super) fn name(&self) -> Option<&str> {
        self.metadata.as_ref()?.name.as_deref()
    }

    pub(super) fn uid(&self) -> Option<&str> {
        self.metadata.as_ref()?.uid.as_deref()
    }

    /// Whom the object belongs to.
    pub(super) fn owners(&self) -> impl Iterator<Item = &str> {
        let owners = self.metadata.iter().filter_map(|metadata| metadata.owner_references.as_ref());
        owners.flatten().map(|owner| owner.uid.as_str())
    }

    /// What an Event is about.
    pub(super) fn subject(&self) -> Option<&str> {
        self.involved.as_ref()?.uid.as_deref()
    }

    /// Its labels, as an object has them.
    pub(super) fn labels(&self) -> String {
        let labels = self.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
        json!({"metadata": {"labels": labels}}).to_string()
    }
}
