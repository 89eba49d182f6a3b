//! Relations between objects, and what a reference may lead to.

use apollo_compiler::{
    Name, Node,
    ast::Type,
    collections::HashMap,
    schema::{Component, FieldDefinition},
};

use super::{kinds::Kind, nodes::Nodes};
use crate::{
    document::{Definition, KindName},
    names,
};

/// The type of an object of any kind.
pub(super) const ANY: &str = "RelatedObject";

/// How the objects of a field are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
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
pub type Relations = HashMap<(Name, Name), Relation>;

/// The best kind of a name: of the core group, or the most mature one.
pub fn best_kind(kinds: &[Kind], name: &str) -> Option<usize> {
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

/// The field of a relation.
pub(super) fn field_of(
    nodes: &mut Nodes,
    kinds: &[Kind],
    field: &str,
    relation: &Relation,
) -> Component<FieldDefinition> {
    let of_kind = |kind: &usize| kinds[*kind].type_name.to_string();
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
    let ty = if is_list { Type::List(Box::new(nodes.required(&ty))) } else { nodes.named(&ty) };
    let mut arguments = Vec::new();
    if *relation == Relation::Owned {
        let text = nodes.required("String");
        let what = "The kind, such as `Pod`, or with its version: `apps/v1/ReplicaSet`.";
        arguments.push(Node::new(nodes.input("kind", text, None, Some(what))));
    }
    nodes.field_with(field, arguments, ty, Some(&description))
}
