//! The consumer's side: which objects its users have, as they have left them, and what happened to them without their
//! doing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use portolan_core::api::kubebind::FIELD_MANAGER;
use serde_json::Value;

use super::{
    findings::{Findings, Name},
    history::{Deed, Place, Who, Write, content, in_order},
};

/// Label of the Secrets that the provider claims.
pub(super) const CLAIMED: &str = "torture-claimed";

/// Longest text of a value in a finding.
const LONGEST_TEXT: usize = 40;

/// An event on one side.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Writes(Vec<Write>),
    /// A backup took the place of everything: these objects, as they were when it was made.
    Restored {
        objects: Vec<(Place, Value)>,
        at: Timestamp,
    },
}

/// An object of a user.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Origin {
    pub(super) place: Place,
    /// As its user has left it; null where nobody has seen that.
    pub(super) content: Value,
}

/// The objects of the consumer's users.
#[derive(Debug, Default)]
pub(super) struct Origins {
    pub(super) alive: BTreeMap<String, Origin>,
    /// When a user has deleted an object, or taken what a claim chose it by, and what kind it was of.
    given_up: BTreeMap<String, (Timestamp, String)>,
    /// When we let go of an object that its user had deleted.
    let_go: BTreeMap<String, Timestamp>,
    /// From when to when objects were given up that a backup has brought back.
    undone: Vec<(String, Timestamp, Timestamp)>,
    /// Gone with a restored backup, which is nobody's doing.
    restored_away: BTreeSet<String>,
    /// Uids of objects that the konnector has brought: copies of the provider's own objects.
    brought: BTreeSet<String>,
    findings: Findings,
}

impl Origins {
    pub(super) fn read(events: &[Event]) -> Self {
        let mut origins = Self::default();
        for event in events {
            match event {
                Event::Writes(writes) => {
                    for write in &in_order(writes.clone()) {
                        origins.take(write);
                    }
                }
                Event::Restored { objects, at } => origins.restore(objects, *at),
            }
        }
        origins
    }

    /// Returns `true` if a user had deleted the object by then, so that its copy may be deleted.
    pub(super) fn given_up_by(&self, uid: &str, at: Timestamp) -> bool {
        let was = |(own, since, until): &(String, Timestamp, Timestamp)| {
            own == uid && (*since..=*until).contains(&at)
        };
        self.given_up.get(uid).is_some_and(|(since, _)| *since <= at) || self.undone.iter().any(was)
    }

    /// When a user has deleted the object, and its plural.
    pub(super) fn given_up_at(&self, uid: &str) -> Option<&(Timestamp, String)> {
        self.given_up.get(uid)
    }

    /// When we let go of an object that its user had deleted: until then, its deletion was under way.
    pub(super) fn let_go_at(&self, uid: &str) -> Option<Timestamp> {
        self.let_go.get(uid).copied()
    }

    pub(super) fn was_restored_away(&self, uid: &str) -> bool {
        self.restored_away.contains(uid)
    }

    /// Judges the consumer, now that these are its objects.
    pub(super) fn judge(&self, now: &[(Place, Value)]) -> Findings {
        let mut findings = self.findings.clone();
        let now: BTreeMap<_, _> = now
            .iter()
            .filter_map(|(_, object)| Some((object["metadata"]["uid"].as_str()?, object)))
            .collect();
        for (uid, origin) in &self.alive {
            match now.get(uid.as_str()) {
                None => findings.add(Name::Lost, format_args!("{} is gone ({uid})", origin.place)),
                Some(object) => compare(&mut findings, origin, &content(object), "it is listed with"),
            }
        }
        findings
    }

