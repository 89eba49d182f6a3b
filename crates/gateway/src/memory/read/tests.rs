//! Pages of what is held, and what memory has at all.

use super::{
    super::{
        held::HeldObjects,
        tests::{object, resource},
    },
    *,
};
use crate::scan::{FieldCondition, ListField, ListSelection, SelectedField, text_at};

fn held() -> HeldObjects {
    let mut held = HeldObjects::default();
    for (index, key) in ["a/1", "a/2", "a/3", "b/1"].iter().enumerate() {
        let phase = if index % 2 == 0 { "Running" } else { "Failed" };
        held.list(object(key, 1, &format!(r#","status":{{"phase":"{phase}"}}"#)));
    }
    held.listed(10);
    held
}

fn keys(found: &FoundPage) -> String {
    let keys = found.objects.all().map(|object| std::str::from_utf8(object.key()).unwrap());
    keys.collect::<Vec<_>>().join(" ")
}

#[test]
fn pages_are_cut_as_the_api_server_does() {
    let held = held();
    let table = [
        (None, "", None, "a/1 a/2 a/3 b/1", None),
        (Some("a"), "", None, "a/1 a/2 a/3", None),
        (None, "", Some(3), "a/1 a/2 a/3", Some(1)),
        (None, "", Some(4), "a/1 a/2 a/3 b/1", None),
        (Some("a"), "", Some(1), "a/1", Some(2)),
        (Some("none"), "", Some(1), "", None),
        (None, "status.phase=Running", None, "a/1 a/3", None),
        (None, "status.phase=Running", Some(2), "a/1 a/3", None),
    ];
    for (namespace, fields, limit, expected, left) in table {
        let selector = ObjectSelector::read("", fields, &resource("", "pods")).unwrap();
        let page = SoughtPage { namespace, selector, owners: None, place: None, limit };
        let found = page.of(&held).unwrap().selected(&page);
        assert_eq!((keys(&found).as_str(), found.left), (expected, left), "{namespace:?} {fields} {limit:?}");
        assert_eq!((found.next.is_some(), found.version), (left.is_some(), 10));
    }
    let selector = ObjectSelector::read("", "status.phase=Running", &resource("", "pods")).unwrap();
    let page = SoughtPage { namespace: None, selector, owners: None, place: None, limit: Some(1) };
    let found = page.of(&held).unwrap().selected(&page);
    assert_eq!((keys(&found).as_str(), found.left), ("a/1", None), "how many are left is not counted");
    assert_eq!(found.next, PageStart::after(b"a/1", None, 10));
}

#[test]
fn names_are_in_order_without_being_read() {
    let mut held = HeldObjects::default();
    for key in ["a-b/x", "a/x", "a/y", "b/w", "b/x.1", "b/y"] {
        held.list(object(key, 1, ""));
    }
    held.listed(10);
    for (namespace, expected) in
        [(None, "b/w a-b/x a/x b/x.1 a/y b/y"), (Some("b"), "b/w b/x.1 b/y"), (Some("none"), "")]
    {
        let page = SoughtPage {
            namespace,
            selector: ObjectSelector::default(),
            owners: None,
            place: None,
            limit: None,
        };
        let found = page.of(&held).unwrap().selected(&page);
        let items = found.items(true);
        let key = |item: &&[u8]| {
            ["namespace", "name"].map(|field| text_at(item, &["metadata", field]).unwrap()).join("/")
        };
        assert_eq!(items.iter().map(key).collect::<Vec<_>>().join(" "), expected, "{namespace:?}");
        assert_eq!(found.bytes, items.concat().len());
        // As they would be if each was looked into.
        assert!(items.iter().map(|item| text_at(item, &["metadata", "name"]).unwrap()).is_sorted());
        let unsorted: Vec<_> = found.objects.all().map(KeptObject::json).collect();
        assert_eq!(found.items(false), unsorted, "{namespace:?}");
    }
}

#[test]
fn later_pages_are_of_the_version_of_the_first() {
    let mut held = held();
    // Nothing has changed since 10, and 15 was told by a bookmark.
    held.version = 15;
    for (namespace, key, version, expected) in [
        (None, "a/2", 10, Some("a/3 b/1")),
        (None, "a/2", 12, Some("a/3 b/1")),
        (Some("a"), "a/1", 15, Some("a/2 a/3")),
        (None, "b/1", 12, Some("")),
        (None, "a/2", 9, None),
        (None, "a/2", 16, None),
    ] {
        let place = PageStart::after(key.as_bytes(), namespace, version);
        let page =
            SoughtPage { namespace, selector: ObjectSelector::default(), owners: None, place, limit: None };
        let found = page.of(&held);
        assert_eq!(found.as_ref().map(keys).as_deref(), expected, "{key} of {version}");
        assert!(found.is_none_or(|found| found.version == version));
    }
}

#[test]
fn memory_does_not_have_everything() {
    let selected = |key: &str, shape: ValueShape| SelectedField::new(key, key, shape);
    let metadata = |key: &str| {
        let fields = vec![selected(key, ValueShape::Text)];
        selected("metadata", ValueShape::Object(Arc::new(ObjectSelection { fields })))
    };
    let table = [
        (selected("spec", ValueShape::Plain), true),
        (selected("kind", ValueShape::Constant("\"Pod\"".into())), true),
        (metadata("name"), true),
        (metadata("managedFields"), false),
        (selected("metadata", ValueShape::Plain), false),
        (selected("kind", ValueShape::Text), false),
        (selected("x", ValueShape::Whole(Box::new(ValueShape::Plain))), false),
    ];
    for (field, expected) in table {
        let items = Arc::new(ObjectSelection { fields: vec![field.clone()] });
        let list = ListSelection {
            fields: vec![(
                "\"items\":".into(),
                ListField::Items(Arc::clone(&items)),
                FieldCondition::default(),
            )],
        };
        assert_eq!(has_all(&WantedSelection::List(Arc::new(list))), expected, "{field:?}");
        assert_eq!(has_all(&WantedSelection::Object(items)), expected, "{field:?}");
    }
    assert!(!has_all(&WantedSelection::Leaf));
}
