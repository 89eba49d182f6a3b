//! History of one side's objects, read from its audit log: who wrote what, in the order of versions.

use jiff::Timestamp;
use portolan_testkit::{AuditEntry, audit::ObjectRef};
use serde_json::{Map, Value};

/// Prefix of the annotations and labels that are ours.
const MARKS: [&str; 2] = ["kube-bind.io/", "kubebind.io/"];
/// The finalizer that is ours.
const FINALIZER: &str = "kubebind.io/syncer";
/// The annotation of a copy that names the origin.
const ORIGIN: &str = "kube-bind.io/consumer-uid";

/// The writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The people of that side: what this program does itself.
    User,
    /// The konnector, on the provider as the account of this contract namespace, or the provider.
    Ours(String),
    /// Kubernetes' own controllers, or a service of the provider.
    Other(String),
}

impl Who {
    fn of(user: &str) -> Self {
        let account = user.strip_prefix("system:serviceaccount:").unwrap_or_default();
        match account.split_once(':') {
            Some((namespace, "kube-binder")) => Self::Ours(namespace.to_owned()),
            Some((_, name @ ("konnector" | "provider"))) => Self::Ours(name.to_owned()),
            _ if user == "admin" => Self::User,
            _ => Self::Other(user.to_owned()),
        }
    }
}

/// An object's place: plural, namespace (empty where there is none), name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { plural, namespace, name } = self;
        if namespace.is_empty() {
            write!(f, "{plural} {name}")
        } else {
            write!(f, "{plural} {namespace}/{name}")
        }
    }
}

/// The deed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Deed {
    Create(Value),
    /// Of anything, the status alone included.
    Change(Value),
    /// A change whose outcome the log does not have: the API server can leave it out while a CRD changes.
    Unseen,
    Delete,
}

/// A write that was taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Write {
    pub(super) at: Timestamp,
    pub(super) who: Who,
    pub(super) place: Place,
    pub(super) uid: String,
    pub(super) deed: Deed,
}

impl Write {
    /// `None` for what was not taken, or wrote nothing.
    pub(super) fn read(entry: &AuditEntry) -> Option<Self> {
        let taken = (200..300).contains(&entry.code()) && !entry.request_uri.contains("dryRun=");
        let object = entry.object_ref.as_ref().filter(|_| taken && entry.is_write())?;
        let Some(answer) = entry.response_object.as_ref() else { return Self::unseen(entry, object) };
        let of_status = || answer["details"]["uid"].as_str();
        let uid = answer["metadata"]["uid"].as_str().or_else(of_status)?.to_owned();
        let deed = if entry.verb.starts_with("delete") {
            Deed::Delete
        } else if entry.verb == "create" || entry.code() == 201 {
            // Server-side apply creates as well.
            Deed::Create(answer.clone())
        } else {
            Deed::Change(answer.clone())
        };
        let name = answer["metadata"]["name"].as_str().unwrap_or(&object.name);
        let place = Place {
            plural: object.resource.clone(),
            namespace: object.namespace.clone(),
            name: name.to_owned(),
        };
        Some(Self { at: entry.received, who: Who::of(&entry.user.username), place, uid, deed })
    }

