//! A list that comes in pieces is written as one that is there as a whole.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::scan::{FieldCondition, PathStep, SelectedField, ValueShape, list};

const USUAL: &str = concat!(
    r#"{"kind":"L","metadata":{"resourceVersion":"7","continue":"a\"b"},"items":[{"metadata":{"name":"a"},"n":[1,{"x":"]"}]}, {"n":-1.5e3,"metadata":{"name":"b\\"}},{"metadata":{},"x":null,"y":true}]}"#,
    "\n"
);

fn selection(fields: &[&str]) -> ListSelection {
    let field = |name: &&str| {
        let field = match *name {
            "items" => ListField::Items(items()),
            "continue" => ListField::Continue,
            "resourceVersion" => ListField::ResourceVersion,
            _ => ListField::Constant("\"c\"".into()),
        };
        (format!("\"{name}\":").into(), field, FieldCondition::default())
    };
    ListSelection { fields: fields.iter().map(field).collect() }
}

fn items() -> Arc<ObjectSelection> {
    let name = SelectedField::new("name", "name", ValueShape::Text);
    let metadata = ValueShape::Object(Arc::new(ObjectSelection { fields: vec![name] }));
    let fields = vec![
        SelectedField::new("n", "n", ValueShape::Plain),
        SelectedField::new("metadata", "metadata", metadata),
    ];
    Arc::new(ObjectSelection { fields })
}

/// What is written of a list that comes in pieces of this size and is taken in parts of that size, and how it ends.
fn poured(
    json: &str,
    selection: &ListSelection,
    piece: usize,
    room: usize,
) -> (String, Result<(), MalformedJson>) {
    let (mut listing, mut out) = (ListWriter::new(selection, None, (Vec::new(), usize::MAX)), Vec::new());
    let (mut waiting, mut pieces) = (Vec::new(), json.as_bytes().chunks(piece));
    let ended = loop {
        match listing.advance(&waiting, room) {
            Ok(used) => drop(waiting.drain(..used)),
            Err(ListError::Malformed(malformed)) => break Err(malformed),
            Err(other) => panic!("{other}"),
        }
        let is_full = listing.out().len() >= room;
        out.append(listing.out());
        if listing.is_done() {
            break Ok(());
        }
        if !is_full {
            match pieces.next() {
                Some(piece) => waiting.extend_from_slice(piece),
                None => break Err(listing.cut()),
            }
        }
    };
    if ended.is_err() {
        listing.break_off();
        out.append(listing.out());
    }
    (String::from_utf8(out).unwrap(), ended)
}