    fn take(&mut self, write: &Write) {
        match (&write.deed, &write.who) {
            (Deed::Create(_), Who::Ours(_)) => {
                self.brought.insert(write.uid.clone());
            }
            (Deed::Change(_), _) if self.brought.contains(&write.uid) => {}
            (Deed::Create(object), _) | (Deed::Change(object), Who::User) => self.keep(write, object),
            (Deed::Change(_), Who::Ours(_)) if self.given_up.contains_key(&write.uid) => {
                self.let_go.insert(write.uid.clone(), write.at);
            }
            (Deed::Change(object), who) => self.changed(write, object, who),
            (Deed::Unseen, Who::User) => {
                let here = self.alive.values_mut().filter(|origin| origin.place == write.place);
                here.for_each(|origin| origin.content = Value::Null);
            }
            (Deed::Unseen, _) => {}
            (Deed::Delete, Who::User) => self.delete(write),
            (Deed::Delete, who) => self.deleted_by(write, who),
        }
    }

    fn keep(&mut self, write: &Write, object: &Value) {
        if is_unclaimed(&write.place, object) {
            self.give_up(write);
        }
        // After a delete that waits, users may still write.
        if object["metadata"]["deletionTimestamp"].is_null() {
            let origin = Origin { place: write.place.clone(), content: content(object) };
            self.alive.insert(write.uid.clone(), origin);
        }
    }

    fn changed(&mut self, write: &Write, object: &Value, who: &Who) {
        if let Some(origin) = self.alive.get_mut(&write.uid) {
            let now = content(object);
            compare(&mut self.findings, origin, &now, &format!("{who:?} at {} made it", write.at));
            // One change is one finding.
            origin.content = now;
        }
    }

    fn delete(&mut self, write: &Write) {
        self.alive.remove(&write.uid);
        self.give_up(write);
    }

    /// The first time is the one that counts: others may come while an object waits for its copy to go.
    fn give_up(&mut self, write: &Write) {
        let first = || (write.at, write.place.plural.clone());
        self.given_up.entry(write.uid.clone()).or_insert_with(first);
    }

    fn deleted_by(&mut self, write: &Write, who: &Who) {
        if let Some(origin) = self.alive.remove(&write.uid) {
            self.findings
                .add(Name::Lost, format_args!("{} was deleted by {who:?} at {}", origin.place, write.at));
        }
    }

    fn restore(&mut self, objects: &[(Place, Value)], at: Timestamp) {
        let before = std::mem::take(&mut self.alive);
        for (place, object) in objects {
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
            let is_terminating = !object["metadata"]["deletionTimestamp"].is_null();
            if is_brought(object) {
                // Its create may be in no log, since the API server was killed meanwhile.
                self.brought.insert(uid.to_owned());
            }
            if !is_terminating && !self.brought.contains(uid) {
                let origin = Origin { place: place.clone(), content: content(object) };
                self.alive.insert(uid.to_owned(), origin);
                // What was unclaimed before the backup was made is so after it.
                if !is_unclaimed(place, object)
                    && let Some((since, _)) = self.given_up.remove(uid)
                {
                    self.undone.push((uid.to_owned(), since, at));
                }
            }
        }
        let gone = before.into_keys().filter(|uid| !self.alive.contains_key(uid));
        self.restored_away.extend(gone);
    }
}

/// Returns `true` for a Secret that no claim chooses.
fn is_unclaimed(place: &Place, object: &Value) -> bool {
    place.plural == "secrets" && object["metadata"]["labels"][CLAIMED].is_null()
}

/// Returns `true` for what the konnector has brought: its field manager has the data, and no user's.
fn is_brought(object: &Value) -> bool {
    let entries = object["metadata"]["managedFields"].as_array();
    entries
        .into_iter()
        .flatten()
        .any(|entry| entry["manager"] == FIELD_MANAGER && entry["fieldsV1"]["f:data"].is_object())
}

fn compare(findings: &mut Findings, origin: &Origin, now: &Value, how: &str) {
    if !origin.content.is_null() && origin.content != *now {
        findings.add(
            Name::Changed,
            format_args!("{}: its user left {}, {how} {}", origin.place, brief(&origin.content), brief(now)),
        );
    }
}

