//! Writes selected fields straight from the bytes of an API server's answer.

mod cursor;
mod items;
mod list;
mod listing;
mod selection;
mod stencil;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub use self::{
    cursor::{JsonCursor, MalformedJson, at, says, text_at},
    items::list_of,
    list::{ItemOrder, ListError, ListField, ListSelection, list, quoted},
    listing::{ListWriter, is_streamable},
    selection::{DirectiveGuard, FieldCondition, ObjectSelection, SelectedField, ValueShape},
    walk::{ListPart, ListWalk},
    writer::{JsonWriter, PathStep, TypeMismatch, quote},
};
