//! Selectors of labels and of the fields that memory can look into. What is written in any other way is left to the API
//! server, mistakes included.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{document::ApiResource, scan::at};

/// Fields of every object.
const NAMES: [&str; 2] = ["metadata.name", "metadata.namespace"];
/// More fields, by group and resource.
const FIELDS: [(&str, &str, &[&str]); 3] = [
    ("", "pods", &["spec.nodeName", "status.phase"]),
    ("", "namespaces", &["status.phase"]),
    (
        "",
        "events",
        &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
        ],
    ),
];

/// One requirement of a selector: the values that are allowed, or forbidden. An absent label has none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SelectorRequirement {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// A condition on objects: their labels and fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectSelector {
    labels: Vec<(String, SelectorRequirement)>,
    /// Paths, their values, and `true` if they must be equal.
    fields: Vec<(Vec<String>, String, bool)>,
}

impl ObjectSelector {
    /// Reads the selectors of a list. None if only the API server can tell.
    pub fn read(labels: &str, fields: &str, resource: &ApiResource) -> Option<Self> {
        Some(Self { labels: read_labels(labels)?, fields: read_fields(fields, resource)? })
    }

    /// Reads a selector of labels alone. None if it is not valid.
    pub fn of_labels(labels: &str) -> Option<Self> {
        Some(Self { labels: read_labels(labels)?, fields: Vec::new() })
    }

    /// Returns `true` if everything is selected.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Returns `true` if an object is selected.
    pub fn takes(&self, json: &[u8]) -> bool {
        self.fields.iter().all(|(path, value, is)| (text(json, path) == *value) == *is)
            && (self.labels.is_empty() || self.takes_labels_of(json))
    }

    /// The first label that must have one of certain values, by which objects can be looked up.
    pub fn one_of(&self) -> Option<(&str, &[String])> {
        self.labels.iter().find_map(|(key, test)| match test {
            SelectorRequirement::In(values) => Some((key.as_str(), values.as_slice())),
            _ => None,
        })
    }

    /// Returns `true` if an object with these labels is selected, as far as labels decide.
    pub fn takes_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.fits(|key| labels.get(key).map(String::as_str))
    }

    fn takes_labels_of(&self, json: &[u8]) -> bool {
        let written = at(json, &["metadata", "labels"]).ok().flatten().unwrap_or(b"{}");
        let labels: Option<BTreeMap<Cow<'_, str>, Cow<'_, str>>> =
            serde_json::from_slice(written).unwrap_or_default();
        let labels = labels.unwrap_or_default();
        self.fits(|key| labels.get(key).map(Cow::as_ref))
    }

    fn fits<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.labels.iter().all(|(key, test)| {
            let value = label(key);
            let is_one = |values: &[String]| value.is_some_and(|value| values.iter().any(|one| one == value));
            match test {
                SelectorRequirement::In(values) => is_one(values),
                SelectorRequirement::NotIn(values) => !is_one(values),
                SelectorRequirement::Exists => value.is_some(),
                SelectorRequirement::Absent => value.is_none(),
            }
        })
    }
}

/// The text at a path; empty if there is none, as API servers have it.
fn text<'a>(json: &'a [u8], path: &[String]) -> Cow<'a, str> {
    let written = at(json, path).ok().flatten().unwrap_or(b"\"\"");
    serde_json::from_slice(written).unwrap_or_default()
}

fn read_fields(text: &str, resource: &ApiResource) -> Option<Vec<(Vec<String>, String, bool)>> {
    let mut all = Vec::new();
    // A backslash makes a separator part of a value.
    if text.contains('\\') {
        return None;
    }
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (field, value, is) = requirement(part)?;
        if value.contains('=') || !can_look_into(field, resource) {
            return None;
        }
        all.push((field.split('.').map(str::to_owned).collect(), value.to_owned(), is));
    }
    Some(all)
}

/// Splits a requirement into field, value, and whether they must be equal.
fn requirement(part: &str) -> Option<(&str, &str, bool)> {
    if let Some((field, value)) = part.split_once("!=") {
        return Some((field, value, false));
    }
    let (field, value) = part.split_once('=')?;
    Some((field, value.strip_prefix('=').unwrap_or(value), true))
}

fn can_look_into(field: &str, resource: &ApiResource) -> bool {
    let of_kind = FIELDS.iter().find(|(group, plural, _)| {
        *group == resource.name.group && *plural == resource.plural && resource.name.version == "v1"
    });
    NAMES.contains(&field) && (resource.is_namespaced || field != "metadata.namespace")
        || of_kind.is_some_and(|(_, _, fields)| fields.contains(&field))
}

fn read_labels(text: &str) -> Option<Vec<(String, SelectorRequirement)>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    split(text)?.into_iter().map(|part| read_label(part.trim())).collect()
}

