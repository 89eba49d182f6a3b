//! Writes a selection in the order of the query, in one pass over the bytes.
//!
//! Values are written as they are found. If the fields of an object did not come in the order of the query, they are
//! put in order at its end, by copying what was written.

use memchr::memchr2;

use super::{
    cursor::{JsonCursor, MalformedJson, at, says},
    selection::{ObjectSelection, SelectedField, ValueShape, name},
};

/// Maximum number of reported mismatches.
const MAX_TOLD: usize = 20;

/// A step on the way to a value of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathStep {
    /// A field.
    Field(String),
    /// An entry of a list.
    Index(usize),
}

/// A value that does not fit the schema: null in the answer, with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeMismatch {
    /// Its path from the object or the list on.
    pub path: Vec<PathStep>,
    /// The expected type.
    pub expected: &'static str,
}

#[derive(Clone, Copy)]
enum WriterPlace<'p> {
    Field(&'p SelectedField),
    Label(&'p str),
    Index(usize),
}

/// The range of a value in the output.
#[derive(Clone, Copy)]
struct OutputSegment {
    start: usize,
    end: usize,
}

const ABSENT: OutputSegment = OutputSegment { start: usize::MAX, end: 0 };

/// A place in the output between two items.
#[derive(Clone, Copy)]
pub(super) struct OutputMark {
    written: usize,
    told: usize,
}

/// The most that is written.
struct OutputLimit(usize);

impl Default for OutputLimit {
    fn default() -> Self {
        Self(usize::MAX)
    }
}

/// The writer of an answer.
#[derive(Default)]
pub struct JsonWriter<'p> {
    /// The output.
    pub out: Vec<u8>,
    /// The values that do not fit the schema.
    pub mismatches: Vec<TypeMismatch>,
    /// `true` if objects are known to be sound, so that nothing has to be read behind what is selected.
    pub(super) is_hasty: bool,
    /// `true` if the last object was not read to its end.
    is_cut: bool,
    most: OutputLimit,
    scratch: Vec<u8>,
    segments: Vec<OutputSegment>,
    path: Vec<WriterPlace<'p>>,
}

