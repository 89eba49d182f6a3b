//! The fields of an answer that lead to other objects.

use std::sync::Arc;

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
    /// What is selected of each.
    pub selection: Arc<Selection>,
    /// The relations of these, in a list of them.
    pub tree: Tree,
    /// Its argument, if it has one.
    pub argument: Option<Argument>,
    /// `true` if the objects may be of any kind.
    pub is_any_kind: bool,
}

/// The field that says what leads to other objects.
pub fn leads() -> Selected {
    let part = |key: &str, fields: &[&str]| {
        let plain = |field: &&str| Selected::new(field, field, Shape::Plain);
        let selection = Selection { fields: fields.iter().map(plain).collect() };
        Selected::new(key, key, Shape::Object(Arc::new(selection)))
    };
    let metadata = part("metadata", &["name", "namespace", "uid", "labels", "ownerReferences"]);
    let spec = part("spec", &["selector", "volumes", "volumeName", "claimRef"]);
    let involved = part("involvedObject", &["uid"]);
    let all = Selection { fields: vec![metadata, spec, involved] };
    Selected::new(OF, OF, Shape::Whole(Box::new(Shape::Object(Arc::new(all)))))
}
