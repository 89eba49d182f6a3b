//! Selections from an object, prepared for writing bytes.

use std::sync::Arc;

/// The selected fields of an object, in the order of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectSelection {
    /// The fields.
    pub fields: Vec<SelectedField>,
}

/// One selected field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedField {
    /// The name in the answer, with its quotes and colon.
    pub label: Box<str>,
    /// The key in the object.
    pub key: Box<str>,
    /// The shape of the value.
    pub shape: ValueShape,
    /// The condition under which it is selected.
    pub when: FieldCondition,
}

impl SelectedField {
    /// A field that is always selected.
    pub fn new(name: &str, key: &str, shape: ValueShape) -> Self {
        Self { label: format!("\"{name}\":").into(), key: key.into(), shape, when: FieldCondition::default() }
    }

    /// The name in the answer.
    pub fn name(&self) -> &str {
        name(&self.label)
    }
}

/// The name in a label. Names of GraphQL have no signs that are written otherwise in JSON.
pub(super) fn name(label: &str) -> &str {
    &label[1..label.len() - 2]
}

/// The shape in which a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueShape {
    /// Constant JSON.
    Constant(Box<str>),
    /// A string; other values are converted.
    Text,
    /// Numbers, Booleans and whole objects, as they are written.
    Plain,
    /// Any value as the text of its JSON, in a string.
    JsonText,
    /// An object of which some fields are selected.
    Object(Arc<ObjectSelection>),
    /// The same for each entry of an array.
    List(Box<Self>),
    /// The whole object, as if it were the value of the key.
    Whole(Box<Self>),
    /// An object as it is written, with those of these members that it lacks.
    With(Box<[(Box<str>, Box<str>)]>),
}

/// One condition of a directive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DirectiveGuard {
    /// The variable.
    pub variable: Box<str>,
    /// The required value.
    pub is: bool,
}

/// The condition of a field: every guard of any alternative holds. Without alternatives it always holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldCondition(pub Option<Box<[Box<[DirectiveGuard]>]>>);

impl FieldCondition {
    /// Returns `true` if it holds for these variables.
    pub fn holds(&self, says: &dyn Fn(&str) -> bool) -> bool {
        let guards_hold =
            |guards: &[DirectiveGuard]| guards.iter().all(|guard| says(&guard.variable) == guard.is);
        self.0.as_ref().is_none_or(|alternatives| alternatives.iter().any(|guards| guards_hold(guards)))
    }
}

impl ObjectSelection {
    /// The condition that remains for these variables.
    #[must_use]
    pub fn under(&self, says: &dyn Fn(&str) -> bool) -> Self {
        let kept = self.fields.iter().filter(|field| field.when.holds(says));
        let fields = kept.map(|field| SelectedField {
            when: FieldCondition::default(),
            shape: field.shape.under(says),
            ..field.clone()
        });
        Self { fields: fields.collect() }
    }

    /// Returns `true` if only these keys and constants are selected.
    pub fn needs_only(&self, keys: &[&str]) -> bool {
        let is_known = |field: &SelectedField| {
            matches!(field.shape, ValueShape::Constant(_))
                || keys.contains(&&*field.key) && !matches!(field.shape, ValueShape::Whole(_))
        };
        self.fields.iter().all(is_known)
    }
}

impl ValueShape {
    fn under(&self, says: &dyn Fn(&str) -> bool) -> Self {
        match self {
            Self::Object(selection) => Self::Object(Arc::new(selection.under(says))),
            Self::List(inner) => Self::List(Box::new(inner.under(says))),
            other => other.clone(),
        }
    }
}