/// The same with long texts cut, such as those of certificates, so that what follows can be read.
fn brief(value: &Value) -> Value {
    match value {
        Value::String(text) => text.chars().take(LONGEST_TEXT).collect::<String>().into(),
        Value::Array(items) => items.iter().map(brief).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), brief(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in super::super) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    pub(in super::super) fn place(plural: &str) -> Place {
        Place { plural: plural.to_owned(), namespace: "n".to_owned(), name: "billy".to_owned() }
    }

    pub(in super::super) fn object(uid: &str, version: i64, spec: &Value) -> Value {
        json!({"metadata": {"uid": uid, "name": "billy", "namespace": "n", "resourceVersion": version.to_string()}, "spec": spec})
    }

    pub(in super::super) fn write(second: i64, who: Who, uid: &str, deed: Deed) -> Write {
        Write { at: at(second), who, place: place("cowboys"), uid: uid.to_owned(), deed }
    }

    pub(in super::super) fn konnector() -> Who {
        Who::Ours("konnector".to_owned())
    }

    fn names(origins: &Origins, now: &[Value]) -> Vec<Name> {
        let now: Vec<_> = now.iter().map(|object| (place("cowboys"), object.clone())).collect();
        origins.judge(&now).iter().map(|finding| finding.name).collect()
    }

    fn created(spec: &Value) -> Write {
        write(1, Who::User, "u", Deed::Create(object("u", 1, spec)))
    }

    #[test]
    fn what_only_its_user_has_touched_is_well() {
        let (ride, rest) = (json!({"intent": "ride"}), json!({"intent": "rest"}));
        let writes = vec![
            created(&ride),
            write(2, konnector(), "u", Deed::Change(object("u", 2, &ride))),
            write(3, Who::User, "u", Deed::Change(object("u", 3, &rest))),
        ];
        let origins = Origins::read(&[Event::Writes(writes)]);
        assert_eq!(names(&origins, &[object("u", 3, &rest)]), []);
    }

    #[test]
    fn a_field_that_somebody_else_takes_is_changed_once() {
        let (full, less) = (json!({"intent": "ride", "fresh": 1}), json!({"intent": "ride"}));
        let writes = vec![created(&full), write(2, konnector(), "u", Deed::Change(object("u", 2, &less)))];
        let origins = Origins::read(&[Event::Writes(writes)]);
        assert_eq!(names(&origins, &[object("u", 2, &less)]), [Name::Changed]);
        // Without a write that was seen, by the list.
        let origins = Origins::read(&[Event::Writes(vec![created(&full)])]);
        assert_eq!(names(&origins, &[object("u", 1, &less)]), [Name::Changed]);
    }

    #[test]
    fn after_a_change_that_nobody_has_seen_the_next_content_is_its_users() {
        let (ride, rest, run) =
            (json!({"intent": "ride"}), json!({"intent": "rest"}), json!({"intent": "run"}));
        let unseen = write(2, Who::User, "", Deed::Unseen);
        let seen = |second, spec| write(second, konnector(), "u", Deed::Change(object("u", second, spec)));
        let origins = |writes| Origins::read(&[Event::Writes(writes)]);
        let once = origins(vec![created(&ride), unseen.clone()]);
        assert_eq!(names(&once, &[object("u", 2, &rest)]), []);
        assert_eq!(
            names(&origins(vec![created(&ride), unseen.clone(), seen(3, &rest)]), &[object("u", 3, &rest)]),
            []
        );
        let changed = origins(vec![created(&ride), unseen, seen(3, &rest), seen(4, &run)]);
        assert_eq!(names(&changed, &[object("u", 4, &run)]), [Name::Changed]);
    }

    #[test]
    fn an_object_goes_by_its_user_or_it_is_lost() {
        let spec = json!({});
        let by = |who: Who| {
            let writes = vec![created(&spec), write(2, who, "u", Deed::Delete)];
            Origins::read(&[Event::Writes(writes)])
        };
        assert_eq!(names(&by(Who::User), &[]), []);
        assert_eq!(names(&by(konnector()), &[]), [Name::Lost]);
        assert_eq!(names(&by(Who::Other("system:gc".to_owned())), &[]), [Name::Lost]);
        // With its CRD, which no log shows; and another object of its name is not it.
        let origins = Origins::read(&[Event::Writes(vec![created(&spec)])]);
        assert_eq!(names(&origins, &[]), [Name::Lost]);
        assert_eq!(names(&origins, &[object("v", 2, &spec)]), [Name::Lost]);
    }

    #[test]
    fn a_backup_takes_away_what_is_younger_and_brings_back_what_was_deleted() {
        let spec = json!({});
        let writes = vec![
            created(&spec),
            write(2, Who::User, "u", Deed::Delete),
            write(3, Who::User, "v", Deed::Create(object("v", 3, &spec))),
        ];
        let backup = vec![(place("cowboys"), object("u", 1, &spec))];
        let origins = Origins::read(&[Event::Writes(writes), Event::Restored { objects: backup, at: at(8) }]);
        assert_eq!(names(&origins, &[object("u", 1, &spec)]), []);
        assert_eq!(names(&origins, &[]), [Name::Lost]);
        assert!(origins.was_restored_away("v") && !origins.given_up_by("u", at(9)));
        assert!(origins.given_up_by("u", at(6)), "what was deleted was deleted, until the backup came");
    }

    #[test]
    fn a_backup_brings_back_the_claim_that_it_has() {
        let secret = |labels: &Value| json!({"metadata": {"uid": "u", "name": "billy", "namespace": "n", "resourceVersion": "1", "labels": labels}});
        let (claimed, bare) = (secret(&json!({CLAIMED: "yes"})), secret(&json!({})));
        let of_secret =
            |second, deed| Write { place: place("secrets"), ..write(second, Who::User, "u", deed) };
        let history = |backup: &Value| {
            let writes =
                vec![of_secret(1, Deed::Create(claimed.clone())), of_secret(5, Deed::Change(bare.clone()))];
            let objects = vec![(place("secrets"), backup.clone())];
            Origins::read(&[Event::Writes(writes), Event::Restored { objects, at: at(8) }])
        };
        assert!(history(&bare).given_up_by("u", at(9)));
        assert!(!history(&claimed).given_up_by("u", at(9)) && history(&claimed).given_up_by("u", at(6)));
    }

    #[test]
    fn a_copy_may_go_from_the_moment_of_the_users_delete() {
        let writes = vec![
            created(&json!({})),
            write(5, Who::User, "u", Deed::Delete),
            write(7, Who::User, "u", Deed::Delete),
        ];
        let origins = Origins::read(&[Event::Writes(writes)]);
        assert!(!origins.given_up_by("u", at(4)) && origins.given_up_by("u", at(6)));
    }

    #[test]
    fn a_deletion_is_under_way_until_we_let_go() {
        let spec = json!({});
        let writes = vec![
            created(&spec),
            write(2, konnector(), "u", Deed::Change(object("u", 2, &spec))),
            write(3, Who::User, "u", Deed::Delete),
        ];
        let mut released = writes.clone();
        released.push(write(6, konnector(), "u", Deed::Change(object("u", 4, &spec))));
        assert_eq!(Origins::read(&[Event::Writes(writes)]).let_go_at("u"), None);
        assert_eq!(Origins::read(&[Event::Writes(released)]).let_go_at("u"), Some(at(6)));
    }

    #[test]
    fn what_the_konnector_has_brought_is_not_a_users() {
        let spec = json!({});
        let writes = vec![
            write(1, konnector(), "u", Deed::Create(object("u", 1, &spec))),
            write(2, konnector(), "u", Deed::Change(object("u", 2, &json!({"a": 1})))),
            write(3, konnector(), "u", Deed::Delete),
        ];
        let origins = Origins::read(&[Event::Writes(writes)]);
        assert_eq!(names(&origins, &[]), []);
        // Nor where its create is in no log, and a backup brings it back.
        let mut object = object("v", 1, &spec);
        object["metadata"]["managedFields"] =
            json!([{"manager": FIELD_MANAGER, "fieldsV1": {"f:data": {"f:tls.crt": {}}}}]);
        let objects = vec![(place("secrets"), object)];
        let origins = Origins::read(&[Event::Restored { objects, at: at(8) }]);
        assert_eq!(names(&origins, &[]), []);
    }
}
