//! Limits on an Event's fields. API servers refuse one whose name is not that of a DNS subdomain, or whose fields are
//! too long, whatever the object that it is about may be called.

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};

/// Bytes of a note that the API server takes.
const MAX_NOTE: usize = 1024;
/// The same of a reason, an action, a controller and an instance.
const MAX_WORD: usize = 128;
/// Limit on the length of a name.
const MAX_NAME: usize = 253;

/// The reporting controller and instance.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) controller: String,
    pub(super) instance: String,
}

/// The content of an Event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Said {
    pub(super) on: ObjectKey,
    kind: &'static str,
    pub(super) reason: String,
    action: String,
    note: String,
}

/// The object that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ObjectKey {
    api_version: Option<String>,
    kind: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    uid: Option<String>,
    field_path: Option<String>,
}

impl Said {
    pub(super) fn new(
        on: &ObjectReference,
        kind: &'static str,
        reason: &str,
        action: &str,
        note: &str,
    ) -> Self {
        let on = ObjectKey {
            api_version: on.api_version.clone(),
            kind: on.kind.clone(),
            namespace: on.namespace.clone().filter(|namespace| !namespace.is_empty()),
            name: on.name.clone(),
            uid: on.uid.clone(),
            field_path: on.field_path.clone(),
        };
        Self {
            on,
            kind,
            reason: cut(reason, MAX_WORD),
            action: cut(action, MAX_WORD),
            note: cut(note, MAX_NOTE),
        }
    }
}

/// The Event, as the API server takes it.
pub(super) fn event(said: &Said, source: &Source, namespace: &str, now: Timestamp) -> Event {
    let on = said.on.clone();
    let about = on.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(name(about, now)),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        event_time: Some(micro(now)),
        type_: Some(said.kind.to_owned()),
        reason: Some(said.reason.clone()),
        action: Some(said.action.clone()),
        note: Some(said.note.clone()),
        reporting_controller: Some(cut(&source.controller, MAX_WORD)),
        reporting_instance: Some(cut(&source.instance, MAX_WORD)),
        regarding: Some(ObjectReference {
            api_version: on.api_version,
            kind: on.kind,
            namespace: on.namespace,
            name: on.name,
            uid: on.uid,
            field_path: on.field_path,
            resource_version: None,
        }),
        ..Event::default()
    }
}

pub(super) fn micro(now: Timestamp) -> MicroTime {
    MicroTime(now)
}

/// A name of its own for an Event: as much of the object's as a DNS subdomain can hold, and the time.
fn name(about: &str, now: Timestamp) -> String {
    let suffix = format!("{:x}", now.as_nanosecond());
    let allowed = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' };
    let plain: String = about.chars().map(|c| allowed(c.to_ascii_lowercase())).collect();
    // It consists of one byte per character by now.
    let plain = &plain[..plain.len().min(MAX_NAME - 1 - suffix.len())];
    let labels = plain.split('.').map(|label| label.trim_matches('-')).filter(|label| !label.is_empty());
    labels.chain([suffix.as_str()]).collect::<Vec<_>>().join(".")
}

fn cut(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_name_whatever_the_object_is_called() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let time = format!("{:x}", now.as_nanosecond());
        let table = [
            ("cowboy", "cowboy."),
            ("a.b-c", "a.b-c."),
            ("system:node", "system-node."),
            ("system:", "system."),
            (":a..B:", "a.b."),
            ("x.-.y", "x.y."),
            ("Ünï", "n."),
            ("...", ""),
            ("", ""),
        ];
        for (about, start) in table {
            assert_eq!(name(about, now), format!("{start}{time}"), "{about:?}");
        }
        for letter in ["a", ".", ":", "a.", "ä", "-"] {
            let long = letter.repeat(MAX_NAME);
            let name = name(&long, now);
            let is_label =
                |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
            assert!(name.len() <= MAX_NAME && name.split('.').all(is_label), "{letter:?}: {name}");
            assert!(name.ends_with(&time), "{letter:?}: {name}");
        }
    }

    #[test]
    fn no_field_is_too_long() {
        let on = ObjectReference { name: Some("x".to_owned()), ..ObjectReference::default() };
        let long = "ä".repeat(2000);
        let source = Source { controller: "c".to_owned(), instance: "p".repeat(253) };
        let said = Said::new(&on, "Normal", &long, &long, &long);
        let event = event(&said, &source, "default", Timestamp::from_second(1).unwrap());
        let lengths = [&event.reason, &event.action, &event.reporting_instance, &event.note];
        let lengths = lengths.map(|field| field.as_ref().unwrap().len());
        assert_eq!(lengths, [128, 128, 128, 1024]);
    }
}
