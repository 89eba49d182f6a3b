//! Relations between objects, and what a reference may lead to.

use apollo_compiler::{
    Name, Node,
    ast::Type,
    collections::HashMap,
    schema::{Component, FieldDefinition},
};

use super::{kinds::TypedKind, nodes::SharedNodes};
use crate::{
    document::{Definition, KindName},
    names,
};

/// The type of an object of any kind.
pub(super) const ANY: &str = "RelatedObject";

/// How the objects of a field are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldRelation {
    /// The object of this kind that a key names.
    Reference {
        /// The key.
        key: Box<str>,
        /// The kind.
        kind: usize,
        /// The members that it must have to lead there.
        needs: ReferenceNeeds,
    },
    /// The owner: the controller, if there is one.
    Owner,
    /// Objects of a kind that it owns.
    Owned,
    /// Events about it.
    Events {
        /// The kind of Events.
        kind: usize,
        /// `true` for Nodes: those of the kubelet have the name in the place of the uid.
        of_nodes: bool,
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

/// The members that a reference must have beside the name. Other members that it has count, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReferenceNeeds {
    /// The kind.
    pub kind: bool,
    /// The group, since several have such a kind.
    pub group: bool,
}

impl FieldRelation {
    /// Returns `true` if it leads to a list.
    pub const fn is_list(&self) -> bool {
        matches!(self, Self::Owned | Self::Events { .. } | Self::Selected { .. } | Self::Claims { .. })
    }

    /// The member of `spec` that says where it leads, if that is not in the metadata.
    pub const fn of_spec(&self) -> Option<&'static str> {
        match self {
            Self::Selected { .. } => Some("selector"),
            Self::Claims { .. } => Some("volumes"),
            Self::Volume { .. } => Some("volumeName"),
            Self::Claim { .. } => Some("claimRef"),
            Self::Reference { .. } | Self::Owner | Self::Owned | Self::Events { .. } => None,
        }
    }
}

/// The relations, by type and field.
pub type FieldRelations = HashMap<(Name, Name), FieldRelation>;

/// The best kind of a name: of the core group, or the most mature one.
pub fn best_kind(kinds: &[TypedKind], name: &str) -> Option<usize> {
    best_of(kinds, name, |_| true)
}

/// The same of some groups.
fn best_of(kinds: &[TypedKind], name: &str, has: impl Fn(&str) -> bool) -> Option<usize> {
    let all = kinds.iter().enumerate().filter(|(_, kind)| {
        let resource = &kind.resource;
        resource.name.kind == name
            && has(&resource.name.group)
            && resource.takes("get")
            && resource.takes("list")
    });
    let rank = |name: &KindName| {
        let group = std::cmp::Reverse(name.group.clone());
        (name.group.is_empty(), names::maturity(&name.version), group)
    };
    all.max_by_key(|(_, kind)| rank(&kind.resource.name)).map(|(index, _)| index)
}

/// The kind that a reference means by a name: of the group of whoever refers to it, of the core group, or of any. `true`
/// if other groups have such a kind, too, and nothing tells them apart.
fn meant(kinds: &[TypedKind], own: Option<&str>, name: &str) -> Option<(usize, bool)> {
    let of = |group: &str| best_of(kinds, name, |known| known == group);
    if let Some(kind) = own.and_then(of).or_else(|| of("")) {
        return Some((kind, false));
    }
    let best = best_kind(kinds, name)?;
    let group = &kinds.get(best)?.resource.name.group;
    Some((best, best_of(kinds, name, |known| known != group).is_some()))
}

/// The kinds that a reference may name, with the names of their fields: `roleRef` leads to a Role or a ClusterRole. `own`
/// is the group of the kind that it is in, if it is in one only.
pub(super) fn referred(
    kinds: &[TypedKind],
    own: Option<&str>,
    (key, target): (&str, &Definition),
) -> Vec<(String, FieldRelation)> {
    let names_object = target.properties.get("name").is_some_and(|name| name.word() == Some("string"));
    let Some(base) = key.strip_suffix("Ref").filter(|base| !base.is_empty() && names_object) else {
        return Vec::new();
    };
    let base = base.strip_suffix("Key").filter(|base| !base.is_empty()).unwrap_or(base);
    let name = names::capital(base);
    let to = |name: &str, is_told: bool| {
        let (kind, group) = meant(kinds, own, name)?;
        Some(FieldRelation::Reference {
            key: key.into(),
            kind,
            needs: ReferenceNeeds { kind: is_told, group },
        })
    };
    let mut all = Vec::new();
    all.extend(to(&name, false).map(|relation| (base.to_owned(), relation)));
    if target.properties.contains_key("kind") {
        // Whoever does not say the kind means the other one.
        let wide = to(&format!("Cluster{name}"), true);
        all.extend(wide.map(|relation| (format!("cluster{name}"), relation)));
    }
    all
}

/// The field of a relation.
pub(super) fn field_of(
    nodes: &mut SharedNodes,
    kinds: &[TypedKind],
    field: &str,
    relation: &FieldRelation,
) -> Component<FieldDefinition> {
    let of_kind = |kind: &usize| kinds[*kind].type_name.to_string();
    let (ty, description) = match relation {
        FieldRelation::Reference { key, kind, .. } => {
            (of_kind(kind), format!("The object that `{key}` names, unless it names one of another kind."))
        }
        FieldRelation::Owner => (ANY.to_owned(), "The object that controls it, or owns it.".to_owned()),
        FieldRelation::Owned => (ANY.to_owned(), "Objects of a kind that it owns.".to_owned()),
        FieldRelation::Events { kind, .. } => (of_kind(kind), "Events about it.".to_owned()),
        FieldRelation::Selected { kind, .. } => {
            (of_kind(kind), "The Pods that its selector selects.".to_owned())
        }
        FieldRelation::Claims { kind } => (of_kind(kind), "The claims that its volumes name.".to_owned()),
        FieldRelation::Volume { kind } => (of_kind(kind), "The volume that it is bound to.".to_owned()),
        FieldRelation::Claim { kind } => (of_kind(kind), "The claim that it is bound to.".to_owned()),
    };
    let ty = if relation.is_list() { Type::List(Box::new(nodes.required(&ty))) } else { nodes.named(&ty) };
    let mut arguments = Vec::new();
    if *relation == FieldRelation::Owned {
        let text = nodes.required("String");
        let what = "The kind, such as `Pod`, or with its version: `apps/v1/ReplicaSet`.";
        arguments.push(Node::new(nodes.input("kind", text, None, Some(what))));
    }
    nodes.field_with(field, arguments, ty, Some(&description))
}
