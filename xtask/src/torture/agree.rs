//! The check that both sides agree: each object of a user has one copy, in its place, that has the same content; and
//! no deleted object has a copy.

use std::collections::BTreeMap;

use portolan_core::names;
use serde_json::{Map, Value};

use super::{
    copies::Copies,
    findings::{Findings, Name},
    history::{Place, content, unmarked},
    origins::{CLAIMED, Origins},
};

/// The field of a spec that belongs to the provider: consumers never set it.
pub(super) const THEIRS: &str = "theirs";

/// The objects of a side, by their places.
pub(super) type Listed = Vec<(Place, Value)>;

/// The sides to compare, and the facts about them.
pub(super) struct Sides<'a> {
    pub(super) contract: &'a str,
    pub(super) users: &'a Origins,
    pub(super) copies: &'a Copies,
    /// Origins whose copies may have stayed: they went while nobody could tell the provider.
    pub(super) excused: &'a dyn Fn(&str) -> bool,
}

impl Sides<'_> {
    /// Finds the differences between both sides.
    pub(super) fn compare(&self, here: &Listed, there: &Listed) -> Findings {
        let mut findings = Findings::default();
        let mut left: BTreeMap<_, _> = there.iter().map(|(place, object)| (place, object)).collect();
        for (place, origin) in here.iter().filter(|(place, object)| is_shared(place, object)) {
            let there = self.place_of(place);
            let copy = left.remove(&there);
            // A name that somebody else has on the provider is reported to people, and stays theirs.
            if copy.is_some_and(|copy| !self.copies.is_ours(uid(copy))) {
                continue;
            }
            if let Some(why) = difference(origin, copy) {
                findings.add(Name::Differ, format_args!("{place}: {why}"));
            }
        }
        for (place, copy) in left {
            let of = self.copies.origins.get(uid(copy)).map(String::as_str);
            if of.is_some_and(|of| !(self.excused)(of) && !self.users.was_restored_away(of)) {
                findings.add(Name::Differ, format_args!("{place} is a copy of nothing"));
            }
        }
        findings
    }

    /// The place of an object's copy.
    fn place_of(&self, origin: &Place) -> Place {
        let Place { plural, namespace, name } = origin.clone();
        if namespace.is_empty() {
            return Place { plural, namespace, name: format!("{}-{name}", self.contract) };
        }
        let namespace = names::mapped_namespace(self.contract, &namespace, false);
        Place { plural, namespace, name }
    }
}

