//! Writes selected fields straight from the bytes of an API server's answer.

mod cursor;
mod items;
mod list;
mod selection;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use self::{
    cursor::{Cursor, Malformed, at, says, text_at},
    items::list_of,
    list::{ListError, ListField, ListSelection, Order, list, quoted},
    selection::{Guard, Selected, Selection, Shape, When},
    writer::{Mismatch, Step, Writer, quote},
};
