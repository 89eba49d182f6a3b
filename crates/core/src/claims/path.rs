//! Paths into objects in the part of gjson's syntax that names fields: `spec.secretRefs.#.name`. Pure.

use serde_json::Value;

/// A path that can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// A field, or an item by its number.
    Named(String),
    /// Each item of a list.
    Each,
}

/// A path that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a path of fields: use a.b, a.0.b for one item of a list, or a.#.b for each, and a\\.b for a dot in \
     a name"
)]
pub struct InvalidPath(String);

/// Characters with a meaning of their own in gjson, beyond the name of a field.
const UNSUPPORTED: [char; 12] = ['*', '?', '[', ']', '(', ')', '|', '@', '!', '{', '}', '$'];

impl FieldPath {
    /// Reads a path.
    ///
    /// # Examples
    ///
    /// ```
    /// use portolan_core::claims::FieldPath;
    /// use serde_json::json;
    ///
    /// let path = FieldPath::parse("spec.secretRefs.#.name")?;
    /// let object = json!({"spec": {"secretRefs": [{"name": "a"}, {"name": "b"}]}});
    /// assert_eq!(path.texts(&object), [Some("a"), Some("b")]);
    /// # Ok::<(), portolan_core::claims::InvalidPath>(())
    /// ```
    ///
    /// # Errors
    /// For an empty part, for queries, wildcards and modifiers, and for a list's length.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let invalid = || InvalidPath(text.to_owned());
        let (mut parts, mut part, mut escaped) = (Vec::new(), String::new(), false);
        for c in text.chars() {
            match c {
                _ if std::mem::take(&mut escaped) => part.push(c),
                '\\' => escaped = true,
                '.' => parts.push(std::mem::take(&mut part)),
                c if UNSUPPORTED.contains(&c) => return Err(invalid()),
                c => part.push(c),
            }
        }
        parts.push(part);
        let ends_in_length = parts.last().is_some_and(|last| last == "#");
        let odd = |part: &String| part.is_empty() || (part.contains('#') && part != "#");
        if escaped || ends_in_length || parts.iter().any(odd) {
            return Err(invalid());
        }
        let part = |text: String| if text == "#" { Part::Each } else { Part::Named(text) };
        Ok(Self(parts.into_iter().map(part).collect()))
    }

    /// The texts that the path leads to, with `None` for each item of a list where there is none. A list at the
    /// end stands for its items.
    pub fn texts<'a>(&self, object: &'a Value) -> Vec<Option<&'a str>> {
        let mut found = Vec::new();
        follow(&self.0, object, &mut found);
        found
    }
}

fn follow<'a>(parts: &[Part], value: &'a Value, found: &mut Vec<Option<&'a str>>) {
    match (parts.split_first(), value) {
        (None, Value::Array(items)) => found.extend(items.iter().map(text)),
        (None, value) => found.push(text(value)),
        (Some((Part::Each, rest)), Value::Array(items)) => {
            for item in items {
                follow(rest, item, found);
            }
        }
        (Some((Part::Each, _)), _) => {}
        (Some((Part::Named(name), rest)), value) => match named(value, name) {
            Some(value) => follow(rest, value, found),
            None => found.push(None),
        },
    }
}

fn named<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}
