//! Selections from bytes equal those that `serde_json` makes from values.

use std::{cmp::Ordering, sync::Arc};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    FieldCondition, ItemOrder, JsonWriter, ListField, ListSelection, ObjectSelection, PathStep,
    SelectedField, ValueShape,
    cursor::{JsonCursor, MalformedJson},
    list,
};

/// The same selection over values.
fn oracle(value: &Value, shape: &ValueShape) -> Value {
    match (shape, value) {
        (ValueShape::Constant(json), _) => serde_json::from_str(json).unwrap(),
        (ValueShape::Whole(inner), _) => oracle(value, inner),
        (_, Value::Null) => Value::Null,
        (ValueShape::Text, Value::String(_)) | (ValueShape::Plain, _) => value.clone(),
        (ValueShape::Text | ValueShape::JsonText, _) => Value::String(value.to_string()),
        (ValueShape::List(inner), Value::Array(items)) => {
            items.iter().map(|item| oracle(item, inner)).collect()
        }
        (ValueShape::Object(selection), Value::Object(fields)) => selected(fields, selection),
        _ => Value::Null,
    }
}

fn selected(fields: &Map<String, Value>, selection: &ObjectSelection) -> Value {
    let all = selection.fields.iter().map(|field| {
        let value = match &field.shape {
            ValueShape::Whole(inner) => oracle(&Value::Object(fields.clone()), inner),
            shape => oracle(fields.get(&*field.key).unwrap_or(&Value::Null), shape),
        };
        (field.name().to_owned(), value)
    });
    all.collect::<Map<_, _>>().into()
}

fn scanned(text: &str, shape: &ValueShape) -> Value {
    let mut writer = JsonWriter::default();
    writer.value(&mut super::JsonCursor::new(text.as_bytes()), shape).unwrap();
    serde_json::from_slice(&writer.out)
        .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8(writer.out)))
}

