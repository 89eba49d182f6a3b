//! The log is read line by line, while it is being written.

use std::io::Write;

use super::*;

fn event(id: &str, verb: &str, user: &str, resource: &str, subresource: &str) -> String {
    let object =
        serde_json::json!({"resource": resource, "namespace": "ns", "name": "x", "subresource": subresource});
    let event = serde_json::json!({
        "kind": "Event", "level": "Metadata", "auditID": id, "stage": "ResponseComplete", "verb": verb,
        "requestURI": "/x", "user": {"username": user, "groups": ["g"]}, "objectRef": object,
        "responseStatus": {"metadata": {}, "code": 201},
        "requestReceivedTimestamp": "2024-05-06T07:08:09.123456Z",
    });
    format!("{event}\n")
}

fn log(dir: &tempfile::TempDir) -> (AuditLog, File) {
    let path = dir.path().join("audit.log");
    (AuditLog::new(path.clone()), File::create(path).unwrap())
}

#[test]
fn a_file_that_is_not_there_yet_is_an_empty_log() {
    let log = AuditLog::new("/nonexistent/audit.log".into());
    assert!(log.entries_since(Mark::default()).unwrap().is_empty());
}

#[test]
fn half_a_line_waits_for_its_other_half() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut file) = log(&dir);
    let line = event("1", "create", "admin", "secrets", "");
    let (head, tail) = line.split_at(40);
    file.write_all(head.as_bytes()).unwrap();
    assert!(log.entries_since(Mark::default()).unwrap().is_empty());
    file.write_all(tail.as_bytes()).unwrap();
    let entries = log.entries_since(Mark::default()).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].code(), 201);
    assert_eq!(entries[0].received, "2024-05-06T07:08:09.123456Z".parse().unwrap());
    assert_eq!(entries[0].object_ref.as_ref().unwrap().resource, "secrets");
}

#[test]
fn writes_are_those_of_one_user_after_the_mark_without_leases() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut file) = log(&dir);
    file.write_all(event("1", "create", "bob", "secrets", "").as_bytes()).unwrap();
    let mark = log.mark().unwrap();
    for (id, verb, user, resource) in [
        ("2", "get", "bob", "secrets"),
        ("3", "patch", "bob", "secrets"),
        ("4", "patch", "eve", "secrets"),
        ("5", "update", "bob", "leases"),
    ] {
        file.write_all(event(id, verb, user, resource, "").as_bytes()).unwrap();
    }
    assert_eq!(log.writes_by_user("bob", mark, false).unwrap().len(), 1);
    assert_eq!(log.writes_by_user("bob", mark, true).unwrap().len(), 2);
    assert_eq!(log.writes("bob").unwrap().len(), 2);
}

#[test]
fn a_watch_is_one_entry_and_the_summary_counts_by_subresource() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut file) = log(&dir);
    for line in [
        event("1", "watch", "bob", "secrets", ""),
        event("1", "watch", "bob", "secrets", ""),
        event("2", "patch", "bob", "cowboys", "status"),
        event("3", "patch", "bob", "cowboys", "status"),
    ] {
        file.write_all(line.as_bytes()).unwrap();
    }
    let counts = summary(&log.entries_since(Mark::default()).unwrap());
    let key = |verb: &str, resource: &str, sub: &str| (verb.to_owned(), resource.to_owned(), sub.to_owned());
    assert_eq!(counts[&key("watch", "secrets", "")], 1);
    assert_eq!(counts[&key("patch", "cowboys", "status")], 2);
}

#[test]
fn each_entry_is_taken_once_however_the_log_grows() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut file) = log(&dir);
    let (mut mark, mut taken) = (Mark::default(), Vec::new());
    for id in ["1", "2", "3"] {
        file.write_all(event(id, "create", "bob", "secrets", "").as_bytes()).unwrap();
        taken.extend(log.take_since(&mut mark).unwrap().into_iter().map(|entry| entry.id));
        // Somebody else reads on, too.
        file.write_all(event(&format!("{id}+"), "patch", "bob", "secrets", "").as_bytes()).unwrap();
        log.mark().unwrap();
    }
    taken.extend(log.take_since(&mut mark).unwrap().into_iter().map(|entry| entry.id));
    assert_eq!(taken, ["1", "1+", "2", "2+", "3", "3+"]);
}