    fn unseen(entry: &AuditEntry, object: &ObjectRef) -> Option<Self> {
        let place = Place {
            plural: object.resource.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        let is_change = ["patch", "update"].contains(&entry.verb.as_str());
        let who = Who::of(&entry.user.username);
        is_change.then(|| Self { at: entry.received, who, place, uid: String::new(), deed: Deed::Unseen })
    }

    /// The version of the object that it led to; what deletes has none, and what was not seen.
    pub(super) fn version(&self) -> Option<u64> {
        match &self.deed {
            Deed::Create(object) | Deed::Change(object) => version(object),
            Deed::Unseen | Deed::Delete => None,
        }
    }
}

/// The version of an object.
pub(super) fn version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// The uid of the origin, as a copy names it.
pub(super) fn origin(copy: &Value) -> Option<&str> {
    copy["metadata"]["annotations"][ORIGIN].as_str()
}

/// Puts the writes of one side in the order in which they were done: requests that were under way at the same time are
/// in the log by when they came in. What deletes has no version and keeps its place in time behind what was before it.
pub(super) fn in_order(mut writes: Vec<Write>) -> Vec<Write> {
    writes.sort_by_key(|write| write.at);
    let mut highest = 0;
    let mut keyed: Vec<_> = writes
        .into_iter()
        .map(|write| {
            let key = write.version().unwrap_or(highest);
            highest = highest.max(key);
            (key, write)
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, write)| write).collect()
}

/// The user's part of an object: all but its status, the fields that the API server counts, and our marks.
pub(super) fn content(object: &Value) -> Value {
    let mut content = object.as_object().cloned().unwrap_or_default();
    for field in ["apiVersion", "kind", "status", "metadata"] {
        content.remove(field);
    }
    let metadata = &object["metadata"];
    let mut kept = Map::new();
    for field in ["labels", "annotations"] {
        let theirs = unmarked(&metadata[field]);
        if !theirs.is_empty() {
            kept.insert(field.to_owned(), theirs.into());
        }
    }
    let finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
    let theirs: Vec<_> = finalizers.into_iter().filter(|finalizer| finalizer != FINALIZER).collect();
    // The API server's own way to hold an object until its dependents are gone comes and goes with a delete.
    if !theirs.is_empty() && metadata["deletionTimestamp"].is_null() {
        kept.insert("finalizers".to_owned(), theirs.into());
    }
    content.insert("metadata".to_owned(), kept.into());
    content.into()
}

/// Labels or annotations without ours.
pub(super) fn unmarked(pairs: &Value) -> Map<String, Value> {
    let pairs = pairs.as_object().cloned().unwrap_or_default();
    pairs.into_iter().filter(|(key, _)| !MARKS.iter().any(|mark| key.starts_with(mark))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(user: &str, verb: &str, code: u16, uri: &str, answer: &Value) -> AuditEntry {
        serde_json::from_value(json!({
            "auditID": "a", "verb": verb, "user": {"username": user}, "requestURI": uri,
            "objectRef": {"resource": "cowboys", "namespace": "n", "name": "billy", "apiGroup": "torture.dev"},
            "responseStatus": {"code": code}, "requestReceivedTimestamp": "2026-01-01T00:00:00.5Z",
            "responseObject": answer,
        }))
        .unwrap()
    }

    fn cowboy() -> Value {
        json!({"metadata": {"uid": "u", "name": "billy", "resourceVersion": "7"}, "spec": {}})
    }

    #[test]
    fn only_what_was_taken_is_a_write() {
        let cases = [
            ("create", 201, "/x", Some(Deed::Create(cowboy()))),
            ("patch", 200, "/x", Some(Deed::Change(cowboy()))),
            ("patch", 201, "/x", Some(Deed::Create(cowboy()))),
            ("update", 200, "/x/status", Some(Deed::Change(cowboy()))),
            ("delete", 200, "/x", Some(Deed::Delete)),
            ("update", 409, "/x", None),
            ("create", 500, "/x", None),
            ("patch", 200, "/x?dryRun=All", None),
            ("get", 200, "/x", None),
        ];
        for (verb, code, uri, expected) in cases {
            let write = Write::read(&entry("admin", verb, code, uri, &cowboy()));
            assert_eq!(write.map(|write| write.deed), expected, "{verb} {code} {uri}");
        }
    }

    #[test]
    fn a_delete_is_known_by_the_uid_of_its_answer() {
        let status = json!({"kind": "Status", "details": {"name": "billy", "uid": "u"}});
        let write = Write::read(&entry("admin", "delete", 200, "/x", &status)).unwrap();
        assert_eq!((write.uid.as_str(), write.place.to_string().as_str()), ("u", "cowboys n/billy"));
    }

    #[test]
    fn who_wrote_is_told_by_the_account() {
        let cases = [
            ("admin", Who::User),
            ("system:serviceaccount:kube-bind:konnector", Who::Ours("konnector".into())),
            ("system:serviceaccount:kube-bind:provider", Who::Ours("provider".into())),
            ("system:serviceaccount:kube-bind-acme:kube-binder", Who::Ours("kube-bind-acme".into())),
            (
                "system:serviceaccount:certs:cert-manager",
                Who::Other("system:serviceaccount:certs:cert-manager".into()),
            ),
            ("system:kube-controller-manager", Who::Other("system:kube-controller-manager".into())),
        ];
        for (user, who) in cases {
            assert_eq!(Who::of(user), who, "{user}");
        }
    }

    #[test]
    fn writes_are_ordered_by_version_and_not_by_when_they_were_asked_for() {
        let write = |second: i64, version: Option<u64>| Write {
            at: Timestamp::from_second(second).unwrap(),
            who: Who::User,
            place: Place { plural: String::new(), namespace: String::new(), name: String::new() },
            uid: String::new(),
            deed: version.map_or(Deed::Delete, |version| {
                Deed::Change(json!({"metadata": {"resourceVersion": version.to_string()}}))
            }),
        };
        let writes = [(1, Some(12)), (2, Some(11)), (3, None), (4, Some(13))];
        let ordered = in_order(writes.map(|(second, version)| write(second, version)).to_vec());
        let versions: Vec<_> = ordered.iter().map(Write::version).collect();
        assert_eq!(versions, [Some(11), Some(12), None, Some(13)]);
    }

    #[test]
    fn the_users_part_is_without_status_and_marks() {
        let bare = json!({"metadata": {}, "spec": {"intent": "ride"}});
        let marked = json!({
            "apiVersion": "torture.dev/v1", "kind": "Cowboy", "status": {"result": "x"}, "spec": {"intent": "ride"},
            "metadata": {
                "uid": "u", "resourceVersion": "1", "generation": 3, "finalizers": [FINALIZER],
                "annotations": {"kube-bind.io/provider-uid": "p"}, "labels": {"kube-bind.io/owner": "consumer"},
            },
        });
        assert_eq!(content(&bare), content(&marked));
        let others = [
            json!({"metadata": {}, "spec": {"intent": "rest"}}),
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"intent": "ride"}}),
            json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"intent": "ride"}}),
            json!({"metadata": {"finalizers": ["a/b"]}, "spec": {"intent": "ride"}}),
            json!({"metadata": {}, "spec": {"intent": "ride"}, "data": {}}),
        ];
        for other in others {
            assert_ne!(content(&bare), content(&other), "{other}");
        }
    }
}
