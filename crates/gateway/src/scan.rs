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
    cursor::{Cursor, Malformed, at, says, text_at},
    items::list_of,
    list::{ListError, ListField, ListSelection, Order, list, quoted},
    listing::{Listing, is_streamable},
    selection::{Guard, Selected, Selection, Shape, When},
    walk::{Found, Walk},
    writer::{Mismatch, Step, Writer, quote},
};
