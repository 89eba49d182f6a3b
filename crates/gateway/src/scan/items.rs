//! Lists whose items are at hand one by one, and not in the bytes of one answer.

use std::cmp::Ordering;

use super::{
    cursor::{JsonCursor, at},
    list::{ItemOrder, ListError, ListField, ListSelection, compare},
    selection::ObjectSelection,
    stencil::ObjectStencil,
    writer::JsonWriter,
};

/// Writes a list from its metadata and its items.
pub fn list_of<'p>(
    writer: &mut JsonWriter<'p>,
    (metadata, items): (&[u8], &[&[u8]]),
    selection: &'p ListSelection,
    order: Option<&ItemOrder>,
) -> Result<(), ListError> {
    writer.is_hasty = true;
    let sorted = order.map(|order| sorted(items, order)).transpose()?.flatten();
    let items = sorted.as_deref().unwrap_or(items);
    writer.out.push(b'{');
    for (index, (label, field, _)) in selection.fields.iter().enumerate() {
        if index > 0 {
            writer.out.push(b',');
        }
        writer.out.extend_from_slice(label.as_bytes());
        let (key, otherwise): (_, &[u8]) = match field {
            ListField::Items(selected) => {
                write_all(writer, items, (label, selected))?;
                continue;
            }
            ListField::Constant(json) => {
                writer.out.extend_from_slice(json.as_bytes());
                continue;
            }
            ListField::ResourceVersion => ("resourceVersion", b"null"),
            ListField::Continue => ("continue", b"\"\""),
            ListField::RemainingItemCount => ("remainingItemCount", b"null"),
        };
        writer.out.extend_from_slice(at(metadata, &[key])?.unwrap_or(otherwise));
    }
    writer.out.push(b'}');
    Ok(())
}

fn write_all<'p>(
    writer: &mut JsonWriter<'p>,
    items: &[&[u8]],
    (label, selection): (&'p str, &'p ObjectSelection),
) -> Result<(), ListError> {
    let stencil = ObjectStencil::of(selection);
    writer.out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            writer.out.push(b',');
        }
        if stencil.as_ref().is_some_and(|stencil| stencil.write(item, &mut writer.out)) {
            writer.has_room()?;
        } else {
            writer.item(&mut JsonCursor::new(item), (label, selection), index)?;
        }
    }
    writer.out.push(b']');
    Ok(())
}