#[test]
fn whole_objects_say_of_which_type_they_are() {
    let members: [(Box<str>, Box<str>); 2] =
        [("kind".into(), "\"K\"".into()), ("apiVersion".into(), "\"v1\"".into())];
    let shape = ValueShape::With(members.into());
    for (written, expected) in [
        (r#"{"a":{"kind":1}}"#, r#"{"kind":"K","apiVersion":"v1","a":{"kind":1}}"#),
        (r#"{"a":1,"kind":"Own"}"#, r#"{"apiVersion":"v1","a":1,"kind":"Own"}"#),
        (r#"{"kind":"Own","apiVersion":"v2"}"#, r#"{"kind":"Own","apiVersion":"v2"}"#),
        (" { } ", r#"{"kind":"K","apiVersion":"v1"}"#),
        ("null", "null"),
        ("[7]", "[7]"),
    ] {
        assert_eq!(scanned(written, &shape), serde_json::from_str::<Value>(expected).unwrap(), "{written}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("c\"\\".to_owned()),
        Just("é".to_owned()),
        "[a-d]{1,2}"
    ]
}

fn shapes() -> impl Strategy<Value = ValueShape> {
    let leaf = prop_oneof![
        Just(ValueShape::Text),
        Just(ValueShape::Plain),
        Just(ValueShape::JsonText),
        Just(ValueShape::Constant("\"k\"".into())),
        Just(ValueShape::Whole(Box::new(ValueShape::JsonText))),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| ValueShape::List(Box::new(inner))),
            prop::collection::vec((key(), inner), 0..5).prop_map(|fields| {
                let field = |(index, (key, shape)): (usize, (String, ValueShape))| {
                    SelectedField::new(&format!("f{index}"), &key, shape)
                };
                ValueShape::Object(Arc::new(ObjectSelection {
                    fields: fields.into_iter().enumerate().map(field).collect(),
                }))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_and_values_give_the_same(value in values(), shape in shapes()) {
        let expected = oracle(&value, &shape);
        prop_assert_eq!(scanned(&value.to_string(), &shape), reparsed(&expected));
        prop_assert_eq!(without_spaces(scanned(&serde_json::to_string_pretty(&value).unwrap(), &shape)), without_spaces(expected));
    }

    #[test]
    fn no_bytes_bring_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200), shape in shapes()) {
        let _ = JsonWriter::default().value(&mut super::JsonCursor::new(&bytes), &shape);
    }

    #[test]
    fn no_half_of_json_brings_it_down(value in values(), shape in shapes(), at in 0..500_usize) {
        let text = value.to_string();
        let half = &text.as_bytes()[..at.min(text.len())];
        let _ = JsonWriter::default().value(&mut super::JsonCursor::new(half), &shape);
    }
}

fn reparsed(value: &Value) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

/// Raw JSON keeps the spelling of the API server; only its meaning is compared.
fn without_spaces(value: Value) -> Value {
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(&text) {
            Ok(inner) if inner.is_object() || inner.is_array() => Value::String(inner.to_string()),
            _ => Value::String(text),
        },
        Value::Array(items) => items.into_iter().map(without_spaces).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, without_spaces(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

fn name_only() -> Arc<ObjectSelection> {
    let name = SelectedField::new("name", "name", ValueShape::Text);
    let metadata = ValueShape::Object(Arc::new(ObjectSelection { fields: vec![name] }));
    Arc::new(ObjectSelection {
        fields: vec![
            SelectedField::new("kind", "kind", ValueShape::Constant("\"Pod\"".into())),
            SelectedField::new("metadata", "metadata", metadata),
        ],
    })
}

#[test]
fn numbers_are_as_they_are_written() {
    let shape = ValueShape::Object(Arc::new(ObjectSelection {
        fields: vec![
            SelectedField::new("n", "n", ValueShape::Plain),
            SelectedField::new("t", "n", ValueShape::JsonText),
        ],
    }));
    let mut writer = JsonWriter::default();
    writer.value(&mut super::JsonCursor::new(br#"{"n":1e21}"#), &shape).unwrap();
    assert_eq!(String::from_utf8(writer.out).unwrap(), r#"{"n":1e21,"t":"1e21"}"#);
}

#[test]
fn what_does_not_fit_is_null_with_its_path() {
    let inner = ValueShape::List(Box::new(ValueShape::Object(name_only())));
    let shape =
        ValueShape::Object(Arc::new(ObjectSelection { fields: vec![SelectedField::new("x", "a", inner)] }));
    let mut writer = JsonWriter::default();
    writer.value(&mut super::JsonCursor::new(br#"{"a":[{"metadata":{}},{"metadata":7}]}"#), &shape).unwrap();
    let got: Value = serde_json::from_slice(&writer.out).unwrap();
    assert_eq!(
        got,
        json!({"x": [{"kind": "Pod", "metadata": {"name": null}}, {"kind": "Pod", "metadata": null}]})
    );
    let path = [PathStep::Field("x".into()), PathStep::Index(1), PathStep::Field("metadata".into())];
    assert_eq!(writer.mismatches[0].path, path);
}

fn listed(json: &str, order: Option<&str>) -> Result<Value, super::ListError> {
    let field = |name: &str, field| (format!("\"{name}\":").into(), field, FieldCondition::default());
    let fields = vec![
        field("items", ListField::Items(name_only())),
        field("continue", ListField::Continue),
        field("remainingItemCount", ListField::RemainingItemCount),
        field("resourceVersion", ListField::ResourceVersion),
    ];
    let selection = ListSelection { fields };
    let mut writer = JsonWriter::default();
    list(&mut writer, json.as_bytes(), &selection, order.map(ItemOrder::by).as_ref())?;
    Ok(serde_json::from_slice(&writer.out).unwrap())
}

#[test]
fn lists_have_their_fields_wherever_they_stand() {
    let item = |name: &str| json!({"kind": "Pod", "metadata": {"name": name}});
    let cases = [
        r#"{"kind":"PodList","metadata":{"resourceVersion":"7","remainingItemCount":3},"items":[{"metadata":{"name":"b"}},{"metadata":{"name":"a"}}]}"#,
        r#"{"items":[{"metadata":{"name":"b"}},{"metadata":{"name":"a"}}],"metadata":{"remainingItemCount":3,"resourceVersion":"7"}}"#,
    ];
    for case in cases {
        let expected = json!({"items": [item("a"), item("b")], "continue": "", "remainingItemCount": 3, "resourceVersion": "7"});
        assert_eq!(listed(case, Some("metadata.name")).unwrap(), expected);
        assert_eq!(listed(case, None).unwrap()["items"], json!([item("b"), item("a")]));
        assert_eq!(listed(case, Some("spec.x")), Err(super::ListError::NoSuchField));
    }
    let empty = listed(r#"{"metadata":{},"items":null}"#, Some("metadata.name")).unwrap();
    assert_eq!(empty["items"], json!([]));
}

#[test]
fn sorting_keeps_the_order_of_equals_and_knows_kinds() {
    let with = |values: &[Value]| {
        let items: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(n, v)| json!({"metadata": {"name": n.to_string()}, "x": v}))
            .collect();
        let got = listed(&json!({"items": items}).to_string(), Some("x")).unwrap();
        got["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect::<String>()
    };
    assert_eq!(with(&[json!(10), json!(9), json!(9), json!(-1.5)]), "3120");
    assert_eq!(with(&[json!("b"), json!("a\""), json!("a")]), "210");
    assert_eq!(with(&[json!(true), json!(false)]), "10");
    assert_eq!(with(&[json!({}), json!({})]), "01");
    assert_eq!(with(&[json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64)]), "10");
    let mixed =
        [json!("a"), json!([1]), json!(2), json!(true), Value::Null, json!("10%"), json!({}), json!(1)];
    assert_eq!(with(&mixed), "43725016");
}

/// A port is a number or a name, and so on: there is an order for as many of them as there are.
#[test]
fn whatever_is_mixed_has_one_order() {
    let values = [
        "null",
        "false",
        "true",
        "-1",
        "0.5",
        "1",
        "1e3",
        "\"\"",
        "\"1\"",
        "\"\\u0061\"",
        "\"b\"",
        "[]",
        "{}",
    ];
    let mut all: Vec<Option<&[u8]>> = vec![None];
    all.extend(values.map(|value| Some(value.as_bytes())));
    for (place, a) in all.iter().enumerate() {
        for (other, b) in all.iter().enumerate() {
            let expected =
                if place.min(other) >= all.len() - 2 { Ordering::Equal } else { place.cmp(&other) };
            assert_eq!(super::list::compare(*a, *b), expected, "{a:?} {b:?}");
        }
    }
    let mut many: Vec<_> = (0..1000).map(|number| all[number * 5 % all.len()]).collect();
    many.sort_by(|a, b| super::list::compare(*a, *b));
    assert!(many.is_sorted_by(|a, b| super::list::compare(*a, *b) != Ordering::Greater));
}

#[test]
fn what_is_selected_too_often_is_given_up() {
    let many = |shape: &dyn Fn() -> ValueShape| -> Arc<ObjectSelection> {
        let fields = (0..10).map(|number| SelectedField::new(&format!("a{number}"), "a", shape())).collect();
        Arc::new(ObjectSelection { fields })
    };
    let entry = |shape| Arc::new(ObjectSelection { fields: vec![SelectedField::new("a", "a", shape)] });
    let list_of = |selection| ValueShape::List(Box::new(ValueShape::Object(selection)));
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
    let objects = format!(r#"{{"a":[{}]}}"#, vec!["{}"; 20].join(","));
    // Values, constants, and what is not there.
    for (selection, json) in [
        (many(&|| ValueShape::Plain), &text),
        (entry(list_of(many(&|| ValueShape::Constant("1".into())))), &objects),
        (entry(list_of(many(&|| ValueShape::Plain))), &objects),
    ] {
        for (most, expected) in [(3000, Ok(())), (500, Err(MalformedJson::TOO_LONG))] {
            let mut writer = JsonWriter::default().at_most(most);
            let written = writer.object(&mut JsonCursor::new(json.as_bytes()), &selection);
            assert_eq!(written, expected, "{most} of {json}");
            assert!(writer.out.len() < most + 200, "{}", writer.out.len());
        }
    }
}

/// What is put aside for another order of the fields counts as well.
#[test]
fn items_that_are_selected_too_often_are_given_up() {
    let fields = vec![SelectedField::new("a", "a", ValueShape::Plain)];
    let items = Arc::new(ObjectSelection { fields });
    let field = |number| {
        (format!("\"i{number}\":").into(), ListField::Items(Arc::clone(&items)), FieldCondition::default())
    };
    let selection = ListSelection { fields: (0..10).map(field).collect() };
    let json = format!(r#"{{"items":[{{"a":"{}"}}]}}"#, "x".repeat(100));
    for (most, is_whole) in [(3000, true), (500, false)] {
        let mut writer = JsonWriter::default().at_most(most);
        assert_eq!(list(&mut writer, json.as_bytes(), &selection, None).is_ok(), is_whole, "{most}");
    }
}
