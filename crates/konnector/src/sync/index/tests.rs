//! Versions that run backwards: what a list says, and what does not count beside it.

use serde_json::json;

use super::*;

fn key() -> ObjectKey {
    ObjectKey { namespace: "n".to_owned(), name: "a".to_owned() }
}

fn object(version: &str, intent: &str) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "a.dev/v1", "kind": "A",
        "metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": version},
        "spec": {"intent": intent},
    }))
    .unwrap()
}

fn desired(index: &Index) -> Digest {
    index.sides(&key()).origin.unwrap().desired
}

#[test]
fn a_list_counts_against_everything_that_was_known_when_it_began() {
    let mut index = Index::new("contract", KeyRules::default(), true);
    index.saw_origin(&key(), &object("100", "after"));
    index.saw_copy(&key(), &object("100", "after"));
    let after = desired(&index);
    assert!(!index.saw_origin(&key(), &object("50", "before")), "a late event of a watch says nothing");
    assert_eq!(desired(&index), after);

    let began = index.begins_list();
    index.listed_origin(began, &key(), &object("50", "before"));
    index.listed_copy(began, &key(), &object("50", "before"));
    assert_ne!(desired(&index), after, "a backup was restored");
    assert_eq!(index.copies[&key()].version, 50);
    assert!(index.saw_origin(&key(), &object("51", "later")), "and its versions count from now on");
}

#[test]
fn what_was_written_while_a_list_was_under_way_is_newer_than_the_list() {
    let mut index = Index::new("contract", KeyRules::default(), true);
    let began = index.begins_list();
    index.saw_copy(&key(), &object("100", "ours"));
    index.saw_origin(&key(), &object("100", "ours"));
    let ours = desired(&index);
    index.listed_origin(began, &key(), &object("99", "before"));
    index.listed_copy(began, &key(), &object("99", "before"));
    assert_eq!((desired(&index), index.copies[&key()].version), (ours, 100));
}
