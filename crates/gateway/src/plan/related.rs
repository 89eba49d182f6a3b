//! The fields of an answer that lead to other objects.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    input::PlanArgument,
    scan::{ObjectSelection, SelectedField, ValueShape},
    schema::FieldRelation,
};

/// The name under which an answer says, to us alone, what leads to other objects. No field can be called like this.
pub const OF: &str = " of";

/// The fields of an object at or below which there are relations, by their names in the answer.
#[derive(Clone, Debug, Default)]
pub struct RelationTree {
    /// The fields.
    pub fields: Vec<(Box<str>, RelationBranch)>,
}

/// A field of such an object.
#[derive(Clone, Debug)]
pub enum RelationBranch {
    /// There are relations below it.
    Below(RelationTree),
    /// It is one.
    Related(Arc<RelatedField>),
}

/// A relation.
#[derive(Clone, Debug)]
pub struct RelatedField {
    /// How its objects are found.
    pub relation: FieldRelation,
    /// The selection of each object.
    pub selection: Arc<ObjectSelection>,
    /// The relations of these, in a list of them.
    pub tree: RelationTree,
    /// Its argument, if it has one.
    pub argument: Option<PlanArgument>,
    /// `true` if the objects may be of any kind.
    pub is_any_kind: bool,
}

/// The field that says what leads to other objects: metadata, and these members of `spec`. An object that was `found` by a
/// relation also says why it belongs there.
pub fn leads(spec: &BTreeSet<&str>, found: Option<&FieldRelation>) -> SelectedField {
    let part = |key: &str, fields: &[&str]| {
        let plain = |field: &&str| SelectedField::new(field, field, ValueShape::Plain);
        let selection = ObjectSelection { fields: fields.iter().map(plain).collect() };
        SelectedField::new(key, key, ValueShape::Object(Arc::new(selection)))
    };
    let mut metadata = vec!["name", "namespace", "uid", "ownerReferences"];
    if matches!(found, Some(FieldRelation::Selected { .. })) {
        metadata.push("labels");
    }
    let mut fields = vec![part("metadata", &metadata)];
    if !spec.is_empty() {
        // Only kinds that are built in have such relations: elsewhere, `spec` may be anything.
        fields.push(part("spec", &spec.iter().copied().collect::<Vec<_>>()));
    }
    if matches!(found, Some(FieldRelation::Events { .. })) {
        fields.push(part("involvedObject", &["uid"]));
    }
    let all = ObjectSelection { fields };
    SelectedField::new(OF, OF, ValueShape::Whole(Box::new(ValueShape::Object(Arc::new(all)))))
}