/// Of claimed kinds, only what the claim chooses goes to the provider, and what came from there is not of a user.
fn is_shared(place: &Place, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    place.plural != "secrets" || (!labels[CLAIMED].is_null() && labels["kube-bind.io/owner"] != "provider")
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// The difference between a copy and its origin.
fn difference(origin: &Value, copy: Option<&Value>) -> Option<String> {
    let Some(copy) = copy else { return Some("it has no copy".to_owned()) };
    if !origin["metadata"]["deletionTimestamp"].is_null() {
        return Some("it is terminating, and stays".to_owned());
    }
    let (ours, theirs) = (carried(origin), carried(copy));
    if ours != theirs {
        return Some(format!("it is {ours}, and its copy {theirs}"));
    }
    let (ours, theirs) = (reported(&origin["status"]), reported(&copy["status"]));
    if ours != theirs {
        return Some(format!("its status is {ours}, and its copy's {theirs}"));
    }
    let named = &origin["metadata"]["annotations"]["kube-bind.io/provider-uid"];
    (named.is_string() && named != &copy["metadata"]["uid"]).then(|| format!("it names {named} as its copy"))
}

/// The part that goes to the provider, without the provider's addition in its own field.
fn carried(object: &Value) -> Value {
    let mut carried = content(object);
    if let Some(spec) = carried["spec"].as_object_mut() {
        spec.remove(THEIRS);
    }
    let mut metadata = Map::new();
    for field in ["labels", "annotations"] {
        let theirs = unmarked(&object["metadata"][field]);
        if !theirs.is_empty() {
            metadata.insert(field.to_owned(), theirs.into());
        }
    }
    carried["metadata"] = metadata.into();
    carried
}

/// A status without generations, which each side counts for itself.
fn reported(status: &Value) -> Value {
    match status {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "observedGeneration")
            .map(|(name, value)| (name.clone(), reported(value)))
            .collect(),
        Value::Array(items) => items.iter().map(reported).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::{
        history::{Deed, Who},
        origins::{
            Event,
            tests::{object, write},
        },
    };
    use serde_json::json;

    const CONTRACT: &str = "kube-bind-torture";

    fn here(spec: &Value) -> Value {
        let mut origin = object("u", 1, spec);
        origin["status"] = json!({"result": "x", "observedGeneration": 4});
        origin["metadata"]["annotations"] = json!({"kube-bind.io/provider-uid": "p"});
        origin
    }

    fn there(spec: &Value) -> Value {
        let mut copy = object("p", 1, spec);
        copy["status"] = json!({"result": "x", "observedGeneration": 1});
        copy["metadata"]["annotations"] = json!({"kube-bind.io/consumer-uid": "u"});
        copy
    }

    fn at(namespace: &str, object: &Value) -> (Place, Value) {
        let place = Place { plural: "cowboys".into(), namespace: namespace.into(), name: "billy".into() };
        (place, object.clone())
    }

    fn found(here: &[Value], there: &[Value], maker: &Who, excused: bool) -> Vec<String> {
        let made = there.iter().map(|copy| write(1, maker.clone(), uid(copy), Deed::Create(copy.clone())));
        let users = Origins::default();
        let copies = Copies::read(&[Event::Writes(made.collect())], CONTRACT, &users);
        let sides = Sides { contract: CONTRACT, users: &users, copies: &copies, excused: &|_| excused };
        let here: Vec<_> = here.iter().map(|object| at("n", object)).collect();
        let there: Vec<_> = there.iter().map(|object| at("kube-bind-torture-n", object)).collect();
        sides.compare(&here, &there).iter().map(|finding| finding.text.clone()).collect()
    }

    fn binder() -> Who {
        Who::Ours(CONTRACT.to_owned())
    }

    #[test]
    fn what_says_the_same_agrees_but_for_generations_and_the_providers_field() {
        let spec = json!({"intent": "ride"});
        let mut copy = there(&spec);
        copy["spec"][THEIRS] = json!("their own");
        assert_eq!(found(&[here(&spec)], &[copy], &binder(), false), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_told() {
        let spec = json!({"intent": "ride"});
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut copy = there(&spec);
            change(&mut copy);
            copy
        };
        let cases: [(Value, &str); 5] = [
            (changed(&|copy| copy["spec"]["intent"] = json!("rest")), "and its copy {"),
            (changed(&|copy| copy["spec"]["more"] = json!(1)), "and its copy {"),
            (changed(&|copy| copy["metadata"]["labels"] = json!({"a": "b"})), "and its copy {"),
            (changed(&|copy| copy["status"]["result"] = json!("y")), "its status is"),
            (changed(&|copy| copy["metadata"]["uid"] = json!("q")), "it names \"p\""),
        ];
        for (copy, expected) in cases {
            let found = found(&[here(&spec)], std::slice::from_ref(&copy), &binder(), false);
            assert!(found.len() == 1 && found[0].contains(expected), "{copy}: {found:?}");
        }
        assert_eq!(found(&[here(&spec)], &[], &binder(), false), ["cowboys n/billy: it has no copy"]);
    }

    #[test]
    fn a_name_that_is_taken_on_the_provider_is_no_difference() {
        let (spec, other) = (json!({"intent": "ride"}), json!({"intent": "theirs"}));
        assert_eq!(found(&[here(&spec)], &[there(&other)], &Who::User, false), Vec::<String>::new());
    }

    #[test]
    fn a_copy_of_nothing_is_told_unless_nobody_could_know() {
        let copy = [there(&json!({}))];
        let told = ["cowboys kube-bind-torture-n/billy is a copy of nothing"];
        assert_eq!(found(&[], &copy, &binder(), false), told);
        assert_eq!(found(&[], &copy, &binder(), true), Vec::<String>::new());
        assert_eq!(found(&[], &copy, &Who::User, false), Vec::<String>::new());
    }
}