#[test]
fn pieces_give_the_same_as_the_whole() {
    let empty = r#"{"metadata":{"resourceVersion":"7"},"items":[]}"#;
    let null = r#"{"metadata":{"resourceVersion":"7"},"items":null,"more":1}"#;
    let late = r#"{"items":[{"n":1}],"metadata":{"continue":"c"}}"#;
    let table: [(&str, &[&str]); 7] = [
        (USUAL, &["items"]),
        (USUAL, &["continue", "constant", "items", "resourceVersion"]),
        (empty, &["items", "resourceVersion"]),
        (null, &["resourceVersion", "items"]),
        (late, &["constant", "items", "continue"]),
        ("{ }", &["items", "continue"]),
        (r#"{"metadata":{}}"#, &["continue", "items"]),
    ];
    for (json, fields) in table {
        let selection = selection(fields);
        let mut whole = JsonWriter::default();
        list(&mut whole, json.as_bytes(), &selection, None).unwrap();
        let whole = String::from_utf8(whole.out).unwrap();
        for piece in 1..=json.len() {
            for room in [1, 20, 1000] {
                let (written, ended) = poured(json, &selection, piece, room);
                assert_eq!((written.as_str(), ended), (whole.as_str(), Ok(())), "{json} by {piece}, {room}");
            }
        }
    }
}

#[test]
fn what_breaks_off_is_no_list_and_still_json() {
    let (json, selection) = (USUAL, selection(&["resourceVersion", "items", "continue"]));
    let whole = json.trim_end().len();
    for length in 0..whole {
        let (written, ended) = poured(&json[..length], &selection, 9, 1000);
        assert!(ended.is_err(), "{length}: {written}");
        let value: Value = serde_json::from_str(&written).unwrap_or_else(|_| panic!("{length}: {written}"));
        assert!(value["items"].as_array().is_none_or(|items| items.len() <= 3), "{written}");
        assert!(value.get("continue").is_none(), "{length}: {written}");
    }
}

#[test]
fn what_is_no_json_is_told_where_it_is() {
    let table = [
        ("[]", 0),
        (r#"{"items":[{"n":1}{"n":2}]}"#, 17),
        (r#"{"items":[1]}"#, 10),
        (r#"{"items":[{"n":x}]}"#, 15),
        (r#"{"items":[{"n":-}]}"#, 16),
        (r#"{"items":[],"items":[]}"#, 20),
        (r#"{"items":[{"n":1},"#, 18),
    ];
    for (json, at) in table {
        for piece in [1, 5, 100] {
            let (_, ended) = poured(json, &selection(&["items"]), piece, 1000);
            assert_eq!(ended, Err(MalformedJson { at }), "{json} by {piece}");
        }
    }
}

#[test]
fn a_list_is_streamed_if_it_comes_in_the_order_of_the_answer() {
    let late = r#"{"items":[{}],"metadata":{}}"#;
    let table: [(&str, &[&str], bool); 9] = [
        (USUAL, &["items"], true),
        (USUAL, &["continue", "items", "resourceVersion"], true),
        (USUAL, &["resourceVersion"], true),
        (USUAL, &["items", "items"], false),
        (late, &["constant", "items", "continue"], true),
        (late, &["continue", "items"], false),
        (late, &["continue"], false),
        (r#"{"metadata":{"continue":"long"#, &["items"], false),
        ("<html>", &["items"], false),
    ];
    for (beginning, fields, expected) in table {
        assert_eq!(
            is_streamable(&selection(fields), beginning.as_bytes()),
            expected,
            "{beginning} {fields:?}"
        );
    }
}

#[test]
fn items_that_nobody_asks_for_are_not_read() {
    let selection = selection(&["resourceVersion"]);
    let mut listing = ListWriter::new(&selection, None, (Vec::new(), usize::MAX));
    listing.advance(br#"{"metadata":{"resourceVersion":"7"},"items":[{"a":"#, 1000).unwrap();
    assert!(listing.is_done() && listing.has_enough());
    assert_eq!(listing.out(), br#"{"resourceVersion":"7"}"#);
}

#[test]
fn a_value_that_does_not_fit_is_told_once() {
    let json = r#"{"items":[{"metadata":{}},{"metadata":7,"n":"long enough"}]}"#;
    let selection = selection(&["items"]);
    let mut listing = ListWriter::new(&selection, None, (Vec::new(), usize::MAX));
    let read = listing.advance(&json.as_bytes()[..45], 1000).unwrap();
    listing.advance(&json.as_bytes()[read..], 1000).unwrap();
    let told = listing.mismatches();
    assert_eq!(told.len(), 1);
    let path = [PathStep::Field("items".into()), PathStep::Index(1), PathStep::Field("metadata".into())];
    assert_eq!(told[0].path, path);
}

#[test]
fn names_come_in_their_order_or_not_at_all() {
    let order = ItemOrder::by("metadata.name");
    assert!(
        order.is_by_name()
            && !ItemOrder::by("metadata").is_by_name()
            && !ItemOrder::by("spec.name").is_by_name()
    );
    let table = [
        (r#"["a","a-b","a.b","b"]"#, Ok(())),
        (r#"["b","a"]"#, Err(ListError::Unordered)),
        (r#"[null,"a"]"#, Ok(())),
        (r#"["a",null]"#, Err(ListError::Unordered)),
        ("[]", Ok(())),
    ];
    for (names, expected) in table {
        let names: Vec<Value> = serde_json::from_str(names).unwrap();
        let items: Vec<_> =
            names.iter().map(|name| serde_json::json!({"metadata": {"name": name}})).collect();
        let json = serde_json::json!({"items": items}).to_string();
        let selection = selection(&["items"]);
        let mut listing = ListWriter::new(&selection, Some(&order), (Vec::new(), usize::MAX));
        assert_eq!(listing.advance(json.as_bytes(), 1000).map(drop), expected, "{json}");
    }
    let selection = selection(&["items"]);
    let mut listing = ListWriter::new(&selection, Some(&order), (Vec::new(), usize::MAX));
    assert_eq!(listing.advance(br#"{"items":[{}]}"#, 1000), Err(ListError::NoSuchField));
}
