//! Fields that lead to other objects: beside a reference, the object that it names; and at the root of each object, its
//! owner, what it owns, its Events, and what it selects or mounts.

use std::collections::BTreeSet;

use apollo_compiler::{
    Name, Node,
    ast::Type,
    collections::HashMap,
    schema::{Component, ExtendedType, FieldDefinition},
};

use super::{
    fields::beside,
    kinds::{Key, Kind},
    nodes::Fields,
    types::Builder,
};
use crate::{
    document::{Definition, KindName},
    names,
};

/// The type of an object of any kind.
const ANY: &str = "RelatedObject";

/// How the objects of a field are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The object of this kind that a key names.
    Reference {
        /// The key.
        key: Box<str>,
        /// The kind.
        kind: usize,
    },
    /// The owner: the controller, if there is one.
    Owner,
    /// Objects of a kind that it owns.
    Owned,
    /// Events about it.
    Events {
        /// The kind of Events.
        kind: usize,
    },
    /// The Pods that it selects.
    Selected {
        /// The kind of Pods.
        kind: usize,
        /// `true` if the selector is of labels alone.
        by_labels: bool,
    },
    /// The claims that a Pod mounts.
    Claims {
        /// The kind of claims.
        kind: usize,
    },
    /// The volume of a claim.
    Volume {
        /// The kind of volumes.
        kind: usize,
    },
    /// The claim of a volume.
    Claim {
        /// The kind of claims.
        kind: usize,
    },
}

/// The relations, by type and field.
pub(crate) type Relations = HashMap<(Name, Name), Relation>;

/// The kinds that select Pods, and `true` for those that do so by labels alone.
const SELECTING: [(&str, &str, bool); 8] = [
    ("", "Service", true),
    ("", "ReplicationController", true),
    ("policy", "PodDisruptionBudget", false),
    ("apps", "Deployment", false),
    ("apps", "ReplicaSet", false),
    ("apps", "StatefulSet", false),
    ("apps", "DaemonSet", false),
    ("batch", "Job", false),
];

/// The best kind of a name: of the core group, or the most mature one.
pub(crate) fn best_kind(kinds: &[Kind], name: &str) -> Option<usize> {
    let all = kinds.iter().enumerate().filter(|(_, kind)| {
        kind.resource.name.kind == name && kind.resource.takes("get") && kind.resource.takes("list")
    });
    let rank = |name: &KindName| {
        let group = std::cmp::Reverse(name.group.clone());
        (name.group.is_empty(), names::maturity(&name.version), group)
    };
    all.max_by_key(|(_, kind)| rank(&kind.resource.name)).map(|(index, _)| index)
}

/// The kinds that a reference may name, with the names of their fields: `roleRef` leads to a Role or a ClusterRole.
pub(super) fn referred(kinds: &[Kind], key: &str, target: &Definition) -> Vec<(String, usize)> {
    let names_object = target.properties.get("name").is_some_and(|name| name.word() == Some("string"));
    let Some(base) = key.strip_suffix("Ref").filter(|base| !base.is_empty() && names_object) else {
        return Vec::new();
    };
    let base = base.strip_suffix("Key").filter(|base| !base.is_empty()).unwrap_or(base);
    let own = names::capital(base);
    let mut all = Vec::new();
    all.extend(best_kind(kinds, &own).map(|kind| (base.to_owned(), kind)));
    if target.properties.contains_key("kind") {
        let wide = format!("Cluster{own}");
        all.extend(best_kind(kinds, &wide).map(|kind| (format!("cluster{own}"), kind)));
    }
    all
}

/// Adds the relations of whole objects to the types of all kinds.
pub(super) fn add(builder: &mut Builder<'_>) {
    let Some(metadata) = metadata_type(builder) else { return };
    let fields = any_fields(builder, metadata);
    let any = builder.nodes.object(ANY, fields, Some("An object of any kind."));
    builder.add(ANY, any);
    let core = |builder: &Builder<'_>, kind: &str| {
        let name = KindName { group: String::new(), version: "v1".to_owned(), kind: kind.to_owned() };
        builder.kinds.iter().position(|known| known.resource.name == name && known.resource.takes("list"))
    };
    let [pods, events, claims, volumes] =
        ["Pod", "Event", "PersistentVolumeClaim", "PersistentVolume"].map(|kind| core(builder, kind));
    for index in 0..builder.kinds.len() {
        let name = builder.kinds[index].resource.name.clone();
        let mut found = vec![("owner", Relation::Owner), ("owned", Relation::Owned)];
        found.extend(events.map(|kind| ("events", Relation::Events { kind })));
        let selects = SELECTING.iter().find(|(group, kind, _)| *group == name.group && *kind == name.kind);
        found.extend(pods.zip(selects).map(|(kind, (_, _, by_labels))| {
            ("selected", Relation::Selected { kind, by_labels: *by_labels })
        }));
        match (name.group.as_str(), name.kind.as_str()) {
            ("", "Pod") => found.extend(claims.map(|kind| ("claims", Relation::Claims { kind }))),
            ("", "PersistentVolumeClaim") => {
                found.extend(volumes.map(|kind| ("volume", Relation::Volume { kind })));
            }
            ("", "PersistentVolume") => found.extend(claims.map(|kind| ("claim", Relation::Claim { kind }))),
            _ => {}
        }
        let type_name = builder.kinds[index].type_name.clone();
        for (field, relation) in found {
            put(builder, &type_name, field, relation);
        }
    }
}

