//! Texts at the beginning of objects: what is selected of many objects is often what each of them begins with, such as
//! its name. Then nothing has to be looked for.

use super::{
    cursor::JsonCursor,
    selection::{ObjectSelection, ValueShape},
    writer::quote,
};

/// The beginning of an object in which all that is selected follows one after another.
#[derive(Debug)]
pub(super) struct ObjectStencil {
    /// The bytes before each text, in the object and in the answer.
    texts: Vec<(Vec<u8>, Vec<u8>)>,
    /// The end of the answer.
    end: Vec<u8>,
}

impl ObjectStencil {
    /// The stencil of a selection. None if more has to be known of an object than how it begins.
    pub(super) fn of(selection: &ObjectSelection) -> Option<Self> {
        let mut cut = StencilCut::default();
        cut.object(selection)?;
        // What stands behind the last text would have to be looked at.
        cut.stands.is_empty().then_some(Self { texts: cut.texts, end: cut.written })
    }

    /// Writes what is selected of an object as the writer would, unless the object begins in another way. Then nothing is
    /// written.
    pub(super) fn write(&self, object: &[u8], out: &mut Vec<u8>) -> bool {
        let (start, mut rest) = (out.len(), object);
        for (stands, written) in &self.texts {
            let Some((text, behind)) = rest.strip_prefix(stands.as_slice()).and_then(split) else {
                out.truncate(start);
                return false;
            };
            out.extend_from_slice(written);
            out.extend_from_slice(text);
            rest = behind;
        }
        out.extend_from_slice(&self.end);
        true
    }
}

/// Splits behind a string.
fn split(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = JsonCursor::new(json);
    cursor.string().ok()?;
    Some(json.split_at(cursor.position()))
}

/// A stencil in the making.
#[derive(Default)]
struct StencilCut {
    texts: Vec<(Vec<u8>, Vec<u8>)>,
    /// The bytes of the object since the last text.
    stands: Vec<u8>,
    /// The bytes of the answer since then.
    written: Vec<u8>,
    /// `true` once an object within the object has ended: what stands between its last text and its end is not known.
    is_over: bool,
}

impl StencilCut {
    /// Adds an object. None if what is selected of it can be anywhere.
    fn object(&mut self, selection: &ObjectSelection) -> Option<()> {
        self.stands.push(b'{');
        self.written.push(b'{');
        let mut is_first = true;
        for (index, field) in selection.fields.iter().enumerate() {
            if index > 0 {
                self.written.push(b',');
            }
            self.written.extend_from_slice(field.label.as_bytes());
            if let ValueShape::Constant(json) = &field.shape {
                self.written.extend_from_slice(json.as_bytes());
                continue;
            }
            self.key(&field.key, std::mem::take(&mut is_first))?;
            match &field.shape {
                ValueShape::Text => {
                    let before = (std::mem::take(&mut self.stands), std::mem::take(&mut self.written));
                    self.texts.push(before);
                }
                ValueShape::Object(inner) => {
                    self.object(inner)?;
                    self.is_over = true;
                }
                _ => return None,
            }
        }
        self.written.push(b'}');
        Some(())
    }

    fn key(&mut self, key: &str, is_first: bool) -> Option<()> {
        if self.is_over {
            return None;
        }
        if !is_first {
            self.stands.push(b',');
        }
        quote(key.as_bytes(), &mut self.stands);
        self.stands.push(b':');
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{JsonWriter, SelectedField},
        *,
    };

    fn text(key: &str) -> SelectedField {
        SelectedField::new(key, key, ValueShape::Text)
    }

    fn within(key: &str, fields: &[SelectedField]) -> SelectedField {
        SelectedField::new(
            key,
            key,
            ValueShape::Object(Arc::new(ObjectSelection { fields: fields.to_vec() })),
        )
    }

    fn stencil(fields: &[SelectedField]) -> Option<ObjectStencil> {
        ObjectStencil::of(&ObjectSelection { fields: fields.to_vec() })
    }

    #[test]
    fn what_objects_begin_with_is_written_as_the_writer_does() {
        let typename = SelectedField::new("__typename", "__typename", ValueShape::Constant("\"T\"".into()));
        let alias = SelectedField::new("called", "name", ValueShape::Text);
        let selections = [
            vec![within("metadata", &[text("name")])],
            vec![within("metadata", &[text("name"), text("namespace")])],
            vec![
                typename.clone(),
                within("metadata", &[typename.clone(), alias, typename.clone()]),
                typename,
            ],
            vec![text("a"), within("b", &[text("c")])],
        ];
        // A bit for each selection that fits.
        let objects = [
            (0b0111, r#"{"metadata":{"name":"x","namespace":"y","uid":"z"},"a":1}"#),
            (0b0101, r#"{"metadata":{"name":"\"x\\","uid":"z","namespace":"y"}}"#),
            (0b0000, r#"{"metadata":{"uid":"z","name":"x"}}"#),
            (0b0000, r#"{"metadata":{"name":null,"namespace":"y"}}"#),
            (0b0000, r#"{"metadata":null}"#),
            (0b0000, r#"{ "metadata": {"name": "x"}}"#),
            (0b1000, r#"{"a":"","b":{"c":"d"}}"#),
            (0b0000, r#"{"a":"1","b":{}}"#),
            (0b0000, "{}"),
        ];
        for (fit, object) in objects {
            for (index, fields) in selections.iter().enumerate() {
                let selection = ObjectSelection { fields: fields.clone() };
                let fits = (fit >> index) & 1 == 1;
                let mut out = b"before".to_vec();
                let is_written = stencil(fields).unwrap().write(object.as_bytes(), &mut out);
                assert_eq!(is_written, fits, "{object} {index}");
                let mut writer = JsonWriter::after(b"before".to_vec());
                writer.object(&mut JsonCursor::new(object.as_bytes()), &selection).unwrap();
                assert_eq!(out, if fits { writer.out } else { b"before".to_vec() }, "{object} {index}");
            }
        }
    }

    #[test]
    fn what_has_to_be_looked_for_has_no_stencil() {
        let plain = SelectedField::new("data", "data", ValueShape::Plain);
        let constant = SelectedField::new("kind", "kind", ValueShape::Constant("1".into()));
        let whole = SelectedField::new("x", "x", ValueShape::Whole(Box::new(ValueShape::Text)));
        for fields in [
            vec![],
            vec![constant.clone()],
            vec![plain.clone()],
            vec![within("metadata", &[text("name")]), plain],
            vec![within("metadata", &[text("name")]), text("a")],
            vec![within("metadata", &[text("name")]), whole],
            vec![within("metadata", &[within("a", &[text("b")]), text("c")])],
            vec![within("metadata", &[constant])],
        ] {
            assert!(stencil(&fields).is_none(), "{fields:?}");
        }
    }
}
