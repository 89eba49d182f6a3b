//! Fields that lead from whole objects to others: to their owner, to what they own, to their Events, and to what they
//! select or mount.

use std::collections::BTreeSet;

use apollo_compiler::{Name, ast::Type, schema::ExtendedType};

use super::{
    fields::beside,
    kinds::FieldKey,
    nodes::ObjectFields,
    relation::{ANY, FieldRelation, field_of},
    types::TypeBuilder,
};
use crate::document::KindName;

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

/// Adds the relations of whole objects to the types of all kinds.
pub(super) fn add(builder: &mut TypeBuilder<'_>) {
    let Some(metadata) = metadata_type(builder) else { return };
    let fields = any_fields(builder, metadata);
    let any = builder.nodes.object(ANY, fields, Some("An object of any kind."));
    builder.add(ANY, any);
    let core = |builder: &TypeBuilder<'_>, kind: &str| {
        let name = KindName { group: String::new(), version: "v1".to_owned(), kind: kind.to_owned() };
        builder.kinds.iter().position(|known| known.resource.name == name && known.resource.takes("list"))
    };
    let [pods, events, claims, volumes] =
        ["Pod", "Event", "PersistentVolumeClaim", "PersistentVolume"].map(|kind| core(builder, kind));
    for index in 0..builder.kinds.len() {
        let name = builder.kinds[index].resource.name.clone();
        let mut found = vec![("owner", FieldRelation::Owner), ("owned", FieldRelation::Owned)];
        let of_nodes = name.group.is_empty() && name.kind == "Node";
        found.extend(events.map(|kind| ("events", FieldRelation::Events { kind, of_nodes })));
        let selects = SELECTING.iter().find(|(group, kind, _)| *group == name.group && *kind == name.kind);
        found.extend(pods.zip(selects).map(|(kind, (_, _, by_labels))| {
            ("selected", FieldRelation::Selected { kind, by_labels: *by_labels })
        }));
        match (name.group.as_str(), name.kind.as_str()) {
            ("", "Pod") => found.extend(claims.map(|kind| ("claims", FieldRelation::Claims { kind }))),
            ("", "PersistentVolumeClaim") => {
                found.extend(volumes.map(|kind| ("volume", FieldRelation::Volume { kind })));
            }
            ("", "PersistentVolume") => {
                found.extend(claims.map(|kind| ("claim", FieldRelation::Claim { kind })));
            }
            _ => {}
        }
        let type_name = builder.kinds[index].type_name.clone();
        for (field, relation) in found {
            put(builder, &type_name, field, relation);
        }
    }
}

/// The type of the metadata of objects.
fn metadata_type(builder: &TypeBuilder<'_>) -> Option<Type> {
    builder.kinds.iter().find_map(|kind| {
        let ty = builder.types.get(&kind.type_name)?.as_object()?;
        let metadata = ty.fields.get("metadata")?.ty.clone();
        builder.types.get(metadata.inner_named_type())?.as_object()?.fields.get("ownerReferences")?;
        Some(metadata)
    })
}

fn any_fields(builder: &mut TypeBuilder<'_>, metadata: Type) -> ObjectFields {
    let mut fields = ObjectFields::default();
    let (text, json) = (builder.nodes.named("String"), builder.nodes.named("JSON"));
    for (name, ty, description) in [
        ("apiVersion", text.clone(), "Group and version."),
        ("kind", text, "The kind."),
        ("metadata", metadata, "The metadata."),
        ("object", json, "The whole object."),
    ] {
        fields.insert(builder.nodes.name(name), builder.nodes.field(name, ty, Some(description)));
    }
    builder.remember(ANY, "object", FieldKey::Whole);
    let name = builder.nodes.name(ANY);
    for (field, relation) in [("owner", FieldRelation::Owner), ("owned", FieldRelation::Owned)] {
        let definition = field_of(&mut builder.nodes, &builder.kinds, field, &relation);
        let key = builder.nodes.name(field);
        builder.relations.insert((name.clone(), key.clone()), relation);
        fields.insert(key, definition);
    }
    fields
}

fn put(builder: &mut TypeBuilder<'_>, type_name: &Name, wanted: &str, relation: FieldRelation) {
    let Some(ExtendedType::Object(object)) = builder.types.get(type_name) else { return };
    let taken: BTreeSet<String> = object.fields.keys().map(ToString::to_string).collect();
    let field = beside(wanted, wanted, &taken);
    let definition = field_of(&mut builder.nodes, &builder.kinds, &field, &relation);
    let key = builder.nodes.name(&field);
    builder.relations.insert((type_name.clone(), key.clone()), relation);
    if let Some(ExtendedType::Object(object)) = builder.types.get_mut(type_name) {
        object.make_mut().fields.insert(key, definition);
    }
}
