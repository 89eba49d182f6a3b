//! Pure: where the objects of a gap are.

use serde_json::Value;

use super::{
    super::RequestContext,
    of::{ObjectFacts, text},
};
use crate::{
    document::KindName,
    error::{ErrorCode, GraphError},
    input::ArgumentEvaluator,
    plan::RelatedField,
    schema::{ClusterApi, FieldRelation, ReferenceNeeds},
};

/// Which objects belong into a gap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum WantedObjects {
    /// Those of these names, and of this identity if it is known.
    Names(Vec<String>, Option<String>),
    /// Those that this one owns.
    OwnedBy(String),
    /// Events about this one.
    About(String),
    /// Events about a Node of this identity and name.
    AboutNode(String, String),
    /// Those with these labels.
    Labelled(String),
}

/// The way to the objects of a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GapLead {
    /// Their kind.
    pub(super) kind: usize,
    /// Their namespace; none for all.
    pub(super) namespace: Option<String>,
    /// Which of them.
    pub(super) which: WantedObjects,
}

impl GapLead {
    fn to(kind: usize, namespace: Option<&str>, which: WantedObjects) -> Self {
        Self { kind, namespace: namespace.map(str::to_owned), which }
    }
}

/// A relation, and what it needs to know of the cluster.
pub(super) struct LeadingRelation<'a> {
    pub(super) api: &'a ClusterApi,
    pub(super) relation: &'a FieldRelation,
    /// The kind that is asked for, of a relation to any kind.
    pub(super) owned: Option<usize>,
}

impl<'a> LeadingRelation<'a> {
    /// A relation of a query, with its argument.
    pub(super) fn of(asking: RequestContext<'a>, related: &'a RelatedField) -> Result<Self, GraphError> {
        let api = &asking.endpoint.api;
        let owned = match related.relation {
            FieldRelation::Owned => Some(named_kind(api, &argument(asking, related)?)?),
            _ => None,
        };
        Ok(Self { api, relation: &related.relation, owned })
    }

    /// The way from an object to others, by the JSON in the place of the gap. None if it leads nowhere.
    pub(super) fn lead(&self, of: &ObjectFacts, json: &[u8]) -> Result<Option<GapLead>, GraphError> {
        let Some(mut lead) = self.any_lead(of, json)? else { return Ok(None) };
        if !self.api.kinds.get(lead.kind).is_some_and(|kind| kind.resource.is_namespaced) {
            lead.namespace = None;
            return Ok(Some(lead));
        }
        // Each namespace may have an object of a name.
        let is_somewhere = lead.namespace.is_some() || matches!(lead.which, WantedObjects::OwnedBy(_));
        Ok(is_somewhere.then_some(lead))
    }

    fn any_lead(&self, of: &ObjectFacts, json: &[u8]) -> Result<Option<GapLead>, GraphError> {
        let own = of.namespace();
        Ok(match self.relation {
            FieldRelation::Reference { kind, needs, .. } => self.reference((*kind, *needs), own, json),
            FieldRelation::Owner => return self.owner(of),
            FieldRelation::Owned => {
                let uid = self.owned.zip(of.uid());
                uid.map(|(kind, uid)| GapLead::to(kind, own, WantedObjects::OwnedBy(uid.to_owned())))
            }
            FieldRelation::Events { kind, of_nodes } => {
                let about = about(of, *of_nodes);
                about.map(|about| GapLead::to(*kind, own.or(Some("default")), about))
            }
            FieldRelation::Selected { kind, by_labels } => {
                let selector = selector_text(&of.spec["selector"], *by_labels);
                selector.map(|selector| GapLead::to(*kind, own, WantedObjects::Labelled(selector)))
            }
            FieldRelation::Claims { kind } => {
                let names = claims(&of.spec, of.name().unwrap_or_default());
                (!names.is_empty()).then(|| GapLead::to(*kind, own, WantedObjects::Names(names, None)))
            }
            FieldRelation::Volume { kind } => {
                let name = text(&of.spec["volumeName"]);
                name.map(|name| GapLead::to(*kind, None, WantedObjects::Names(vec![name.to_owned()], None)))
            }
            FieldRelation::Claim { kind } => {
                let claim = &of.spec["claimRef"];
                let namespace = text(&claim["namespace"]);
                named(claim).map(|which| GapLead::to(*kind, namespace, which))
            }
        })
    }

