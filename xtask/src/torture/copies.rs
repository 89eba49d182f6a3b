//! The provider's side: which objects are copies of ours, whatever their annotations say, and what we did to others.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    findings::{Findings, Name},
    history::{Deed, Who, Write, content, in_order, origin, version},
    origins::{Event, Origins},
};

/// An object on the provider, as far as its log tells.
#[derive(Clone, Debug)]
struct Known {
    content: Value,
    version: Option<u64>,
}

/// The copies: what the konnector has made, with the uid of the origin that it named last.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Copies that went are in it as well.
    pub(super) origins: BTreeMap<String, String>,
    known: BTreeMap<String, Known>,
    findings: Findings,
}

impl Copies {
    /// Reads what happened on the provider, for a consumer's contract and its users' objects.
    pub(super) fn read(events: &[Event], contract: &str, users: &Origins) -> Self {
        let mut copies = Self::default();
        for event in events {
            match event {
                Event::Writes(writes) => {
                    for write in in_order(writes.clone()) {
                        copies.take(&write, contract, users);
                    }
                }
                Event::Restored { objects, .. } => {
                    copies.known.clear();
                    for (_, object) in objects {
                        copies.remember(object);
                    }
                }
            }
        }
        copies
    }

    pub(super) fn findings(&self) -> &Findings {
        &self.findings
    }

    pub(super) fn is_ours(&self, uid: &str) -> bool {
        self.origins.contains_key(uid)
    }

    fn take(&mut self, write: &Write, contract: &str, users: &Origins) {
        match (&write.deed, &write.who) {
            (Deed::Create(object), Who::Ours(account)) if account == contract => {
                let origin = origin(object).unwrap_or_default();
                self.origins.insert(write.uid.clone(), origin.to_owned());
            }
            (Deed::Create(_), Who::Ours(account)) => self
                .findings
                .add(Name::Foreign, format_args!("{} was made by {account} at {}", write.place, write.at)),
            (Deed::Change(object), Who::Ours(_)) => self.change(write, object),
            (Deed::Delete, Who::Ours(_)) => self.delete(write, users),
            _ => {}
        }
        if let Deed::Create(object) | Deed::Change(object) = &write.deed {
            self.remember(object);
        }
    }

    fn remember(&mut self, object: &Value) {
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        self.known.insert(uid, Known { content: content(object), version: version(object) });
    }

    fn change(&mut self, write: &Write, object: &Value) {
        if let Some(named) = self.origins.get_mut(&write.uid) {
            if let Some(origin) = origin(object) {
                origin.clone_into(named);
            }
            return;
        }
        let known = self.known.get(&write.uid);
        // What changes nothing leaves the version; on claimed objects of the provider, our label is agreed.
        let is_same = known.is_some_and(|known| {
            known.version == version(object)
                || (write.place.plural == "secrets" && known.content == content(object))
        });
        if !is_same {
            self.findings.add(Name::Foreign, format_args!("{} was written at {}", write.place, write.at));
        }
    }

    fn delete(&mut self, write: &Write, users: &Origins) {
        let Write { place, at, uid, .. } = write;
        match self.origins.get(uid) {
            None => self.findings.add(Name::Foreign, format_args!("{place} was deleted at {at}")),
            Some(origin) if users.given_up_by(origin, *at) => {}
            Some(origin) => self.findings.add(
                Name::Lost,
                format_args!(
                    "the copy {place} was deleted at {at}, and nobody had deleted its origin {origin}"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::origins::tests::{object, write};
    use serde_json::json;

    const CONTRACT: &str = "kube-bind-torture";

    fn binder() -> Who {
        Who::Ours(CONTRACT.to_owned())
    }

    fn copy(uid: &str, version: i64, of: &str) -> Value {
        let mut copy = object(uid, version, &json!({}));
        copy["metadata"]["annotations"] = json!({"kube-bind.io/consumer-uid": of});
        copy
    }

    fn users(writes: Vec<Write>) -> Origins {
        Origins::read(&[Event::Writes(writes)])
    }

    fn names(writes: Vec<Write>, users: &Origins) -> Vec<Name> {
        let copies = Copies::read(&[Event::Writes(writes)], CONTRACT, users);
        copies.findings().iter().map(|finding| finding.name).collect()
    }

    #[test]
    fn a_copy_goes_after_its_origin_and_not_before() {
        let users = users(vec![
            write(1, Who::User, "u", Deed::Create(object("u", 1, &json!({})))),
            write(5, Who::User, "u", Deed::Delete),
        ]);
        let gone = |second| {
            let made = write(2, binder(), "p", Deed::Create(copy("p", 1, "u")));
            vec![made, write(second, binder(), "p", Deed::Delete)]
        };
        assert_eq!(names(gone(6), &users), []);
        assert_eq!(names(gone(4), &users), [Name::Lost]);
    }

    #[test]
    fn what_we_have_not_made_is_foreign_whatever_it_says() {
        let theirs = write(1, Who::User, "c", Deed::Create(copy("c", 1, "u")));
        let nobody = users(vec![write(1, Who::User, "u", Deed::Delete)]);
        let cases = [
            (write(2, binder(), "c", Deed::Delete), vec![Name::Foreign]),
            (write(2, binder(), "c", Deed::Change(copy("c", 2, "u"))), vec![Name::Foreign]),
            // An apply that changed nothing.
            (write(2, binder(), "c", Deed::Change(copy("c", 1, "u"))), vec![]),
            (write(2, Who::User, "c", Deed::Change(copy("c", 2, "u"))), vec![]),
        ];
        for (deed, expected) in cases {
            assert_eq!(names(vec![theirs.clone(), deed.clone()], &nobody), expected, "{deed:?}");
        }
    }

    #[test]
    fn a_copy_without_marks_is_still_ours() {
        let users = users(vec![write(1, Who::User, "u", Deed::Delete)]);
        let writes = vec![
            write(1, binder(), "p", Deed::Create(copy("p", 1, "u"))),
            write(2, Who::User, "p", Deed::Change(object("p", 2, &json!({})))),
            write(3, binder(), "p", Deed::Change(object("p", 3, &json!({"a": 1})))),
            write(4, binder(), "p", Deed::Delete),
        ];
        assert_eq!(names(writes, &users), []);
    }

    #[test]
    fn another_contract_has_no_business_here() {
        let other = Who::Ours("kube-bind-other".to_owned());
        let writes = vec![write(1, other, "p", Deed::Create(copy("p", 1, "u")))];
        assert_eq!(names(writes, &Origins::default()), [Name::Foreign]);
    }

    #[test]
    fn a_claimed_object_of_the_provider_may_get_our_label() {
        let secret = |version: i64, label: &str, data: &str| {
            let mut object = object("s", version, &json!(data));
            object["metadata"]["labels"] = json!({label: "provider"});
            object
        };
        let deed = |second, who, deed| Write {
            place: crate::torture::origins::tests::place("secrets"),
            ..write(second, who, "s", deed)
        };
        let theirs = deed(1, Who::User, Deed::Create(object("s", 1, &json!("x"))));
        let labelled = deed(2, binder(), Deed::Change(secret(2, "kube-bind.io/owner", "x")));
        let written = deed(2, binder(), Deed::Change(secret(2, "kube-bind.io/owner", "y")));
        assert_eq!(names(vec![theirs.clone(), labelled], &Origins::default()), []);
        assert_eq!(names(vec![theirs, written], &Origins::default()), [Name::Foreign]);
    }
}
