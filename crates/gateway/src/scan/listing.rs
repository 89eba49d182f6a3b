//! Lists that are written while they come: what is there as a whole is written, the rest waits for more bytes.

use std::cmp::Ordering;

use super::{
    cursor::{JsonCursor, MalformedJson, says},
    list::{ItemOrder, ListError, ListField, ListSelection, compare},
    selection::ObjectSelection,
    walk::{ListPart, ListWalk},
    writer::{JsonWriter, TypeMismatch},
};

/// A list in the making.
pub struct ListWriter<'p> {
    writer: JsonWriter<'p>,
    selection: &'p ListSelection,
    /// The place of the items among the fields.
    items: Option<(usize, &'p ObjectSelection)>,
    walk: ListWalk,
    /// The order in which the items are expected, and the key of the last one.
    order: Option<(&'p ItemOrder, Vec<u8>)>,
    /// `true` between the brackets of the items.
    is_among_items: bool,
    /// `true` if the rest does not matter.
    has_enough: bool,
    /// Number of fields that are written.
    fields: usize,
    /// Number of items that are written.
    count: usize,
    /// Number of bytes that are read.
    read: usize,
}

/// Returns `true` if a list that begins with these bytes can be written in the order in which it comes.
pub fn is_streamable(selection: &ListSelection, beginning: &[u8]) -> bool {
    let is_items = |field: &ListField| matches!(field, ListField::Items(_));
    let before = selection.fields.iter().take_while(|(_, field, _)| !is_items(field));
    let needs_metadata = before.clone().any(|(_, field, _)| !matches!(field, ListField::Constant(_)));
    selection.items().count() <= 1 && are_items_next(beginning, needs_metadata).unwrap_or_default()
}

/// Returns `true` if the items come after everything that has to be known before.
fn are_items_next(beginning: &[u8], needs_metadata: bool) -> Result<bool, MalformedJson> {
    let mut cursor = JsonCursor::new(beginning);
    let mut has_metadata = false;
    cursor.expect(b'{')?;
    loop {
        let key = cursor.key()?;
        if says(key, "items") {
            return Ok(has_metadata || !needs_metadata);
        }
        cursor.value()?;
        has_metadata |= says(key, "metadata");
        if !cursor.another(b'}')? {
            return Ok(false);
        }
    }
}

impl<'p> ListWriter<'p> {
    /// A list that is written behind what is there already, and whose items come in an order. No more than `most` bytes
    /// are in the output at a time.
    pub fn new(
        selection: &'p ListSelection,
        order: Option<&'p ItemOrder>,
        (out, most): (Vec<u8>, usize),
    ) -> Self {
        let mut fields = selection.fields.iter().enumerate();
        let items = fields.find_map(|(place, (_, field, _))| match field {
            ListField::Items(items) => Some((place, &**items)),
            _ => None,
        });
        Self {
            writer: JsonWriter::after(out).at_most(most),
            selection,
            items,
            walk: ListWalk::default(),
            order: order.map(|order| (order, Vec::new())),
            is_among_items: false,
            has_enough: false,
            fields: 0,
            count: 0,
            read: 0,
        }
    }

    /// The output, which may be taken at any time.
    pub const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.writer.out
    }

    /// Returns `true` once everything is written.
    pub fn is_done(&self) -> bool {
        self.has_enough || self.walk.is_done()
    }

    /// Returns `true` if what follows does not matter.
    pub const fn has_enough(&self) -> bool {
        self.has_enough
    }

    /// Writes what is there as a whole, until the output has `room` bytes. Returns the number of bytes that are read;
    /// the others are wanted again, with more behind them.
    pub fn advance(&mut self, bytes: &[u8], room: usize) -> Result<usize, ListError> {
        let mut cursor = JsonCursor::new(bytes);
        let mut read = 0;
        while !self.is_done() && self.writer.out.len() < room {
            let mark = self.writer.mark();
            match self.step(&mut cursor) {
                Ok(()) => read = cursor.position(),
                Err(error) => {
                    self.writer.back_to(mark);
                    match error {
                        ListError::Malformed(MalformedJson::TOO_LONG) => return Err(error),
                        ListError::Malformed(MalformedJson { at }) if at >= bytes.len() => break,
                        ListError::Malformed(MalformedJson { at }) => {
                            return Err(MalformedJson { at: self.read + at }.into());
                        }
                        error => return Err(error),
                    }
                }
            }
        }
        self.read += read;
        Ok(read)
    }

    /// The error for bytes that end here.
    pub const fn cut(&self) -> MalformedJson {
        MalformedJson { at: self.read }
    }

    /// Closes what is open, when no more will come. This is not the list.
    pub fn break_off(&mut self) {
        let closing: &[u8] = if self.is_among_items {
            b"]}"
        } else if self.is_done() {
            b""
        } else if self.walk.has_begun() {
            b"}"
        } else {
            b"null"
        };
        self.writer.out.extend_from_slice(closing);
    }

    /// The values that do not fit the schema.
    pub fn mismatches(&self) -> &[TypeMismatch] {
        &self.writer.mismatches
    }

    /// Writes one part. Nothing but the output has changed if it fails.
    fn step(&mut self, cursor: &mut JsonCursor<'_>) -> Result<(), ListError> {
        let (writer, items, count) = (&mut self.writer, self.items, self.count);
        let fields = &self.selection.fields;
        let found = self.walk.step(cursor, |cursor| {
            let Some((place, items)) = items else { return Err(cursor.malformed()) };
            if count > 0 {
                writer.out.push(b',');
            }
            let start = *cursor;
            writer.item(cursor, (&fields[place].0, items), count)?;
            Ok(cursor.since(start))
        })?;
        match found {
            ListPart::Begin => self.writer.out.push(b'{'),
            ListPart::Other => {}
            ListPart::Items { is_empty } => self.begin_items(is_empty),
            ListPart::Item { item, is_last } => {
                self.check_order(item)?;
                self.count += 1;
                if is_last {
                    self.writer.out.push(b']');
                    self.is_among_items = false;
                }
            }
            ListPart::End => self.end(),
        }
        Ok(())
    }

    fn check_order(&mut self, item: &[u8]) -> Result<(), ListError> {
        let Some((order, last)) = &mut self.order else { return Ok(()) };
        let key = order.key(item)?;
        if self.count == 0 && key.is_none() {
            return Err(ListError::NoSuchField);
        }
        if self.count > 0 && compare(Some(last), key) == Ordering::Greater {
            return Err(ListError::Unordered);
        }
        last.clear();
        last.extend_from_slice(key.unwrap_or_default());
        Ok(())
    }

    fn begin_items(&mut self, is_empty: bool) {
        let Some((place, _)) = self.items else {
            // Nobody has asked for them, nor for anything behind them.
            self.has_enough = true;
            return self.end();
        };
        self.write_fields(place);
        self.label(place);
        self.fields = place + 1;
        self.writer.out.extend_from_slice(if is_empty { b"[]" } else { b"[" });
        self.is_among_items = !is_empty;
    }

    fn end(&mut self) {
        self.write_fields(self.selection.fields.len());
        self.writer.out.push(b'}');
    }

    /// Writes the fields before a place that are not written yet.
    fn write_fields(&mut self, place: usize) {
        let metadata = self.walk.metadata.take();
        for index in self.fields..place {
            self.label(index);
            let field = &self.selection.fields[index].1;
            field.write_from(metadata.as_deref().unwrap_or(b"{}"), &mut self.writer.out);
        }
        self.walk.metadata = metadata;
        self.fields = place;
    }

    fn label(&mut self, index: usize) {
        if index > 0 {
            self.writer.out.push(b',');
        }
        self.writer.out.extend_from_slice(self.selection.fields[index].0.as_bytes());
    }
}

#[cfg(test)]
mod tests;
