//! The fields of an answer that lead to other objects.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    input::Argument,
    scan::{Selected, Selection, Shape},
    schema::Relation,
};

/// The name under which an answer says, to us alone, what leads to other objects. No field can be called like this.
pub const OF: &str = " of";

/// The fields of an object at or below which there are relations, by their names in the answer.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The fields.
    pub fields: Vec<(Box<str>, Branch)>,
}

/// A field of such an object.
#[derive(Clone, Debug)]
pub enum Branch {
    /// There are relations below it.
    Below(Tree),
    /// It is one.
    Related(Arc<Related>),
}

/// A relation.
#[derive(Clone, Debug)]
pub struct Related {
    /// How its objects are found.
    pub relation: Relation,
    /// The selection of each object.
    pub selection: Arc<Selection>,
    /// The relations of these, in a list of them.
    pub tree: Tree,
    /// Its argument, if it has one.
    pub argument: Option<Argument>,
    /// `true` if the objects may be of any kind.
    pub is_any_kind: bool,
}

/// The field that says what leads to other objects: metadata, and these members of `spec`. An object that was `found` by a
/// relation also says why it belongs there.
pub fn leads(spec: &BTreeSet<&str>, found: Option<&Relation>) -> Selected {
    let part = |key: &str, fields: &[&str]| {
        let plain = |field: &&str| Selected::new(field, field, Shape::Plain);
        let selection = Selection { fields: fields.iter().map(plain).collect() };
        Selected::new(key, key, Shape::Object(Arc::new(selection)))
    };
    let mut metadata = vec!["name", "namespace", "uid", "ownerReferences"];
    if matches!(found, Some(Relation::Selected { .. })) {
        metadata.push("labels");
    }
    let mut fields = vec![part("metadata", &metadata)];
    if !spec.is_empty() {
        // Only kinds that are built in have such relations: elsewhere, `spec` may be anything.
        fields.push(part("spec", &spec.iter().copied().collect::<Vec<_>>()));
    }
    if matches!(found, Some(Relation::Events { .. })) {
        fields.push(part("involvedObject", &["uid"]));
    }
    let all = Selection { fields };
    Selected::new(OF, OF, Shape::Whole(Box::new(Shape::Object(Arc::new(all)))))
}