impl<'p> JsonWriter<'p> {
    /// A writer with room for this number of bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self::after(Vec::with_capacity(bytes))
    }

    /// A writer that goes on where something was written before.
    pub fn after(out: Vec<u8>) -> Self {
        Self { out, ..Self::default() }
    }

    /// The writer that stops at this number of bytes: a query may select the same again and again.
    #[must_use]
    pub const fn at_most(mut self, bytes: usize) -> Self {
        self.most = OutputLimit(bytes);
        self
    }

    /// Writes the selected fields of the object at the cursor.
    pub fn object(
        &mut self,
        cursor: &mut JsonCursor<'_>,
        selection: &'p ObjectSelection,
    ) -> Result<(), MalformedJson> {
        let fields = &selection.fields;
        let (base, whole) = (self.segments.len(), *cursor);
        self.segments.resize(base + fields.len(), ABSENT);
        self.out.push(b'{');
        let start = self.out.len();
        let mut next = self.constants(fields, 0, base);
        let mut is_in_order = true;
        cursor.expect(b'{')?;
        let mut missing = self.missing(fields);
        let mut more = !cursor.take(b'}')?;
        self.is_cut = more && missing == 0;
        while more && missing > 0 {
            let key = cursor.key()?;
            let mut wanted = fields.iter().enumerate().filter(|(_, field)| is_meant(field, key));
            match wanted.next() {
                None => {
                    cursor.value()?;
                }
                Some((index, field)) => {
                    let here = *cursor;
                    self.field(cursor, (index, field), base, (&mut next, &mut is_in_order), fields)?;
                    missing = missing.saturating_sub(1);
                    if missing > 0 {
                        self.catch_up(cursor, here)?;
                    }
                    for (index, field) in wanted {
                        missing = missing.saturating_sub(1);
                        self.field(
                            &mut here.clone(),
                            (index, field),
                            base,
                            (&mut next, &mut is_in_order),
                            fields,
                        )?;
                    }
                    self.is_cut = missing == 0;
                }
            }
            more = missing > 0 && cursor.another(b'}')?;
        }
        for (index, field) in fields.iter().enumerate() {
            if matches!(field.shape, ValueShape::Whole(_)) {
                self.field(&mut whole.clone(), (index, field), base, (&mut next, &mut is_in_order), fields)?;
            }
        }
        if !is_in_order || next != fields.len() {
            self.put_in_order(fields, base, start);
        }
        self.segments.truncate(base);
        self.out.push(b'}');
        self.has_room()
    }

    /// Fails if too much is written.
    pub(super) fn has_room(&self) -> Result<(), MalformedJson> {
        if self.out.len() > self.most.0 { Err(MalformedJson::TOO_LONG) } else { Ok(()) }
    }

    /// Takes what was written since a place. It still counts.
    pub(super) fn cut(&mut self, start: usize) -> Vec<u8> {
        let cut = self.out.split_off(start);
        self.most.0 = self.most.0.saturating_sub(cut.len());
        cut
    }

    /// The number of fields that are to be found. More than there can be, if everything is read.
    fn missing(&self, fields: &[SelectedField]) -> usize {
        if !self.is_hasty {
            return usize::MAX;
        }
        fields
            .iter()
            .filter(|field| !matches!(field.shape, ValueShape::Constant(_) | ValueShape::Whole(_)))
            .count()
    }

    /// Goes behind a value that was not read to its end.
    fn catch_up<'j>(
        &mut self,
        cursor: &mut JsonCursor<'j>,
        value: JsonCursor<'j>,
    ) -> Result<(), MalformedJson> {
        if std::mem::take(&mut self.is_cut) {
            *cursor = value;
            cursor.value()?;
        }
        Ok(())
    }

    /// Writes one value, with its name if it is the next one of the query.
    fn field(
        &mut self,
        cursor: &mut JsonCursor<'_>,
        (index, field): (usize, &'p SelectedField),
        base: usize,
        (next, is_in_order): (&mut usize, &mut bool),
        fields: &'p [SelectedField],
    ) -> Result<(), MalformedJson> {
        let is_next = index == *next && *is_in_order;
        if is_next {
            self.label(field, index);
        }
        let start = self.out.len();
        self.path.push(WriterPlace::Field(field));
        self.value(cursor, &field.shape)?;
        self.path.pop();
        self.has_room()?;
        self.segments[base + index] = OutputSegment { start, end: self.out.len() };
        if is_next {
            *next = self.constants(fields, index + 1, base);
        } else {
            *is_in_order = false;
        }
        Ok(())
    }

    #[inline]
    fn label(&mut self, field: &SelectedField, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(field.label.as_bytes());
    }

    /// Writes the constants from `next` on, and returns the first field that is none.
    fn constants(&mut self, fields: &[SelectedField], mut next: usize, base: usize) -> usize {
        while let Some(field) = fields.get(next)
            && let ValueShape::Constant(json) = &field.shape
        {
            self.label(field, next);
            let start = self.out.len();
            self.out.extend_from_slice(json.as_bytes());
            self.segments[base + next] = OutputSegment { start, end: self.out.len() };
            next += 1;
        }
        next
    }

    fn put_in_order(&mut self, fields: &[SelectedField], base: usize, start: usize) {
        self.scratch.clear();
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                self.scratch.push(b',');
            }
            self.scratch.extend_from_slice(field.label.as_bytes());
            let segment = self.segments[base + index];
            match &field.shape {
                ValueShape::Constant(json) => self.scratch.extend_from_slice(json.as_bytes()),
                _ if segment.start == ABSENT.start => self.scratch.extend_from_slice(b"null"),
                _ => self.scratch.extend_from_slice(&self.out[segment.start..segment.end]),
            }
        }
        self.out.truncate(start);
        self.out.extend_from_slice(&self.scratch);
    }

    /// Writes the value at the cursor.
    pub fn value(&mut self, cursor: &mut JsonCursor<'_>, shape: &'p ValueShape) -> Result<(), MalformedJson> {
        let first = cursor.peek()?;
        if first == b'n' && !matches!(shape, ValueShape::Whole(_) | ValueShape::Constant(_)) {
            self.out.extend_from_slice(cursor.value()?);
            return Ok(());
        }
        match shape {
            ValueShape::With(members) if first == b'{' => with(cursor.value()?, members, &mut self.out)?,
            ValueShape::Plain | ValueShape::With(_) => self.out.extend_from_slice(cursor.value()?),
            ValueShape::Text if first == b'"' => self.out.extend_from_slice(cursor.value()?),
            ValueShape::Text | ValueShape::JsonText => quote(cursor.value()?, &mut self.out),
            ValueShape::Object(selection) if first == b'{' => self.object(cursor, selection)?,
            ValueShape::List(inner) if first == b'[' => self.entries(cursor, inner)?,
            ValueShape::Whole(inner) => self.value(cursor, inner)?,
            ValueShape::Constant(json) => {
                cursor.value()?;
                self.out.extend_from_slice(json.as_bytes());
            }
            ValueShape::Object(_) => self.mismatch(cursor, "an object")?,
            ValueShape::List(_) => self.mismatch(cursor, "a list")?,
        }
        Ok(())
    }

    fn entries(&mut self, cursor: &mut JsonCursor<'_>, inner: &'p ValueShape) -> Result<(), MalformedJson> {
        cursor.expect(b'[')?;
        self.out.push(b'[');
        let mut more = !cursor.take(b']')?;
        let mut index = 0;
        while more {
            if index > 0 {
                self.out.push(b',');
            }
            self.path.push(WriterPlace::Index(index));
            let here = *cursor;
            self.value(cursor, inner)?;
            self.catch_up(cursor, here)?;
            self.path.pop();
            index += 1;
            more = cursor.another(b']')?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn mismatch(&mut self, cursor: &mut JsonCursor<'_>, expected: &'static str) -> Result<(), MalformedJson> {
        cursor.value()?;
        self.out.extend_from_slice(b"null");
        if self.mismatches.len() < MAX_TOLD {
            let step = |place: &WriterPlace<'p>| match place {
                WriterPlace::Field(field) => PathStep::Field(field.name().to_owned()),
                WriterPlace::Label(label) => PathStep::Field(name(label).to_owned()),
                WriterPlace::Index(index) => PathStep::Index(*index),
            };
            self.mismatches.push(TypeMismatch { path: self.path.iter().map(step).collect(), expected });
        }
        Ok(())
    }

    /// Writes the selected fields of an item of a list, whose items have this label.
    pub(super) fn item(
        &mut self,
        cursor: &mut JsonCursor<'_>,
        (label, selection): (&'p str, &'p ObjectSelection),
        index: usize,
    ) -> Result<(), MalformedJson> {
        self.path.extend([WriterPlace::Label(label), WriterPlace::Index(index)]);
        self.object(cursor, selection)?;
        self.path.truncate(self.path.len() - 2);
        Ok(())
    }

    /// The current state, apart from an unfinished item.
    pub(super) fn mark(&self) -> OutputMark {
        OutputMark { written: self.out.len(), told: self.mismatches.len() }
    }

    /// Forgets what was written since, after an error.
    pub(super) fn back_to(&mut self, mark: OutputMark) {
        self.out.truncate(mark.written);
        self.mismatches.truncate(mark.told);
        self.segments.clear();
        self.path.clear();
    }
}

