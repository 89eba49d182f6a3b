//! What a kind is going to take.

use super::*;

/// An object that these own.
fn owned(number: usize, owners: &[&str]) -> KeptObject {
    let references: Vec<_> = owners.iter().map(|uid| serde_json::json!({"uid": uid})).collect();
    let json = serde_json::json!({"metadata": {
        "name": format!("a{number}"), "resourceVersion": "1", "ownerReferences": references,
    }});
    KeptObject::of(json.to_string().as_bytes(), &mut Vec::new()).unwrap()
}

#[test]
fn a_page_tells_what_all_objects_take() {
    let table: [&[&str]; 3] = [&[], &["x"], &["x", "y"]];
    for owners in table {
        let page: Vec<_> = (0..4).map(|number| owned(number, owners)).collect();
        let mut held = HeldObjects::default();
        for one in &page {
            held.list(one.clone());
        }
        assert_eq!([needed(&page, 0), needed(&page, 4)], [held.weight, 2 * held.weight], "{owners:?}");
        let themselves: u64 = page.iter().map(KeptObject::weight).sum();
        assert_eq!(needed(&page, 0) > themselves, !owners.is_empty(), "{owners:?}");
    }
    assert_eq!(needed(&[], 5), 0);
}