    /// A reference that names another kind, or one of another group, leads nowhere.
    fn reference(
        &self,
        (kind, needs): (usize, ReferenceNeeds),
        own: Option<&str>,
        json: &[u8],
    ) -> Option<GapLead> {
        let reference: Value = serde_json::from_slice(json).unwrap_or_default();
        let known = &self.api.kinds.get(kind)?.resource.name;
        let is = |said: Option<&str>, known: &str, must: bool| said.map_or(!must, |said| said == known);
        let is_it = is(text(&reference["kind"]), &known.kind, needs.kind)
            && is(group(&reference), &known.group, needs.group);
        let name = text(&reference["name"]).filter(|_| is_it)?;
        let namespace = text(&reference["namespace"]).or(own);
        Some(GapLead::to(kind, namespace, WantedObjects::Names(vec![name.to_owned()], None)))
    }

    fn owner(&self, of: &ObjectFacts) -> Result<Option<GapLead>, GraphError> {
        let Some(owner) = of.owner() else { return Ok(None) };
        let kind = kind_of(self.api, &owner.api_version, &owner.kind)?;
        let which = WantedObjects::Names(vec![owner.name.clone()], Some(owner.uid.clone()));
        Ok(Some(GapLead::to(kind, of.namespace(), which)))
    }
}

/// The object that a reference names, and no other one that is called so later.
fn named(reference: &Value) -> Option<WantedObjects> {
    let uid = text(&reference["uid"]).map(str::to_owned);
    Some(WantedObjects::Names(vec![text(&reference["name"])?.to_owned()], uid))
}

/// The group that a reference names, as different kinds of references do.
fn group(reference: &Value) -> Option<&str> {
    let of_version = || Some(text(&reference["apiVersion"])?.split_once('/').map_or("", |(group, _)| group));
    text(&reference["apiGroup"]).or_else(|| text(&reference["group"])).or_else(of_version)
}

fn about(of: &ObjectFacts, is_node: bool) -> Option<WantedObjects> {
    let uid = of.uid()?.to_owned();
    Some(match of.name().filter(|_| is_node) {
        Some(name) => WantedObjects::AboutNode(uid, name.to_owned()),
        None => WantedObjects::About(uid),
    })
}

/// The kind of an owner, in the version that it names or in another one.
fn kind_of(api: &ClusterApi, api_version: &str, kind: &str) -> Result<usize, GraphError> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let name = KindName { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() };
    let other = || {
        let is = |name: &KindName| name.group == group && name.kind == kind;
        api.kinds.iter().position(|known| is(&known.resource.name))
    };
    api.position(&name).or_else(other).ok_or_else(|| {
        GraphError::new(ErrorCode::NotFound, format!("the cluster has no kind {kind} in {api_version}"))
    })
}

/// The kind of an argument: `Pod`, or with its version such as `apps/v1/ReplicaSet`.
fn named_kind(api: &ClusterApi, text: &str) -> Result<usize, GraphError> {
    if let Some((api_version, kind)) = text.rsplit_once('/') {
        return kind_of(api, api_version, kind);
    }
    let unknown = || GraphError::new(ErrorCode::Invalid, format!("the cluster has no kind {text:?}"));
    crate::schema::best_kind(&api.kinds, text).ok_or_else(unknown)
}

fn argument(asking: RequestContext<'_>, related: &RelatedField) -> Result<String, GraphError> {
    let Some(argument) = &related.argument else { return Ok(String::new()) };
    let evaluator = ArgumentEvaluator { api: &asking.endpoint.api, variables: asking.variables };
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
fn claims(spec: &Value, pod: &str) -> Vec<String> {
    let name = |volume: &Value| {
        if volume["ephemeral"].is_object() {
            return Some(format!("{pod}-{}", text(&volume["name"])?));
        }
        text(&volume["persistentVolumeClaim"]["claimName"]).map(str::to_owned)
    };
    spec["volumes"].as_array().into_iter().flatten().filter_map(name).collect()
}
