//! Bindings: the annotations of a `ServiceAccount` that say whose tokens are exchanged for one of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use portolan_core::object::or_default;
use portolan_runtime::args::interval;
use serde::Deserialize;
use serde_json::Value;

/// The audience that matches every other.
pub const ANY: &str = "*";

/// An annotation is a binding when its key contains this.
const MARK: &str = "kfca";
/// More bindings than an account needs. The first ones count, in the order of their keys.
const MAX_BINDINGS: usize = 16;
/// Longer than any binding.
const MAX_BYTES: usize = 4096;

/// A permission to exchange tokens of one subject for tokens of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The key of its annotation.
    pub key: String,
    /// The issuer of the source, byte for byte.
    pub issuer: String,
    /// The subject of the source, byte for byte.
    pub subject: String,
    /// The source must be for one of these. None: for what the service asks for.
    pub audience: Vec<String>,
    /// Other claims that the source must have.
    pub claims: BTreeMap<String, Value>,
    /// The uid of the source's `ServiceAccount`, so that one that is recreated inherits nothing.
    pub uid: Option<String>,
    /// Limit on the new token's lifetime.
    pub max_lifetime: Option<Duration>,
    /// Whom the new token is for. None: the API server.
    pub audiences: Vec<String>,
}

/// The bindings of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountBindings {
    /// Those that can be used, in the order of their keys.
    pub good: Vec<Arc<Binding>>,
    /// Those that cannot.
    pub broken: Vec<BrokenBinding>,
}

/// An annotation that is no binding although its key says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenBinding {
    /// Its key.
    pub key: String,
    /// The fault of the binding.
    pub problem: String,
}

/// A binding as it is written. A field that is not known here may be a misspelt condition, so it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenBinding {
    issuer: String,
    subject: String,
    #[serde(default, deserialize_with = "or_default")]
    audience: TextList,
    #[serde(default, deserialize_with = "or_default")]
    claims: BTreeMap<String, Value>,
    uid: Option<String>,
    max_lifetime: Option<WrittenLifetime>,
    #[serde(default, deserialize_with = "or_default")]
    audiences: TextList,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
enum TextList {
    One(String),
    List(Vec<String>),
}

impl Default for TextList {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl TextList {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::List(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "seconds, or a duration such as 30m")]
enum WrittenLifetime {
    Seconds(u32),
    Text(String),
}

impl AccountBindings {
    /// Reads the annotations of an account. One that is broken does not touch the others.
    pub fn of(annotations: Option<&BTreeMap<String, String>>) -> Self {
        let mut bindings = Self::default();
        let marked = annotations.into_iter().flatten().filter(|(key, _)| key.contains(MARK));
        for (index, (key, text)) in marked.enumerate() {
            let read = if index < MAX_BINDINGS { read(key, text) } else { Err(too_many()) };
            match read {
                Ok(binding) => bindings.good.push(Arc::new(binding)),
                Err(problem) => bindings.broken.push(BrokenBinding { key: key.clone(), problem }),
            }
        }
        bindings
    }
}

fn too_many() -> String {
    format!("there are more than {MAX_BINDINGS} bindings; the first ones count, in the order of their keys")
}

fn read(key: &str, text: &str) -> Result<Binding, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    // A list would be read as the fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err("it is not a JSON object".to_owned());
    }
    let written: WrittenBinding = serde_json::from_str(text).map_err(|error| short(&error.to_string()))?;
    if written.issuer.is_empty() || written.subject.is_empty() {
        return Err("issuer and subject must not be empty".to_owned());
    }
    let audience = written.audience.list();
    // Who may annotate an account opens it to whom they name, not to everybody who was ever shown a token.
    if audience.iter().any(|audience| audience == ANY) {
        return Err("audience must not be \"*\"".to_owned());
    }
    let audiences = written.audiences.list();
    if audiences.iter().any(String::is_empty) {
        return Err("audiences must not contain an empty one".to_owned());
    }
    let max_lifetime = match written.max_lifetime {
        None => None,
        Some(WrittenLifetime::Seconds(seconds)) => Some(Duration::from_secs(seconds.into())),
        Some(WrittenLifetime::Text(text)) => {
            Some(interval(&text).map_err(|problem| format!("maxLifetime: {problem}"))?)
        }
    };
    Ok(Binding {
        key: key.to_owned(),
        issuer: written.issuer,
        subject: written.subject,
        audience,
        claims: written.claims,
        uid: written.uid,
        max_lifetime,
        audiences,
    })
}