/// Splits at commas that are not in parentheses.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut from, mut is_inside) = (Vec::new(), 0, false);
    for (index, c) in text.char_indices() {
        match c {
            '(' if !is_inside => is_inside = true,
            ')' if is_inside => is_inside = false,
            '(' | ')' => return None,
            ',' if !is_inside => {
                parts.push(&text[from..index]);
                from = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    (!is_inside).then_some(parts)
}

fn read_label(part: &str) -> Option<(String, SelectorRequirement)> {
    let one = |(key, value): (&str, &str), test: fn(Vec<String>) -> SelectorRequirement| {
        Some((label_key(key)?, test(vec![label_value(value)?])))
    };
    if let Some(list) = part.strip_suffix(')') {
        let (head, values) = list.split_once('(')?;
        let mut words = head.split_whitespace();
        let (key, word) = (label_key(words.next()?)?, words.next()?);
        if values.trim().is_empty() {
            return None;
        }
        let values = values.split(',').map(label_value).collect::<Option<Vec<_>>>()?;
        return match (word, words.next()) {
            ("in", None) => Some((key, SelectorRequirement::In(values))),
            ("notin", None) => Some((key, SelectorRequirement::NotIn(values))),
            _ => None,
        };
    }
    if let Some(pair) = part.split_once("!=") {
        return one(pair, SelectorRequirement::NotIn);
    }
    if let Some((key, value)) = part.split_once('=') {
        return one((key, value.strip_prefix('=').unwrap_or(value)), SelectorRequirement::In);
    }
    match part.strip_prefix('!') {
        Some(key) => Some((label_key(key)?, SelectorRequirement::Absent)),
        None => Some((label_key(part)?, SelectorRequirement::Exists)),
    }
}

/// A key that is surely valid. Whether another one is, the API server knows.
fn label_key(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let ends_well = |part: &str| {
        let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        is_end(part.chars().next()) && is_end(part.chars().next_back()) && part.len() <= 63
    };
    let is_valid = match text.split_once('/') {
        Some((prefix, name)) => {
            portolan_core::names::is_dns_subdomain(prefix) && ends_well(name) && !name.contains('/')
        }
        None => ends_well(text),
    };
    (is_valid && text.chars().all(is_plain)).then(|| text.to_owned())
}

fn label_value(text: &str) -> Option<String> {
    let text = text.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_end = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    let is_valid = text.len() <= 63
        && text.chars().all(is_plain)
        && is_end(text.chars().next())
        && is_end(text.chars().next_back());
    is_valid.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::resource, *};

    #[test]
    fn labels_select_as_the_api_server_does() {
        let json = br#"{"metadata":{"labels":{"app":"web","tier":"","a.io/x":"1"}}}"#;
        let table = [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!none", true),
            ("none", false),
            ("app=web", true),
            ("app==web", true),
            (" app = web , a.io/x=1 ", true),
            ("app=db", false),
            ("tier=", true),
            ("none=", false),
            ("app!=db", true),
            ("app!=web", false),
            ("none!=db", true),
            ("app in (db,web)", true),
            ("app in (db, web),tier", true),
            ("app in (db)", false),
            ("app notin (db)", true),
            ("app notin (web)", false),
            ("none notin (web)", true),
            ("tier in (,x)", true),
        ];
        for (text, expected) in table {
            let selector = ObjectSelector::read(text, "", &resource("", "pods")).unwrap();
            assert_eq!(selector.takes(json), expected, "{text}");
            let labels = [("app", "web"), ("tier", ""), ("a.io/x", "1")];
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            assert_eq!(selector.takes_labels(&labels), expected, "{text}");
        }
        let found = |text: &str| {
            let selector = ObjectSelector::of_labels(text)?;
            selector.one_of().map(|(key, values)| format!("{key} {values:?}"))
        };
        assert_eq!(found("x,app!=a,tier in (b,c),y=z").as_deref(), Some(r#"tier ["b", "c"]"#));
        assert_eq!((found("x,app!=a"), found("")), (None, None));
        let labelled = ObjectSelector::read("a", "", &resource("", "pods")).unwrap();
        assert!(!labelled.takes(br#"{"metadata":{"labels":null}}"#));
    }

    #[test]
    fn what_is_not_understood_is_left_to_the_api_server() {
        let labels = [
            "a b", "a=b=c", "a in b", "a in (b", "a)", "a is (b)", "a>1", "a=-", "-a", "a,,b", "a/b/c",
            "A.io/x=1", "=", "a=b c", "a in ()",
        ];
        for text in labels {
            assert_eq!(ObjectSelector::read(text, "", &resource("", "pods")), None, "{text}");
        }
        let fields = [
            ("spec.nodeName=a", "", "services"),
            ("spec.nodeName=a", "apps", "pods"),
            ("metadata.namespace=a", "", "namespaces"),
            ("metadata.uid=a", "", "pods"),
            ("metadata.name", "", "pods"),
            ("metadata.name=a\\,b", "", "pods"),
            ("metadata.name=a=b", "", "pods"),
        ];
        for (text, group, plural) in fields {
            let mut of = resource(group, plural);
            of.is_namespaced = plural != "namespaces";
            assert_eq!(ObjectSelector::read("", text, &of), None, "{text} of {plural}");
        }
    }

    #[test]
    fn fields_select_as_the_api_server_does() {
        let json = br#"{"spec":{"nodeName":"n1"},"status":{"phase":"Running"},"metadata":{"name":"a","namespace":"x"}}"#;
        let table = [
            ("spec.nodeName=n1", true),
            ("spec.nodeName==n1,status.phase!=Failed", true),
            ("spec.nodeName=", false),
            ("spec.nodeName!=", true),
            ("metadata.name=a,metadata.namespace=x", true),
            ("metadata.name=b", false),
        ];
        for (text, expected) in table {
            let selector = ObjectSelector::read("", text, &resource("", "pods")).unwrap();
            assert_eq!(selector.takes(json), expected, "{text}");
        }
        let event = br#"{"involvedObject":{"kind":"Pod","name":"a"}}"#;
        let selector =
            ObjectSelector::read("", "involvedObject.kind=Pod,involvedObject.uid=", &resource("", "events"));
        assert!(selector.unwrap().takes(event));
        let pending = ObjectSelector::read("", "spec.nodeName=", &resource("", "pods")).unwrap();
        assert!(pending.takes(b"{}"));
    }
}