/// The items in order, unless they are already.
fn sorted<'i>(items: &[&'i [u8]], order: &ItemOrder) -> Result<Option<Vec<&'i [u8]>>, ListError> {
    let keyed = items.iter().map(|item| Ok((order.key(item)?, *item)));
    let mut keyed = keyed.collect::<Result<Vec<_>, ListError>>()?;
    if keyed.first().is_some_and(|(key, _)| key.is_none()) {
        return Err(ListError::NoSuchField);
    }
    if keyed.is_sorted_by(|(a, _), (b, _)| compare(*a, *b) != Ordering::Greater) {
        return Ok(None);
    }
    keyed.sort_by(|(a, _), (b, _)| compare(*a, *b));
    Ok(Some(keyed.into_iter().map(|(_, item)| item).collect()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{FieldCondition, MalformedJson, PathStep, SelectedField, ValueShape, list},
        *,
    };

    #[test]
    fn items_at_hand_are_written_as_those_of_an_answer() {
        let of = |fields| ValueShape::Object(Arc::new(ObjectSelection { fields }));
        let plain = |name: &str| SelectedField::new(name, name, ValueShape::Plain);
        let constant = |name: &str| SelectedField::new(name, name, ValueShape::Constant("1".into()));
        let name = SelectedField::new(
            "metadata",
            "metadata",
            of(vec![SelectedField::new("name", "name", ValueShape::Text)]),
        );
        let nested = SelectedField::new(
            "y",
            "y",
            of(vec![SelectedField::new("a", "a", of(vec![plain("b")])), plain("d")]),
        );
        let list = SelectedField::new("x", "x", ValueShape::List(Box::new(of(vec![plain("a")]))));
        let alias = SelectedField::new("again", "metadata", of(vec![plain("uid"), plain("none")]));
        let bare = SelectedField::new("y", "y", of(vec![constant("t")]));
        let texts = ["name", "uid"].map(|name| SelectedField::new(name, name, ValueShape::Text));
        let texts = SelectedField::new("metadata", "metadata", of(texts.to_vec()));
        for fields in [
            vec![name.clone(), plain("n")],
            vec![name.clone()],
            vec![constant("t"), texts, constant("t")],
            vec![plain("n"), name.clone(), alias, list.clone()],
            vec![list, nested.clone(), constant("t"), plain("n")],
            vec![nested, name],
            vec![bare, plain("n")],
            vec![constant("t")],
        ] {
            are_written_alike(fields);
        }
    }

    #[test]
    fn items_are_not_written_beyond_the_most() {
        let name = SelectedField::new("name", "name", ValueShape::Text);
        let items = ListField::Items(Arc::new(ObjectSelection { fields: vec![name] }));
        let selection =
            ListSelection { fields: vec![("\"items\":".into(), items, FieldCondition::default())] };
        // One is found where it begins, the other is looked for.
        for item in [&br#"{"name":"a"}"#[..], br#"{"x":1,"name":"a"}"#] {
            let written = |most: usize| {
                let mut writer = JsonWriter::default().at_most(most);
                let done = list_of(&mut writer, (b"{}", &[item; 100]), &selection, None);
                done.map(|()| writer.out.len())
            };
            assert_eq!(written(10_000), Ok(1_311));
            assert_eq!(written(500), Err(ListError::Malformed(MalformedJson::TOO_LONG)));
        }
    }

    /// The places of what does not fit, with dots.
    fn told(writer: &JsonWriter<'_>) -> Vec<String> {
        let step = |step: &PathStep| match step {
            PathStep::Field(name) => name.clone(),
            PathStep::Index(index) => index.to_string(),
        };
        let paths = writer.mismatches.iter().map(|told| told.path.iter().map(step).collect::<Vec<_>>());
        let mut paths: Vec<_> = paths.map(|path| path.join(".")).collect();
        paths.sort();
        paths
    }

    #[test]
    fn what_does_not_fit_is_told_where_it_is_shown() {
        let name = SelectedField::new("name", "name", ValueShape::Text);
        let metadata = ValueShape::Object(Arc::new(ObjectSelection { fields: vec![name] }));
        let items = Arc::new(ObjectSelection { fields: vec![SelectedField::new("m", "metadata", metadata)] });
        let field =
            |label: &str| (label.into(), ListField::Items(Arc::clone(&items)), FieldCondition::default());
        let selection = ListSelection { fields: vec![field("\"a\":"), field("\"items\":")] };
        let items = [r#"{"n":3,"metadata":7}"#, r#"{"n":1,"metadata":{}}"#, r#"{"n":2,"metadata":[]}"#];
        let answer = format!(r#"{{"items":[{}]}}"#, items.join(","));
        for (path, expected) in [
            (None, ["a.0.m", "a.2.m", "items.0.m", "items.2.m"]),
            (Some("n"), ["a.1.m", "a.2.m", "items.1.m", "items.2.m"]),
        ] {
            let order = path.map(ItemOrder::by);
            let (mut one, mut other) = (JsonWriter::default(), JsonWriter::default());
            list(&mut one, answer.as_bytes(), &selection, order.as_ref()).unwrap();
            let bytes = items.map(str::as_bytes);
            list_of(&mut other, (b"{}", &bytes), &selection, order.as_ref()).unwrap();
            assert_eq!([told(&one), told(&other)], [expected, expected], "{path:?}");
        }
    }

    fn are_written_alike(fields: Vec<SelectedField>) {
        let items = [
            r#"{"metadata":{"name":"b","uid":"}"},"n":2,"x":[{"a":1,"b":[{}]},{"b":2},{}],"y":{"a":{"b":1,"c":2},"d":3}}"#,
            r#"{"n":3,"metadata":{"uid":"1","name":"a"},"y":{"d":{"a":[]}},"x":null}"#,
            r#"{"metadata":{"name":"c"},"n":1,"y":{},"x":[],"z":{}}"#,
        ];
        let metadata = r#"{"resourceVersion":"7","continue":"x"}"#;
        let field = |label: &str, field| (format!("\"{label}\":").into(), field, FieldCondition::default());
        let selection = ListSelection {
            fields: vec![
                field("continue", ListField::Continue),
                field("items", ListField::Items(Arc::new(ObjectSelection { fields }))),
                field("left", ListField::RemainingItemCount),
                field("resourceVersion", ListField::ResourceVersion),
                field("__typename", ListField::Constant("\"L\"".into())),
            ],
        };
        let answer = format!(r#"{{"metadata":{metadata},"items":[{}]}}"#, items.join(","));
        for path in [None, Some("n"), Some("metadata.name"), Some("metadata.none")] {
            let order = path.map(ItemOrder::by);
            let (mut one, mut other) = (JsonWriter::default(), JsonWriter::default());
            let through = list(&mut one, answer.as_bytes(), &selection, order.as_ref());
            let bytes = items.map(str::as_bytes);
            let at_hand = list_of(&mut other, (metadata.as_bytes(), &bytes), &selection, order.as_ref());
            assert_eq!(through, at_hand, "{path:?}");
            if through.is_ok() {
                assert_eq!(String::from_utf8(one.out), String::from_utf8(other.out), "{path:?}");
            }
        }
    }
}