/// An error of a parser may repeat what it read.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(annotations: &[(&str, &str)]) -> AccountBindings {
        let owned = annotations.iter().map(|&(key, text)| (key.to_owned(), text.to_owned()));
        AccountBindings::of(Some(&owned.collect()))
    }

    const GOOD: &str = r#"{ "issuer": "https://i", "subject": "s" }"#;

    #[test]
    fn every_key_with_the_mark_is_a_binding_and_the_order_is_that_of_the_keys() {
        let bindings = of(&[("team.example.com/kfca-b", GOOD), ("kfca_1", GOOD), ("other", GOOD)]);
        let keys: Vec<_> = bindings.good.iter().map(|binding| binding.key.as_str()).collect();
        assert_eq!(keys, ["kfca_1", "team.example.com/kfca-b"]);
        assert!(bindings.broken.is_empty());
    }

    #[test]
    fn a_broken_binding_is_named_and_leaves_the_good_one_alone() {
        let long = format!(r#"{{"issuer":"i","subject":"{}"}}"#, "s".repeat(5000));
        let table = [
            ("null", "not a JSON object"),
            (r#"["i","s"]"#, "not a JSON object"),
            ("\"text\"", "not a JSON object"),
            ("{", "EOF"),
            (r#"{"issuer":"i"}"#, "missing field `subject`"),
            (r#"{"issuer":"","subject":"s"}"#, "must not be empty"),
            (r#"{"issuer":"i","issuer":"j","subject":"s"}"#, "duplicate field `issuer`"),
            (r#"{"issuer":"i","subject":"s","audiance":"a"}"#, "unknown field `audiance`"),
            (r#"{"issuer":"i","subject":"s","maxLifetime":"soon"}"#, "maxLifetime: "),
            (
                r#"{"issuer":"i","subject":"s","maxLifetime":"10000000000000000000s10000000000000000000s"}"#,
                "maxLifetime: ",
            ),
            (r#"{"issuer":"i","subject":"s","maxLifetime":-1}"#, "a duration such as 30m"),
            (r#"{"issuer":"i","subject":"s","audience":1}"#, "a text or a list of texts"),
            (r#"{"issuer":"i","subject":"s","audience":["a","*"]}"#, "must not be"),
            (r#"{"issuer":"i","subject":"s","audiences":["a",""]}"#, "an empty one"),
            (r#"{"issuer":"i","subject":"s","audiences":""}"#, "an empty one"),
            (r#"{"issuer":"i","subject":"s"} x"#, "trailing characters"),
            (long.as_str(), "more than 4096 bytes"),
        ];
        for (text, problem) in table {
            let bindings = of(&[("kfca_1", text), ("kfca_2", GOOD)]);
            assert_eq!(bindings.good.len(), 1, "{text}");
            assert_eq!(bindings.broken[0].key, "kfca_1");
            assert!(bindings.broken[0].problem.contains(problem), "{text}: {:?}", bindings.broken);
        }
    }

    #[test]
    fn further_fields_are_read() {
        let text = r#"{"issuer":"i","subject":"s","audience":"a","claims":{"tid":"t"},"uid":"u",
                       "maxLifetime":"15m","audiences":["x","y"]}"#;
        let bindings = of(&[("kfca", text)]);
        let binding = &bindings.good[0];
        assert_eq!(
            (&binding.audience[..], &binding.audiences[..]),
            (&["a".to_owned()][..], &["x".to_owned(), "y".to_owned()][..])
        );
        assert_eq!(
            (binding.uid.as_deref(), binding.max_lifetime),
            (Some("u"), Some(Duration::from_secs(900)))
        );
        assert_eq!(binding.claims["tid"], "t");
    }

    #[test]
    fn what_is_null_in_a_binding_is_not_there() {
        let nulls = r#"{"issuer":"i","subject":"s","audience":null,"claims":null,"uid":null,"maxLifetime":null,
                        "audiences":null}"#;
        let (nulls, bare) = (of(&[("kfca", nulls)]), of(&[("kfca", r#"{"issuer":"i","subject":"s"}"#)]));
        assert_eq!((nulls.good.len(), nulls.broken.len()), (1, 0), "{nulls:?}");
        assert_eq!(nulls, bare);
        for null in [r#"{"issuer":null,"subject":"s"}"#, r#"{"issuer":"i","subject":null}"#] {
            assert_eq!(of(&[("kfca", null)]).broken.len(), 1, "{null}");
        }
    }

    #[test]
    fn a_bomb_of_annotations_is_cut_off() {
        let keys: Vec<String> = (0..1000).map(|index| format!("kfca-{index:04}")).collect();
        let annotations: Vec<_> = keys.iter().map(|key| (key.as_str(), GOOD)).collect();
        let bindings = of(&annotations);
        assert_eq!((bindings.good.len(), bindings.broken.len()), (16, 984));
        assert_eq!(bindings.good[15].key, "kfca-0015");
    }
}