#[inline]
fn is_meant(field: &SelectedField, key: &[u8]) -> bool {
    says(key, &field.key) && !matches!(field.shape, ValueShape::Constant(_) | ValueShape::Whole(_))
}

/// Writes an object with those of these members that it lacks.
fn with(object: &[u8], members: &[(Box<str>, Box<str>)], out: &mut Vec<u8>) -> Result<(), MalformedJson> {
    out.push(b'{');
    let start = out.len();
    for (key, json) in members {
        if at(object, &[key])?.is_none() {
            let comma = if out.len() > start { "," } else { "" };
            out.extend_from_slice(format!("{comma}\"{key}\":{json}").as_bytes());
        }
    }
    let rest = object.get(1..).unwrap_or_default().trim_ascii_start();
    if out.len() > start && rest != b"}" {
        out.push(b',');
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Writes a text as a JSON string.
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(found) = memchr2(b'"', b'\\', rest) {
        plain(&rest[..found], out);
        out.extend_from_slice(&[b'\\', rest[found]]);
        rest = &rest[found + 1..];
    }
    plain(rest, out);
    out.push(b'"');
}

/// Copies text without quotes and backslashes.
fn plain(text: &[u8], out: &mut Vec<u8>) {
    if text.iter().all(|byte| *byte >= 0x20) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
}