/// The type of the metadata of objects.
fn metadata_type(builder: &Builder<'_>) -> Option<Type> {
    builder.kinds.iter().find_map(|kind| {
        let ty = builder.types.get(&kind.type_name)?.as_object()?;
        let metadata = ty.fields.get("metadata")?.ty.clone();
        builder.types.get(metadata.inner_named_type())?.as_object()?.fields.get("ownerReferences")?;
        Some(metadata)
    })
}

fn any_fields(builder: &mut Builder<'_>, metadata: Type) -> Fields {
    let mut fields = Fields::default();
    let (text, json) = (builder.nodes.named("String"), builder.nodes.named("JSON"));
    for (name, ty, description) in [
        ("apiVersion", text.clone(), "Group and version."),
        ("kind", text, "The kind."),
        ("metadata", metadata, "The metadata."),
        ("object", json, "The whole object."),
    ] {
        fields.insert(builder.nodes.name(name), builder.nodes.field(name, ty, Some(description)));
    }
    builder.remember(ANY, "object", Key::Whole);
    let name = builder.nodes.name(ANY);
    for (field, relation) in [("owner", Relation::Owner), ("owned", Relation::Owned)] {
        let definition = definition(builder, field, &relation);
        let key = builder.nodes.name(field);
        builder.relations.insert((name.clone(), key.clone()), relation);
        fields.insert(key, definition);
    }
    fields
}

fn put(builder: &mut Builder<'_>, type_name: &Name, wanted: &str, relation: Relation) {
    let Some(ExtendedType::Object(object)) = builder.types.get(type_name) else { return };
    let taken: BTreeSet<String> = object.fields.keys().map(ToString::to_string).collect();
    let field = beside(wanted, wanted, &taken);
    let definition = definition(builder, &field, &relation);
    let key = builder.nodes.name(&field);
    builder.relations.insert((type_name.clone(), key.clone()), relation);
    if let Some(ExtendedType::Object(object)) = builder.types.get_mut(type_name) {
        object.make_mut().fields.insert(key, definition);
    }
}

/// The field of a relation.
pub(super) fn definition(
    builder: &mut Builder<'_>,
    field: &str,
    relation: &Relation,
) -> Component<FieldDefinition> {
    let of_kind = |kind: &usize| builder.kinds[*kind].type_name.to_string();
    let (ty, is_list, description) = match relation {
        Relation::Reference { key, kind } => (
            of_kind(kind),
            false,
            format!("The object that `{key}` names, unless it names one of another kind."),
        ),
        Relation::Owner => (ANY.to_owned(), false, "The object that controls it, or owns it.".to_owned()),
        Relation::Owned => (ANY.to_owned(), true, "Objects of a kind that it owns.".to_owned()),
        Relation::Events { kind } => (of_kind(kind), true, "Events about it.".to_owned()),
        Relation::Selected { kind, .. } => {
            (of_kind(kind), true, "The Pods that its selector selects.".to_owned())
        }
        Relation::Claims { kind } => (of_kind(kind), true, "The claims that its volumes name.".to_owned()),
        Relation::Volume { kind } => (of_kind(kind), false, "The volume that it is bound to.".to_owned()),
        Relation::Claim { kind } => (of_kind(kind), false, "The claim that it is bound to.".to_owned()),
    };
    let nodes = &mut builder.nodes;
    let ty = if is_list { Type::List(Box::new(nodes.required(&ty))) } else { nodes.named(&ty) };
    let mut arguments = Vec::new();
    if *relation == Relation::Owned {
        let text = nodes.required("String");
        let what = "The kind, such as `Pod`, or with its version: `apps/v1/ReplicaSet`.";
        arguments.push(Node::new(nodes.input("kind", text, None, Some(what))));
    }
    nodes.field_with(field, arguments, ty, Some(&description))
}
