//! Structs that are read from JSON objects only. Derived ones would also take a list, as their members in order.
//! And members of what other systems write, where null means what absence means.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A `T` that was an object.
///
/// # Examples
///
/// ```
/// use portolan_core::object::Object;
///
/// #[derive(serde::Deserialize)]
/// struct Point {
///     x: i64,
///     y: i64,
/// }
///
/// let Object(point) = serde_json::from_str::<Object<Point>>(r#"{"x": 1, "y": 2}"#)?;
/// assert_eq!(point.x + point.y, 3);
/// assert!(serde_json::from_str::<Object<Point>>("[1, 2]").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapOnly(PhantomData))
    }
}

struct MapOnly<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for MapOnly<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// For `deserialize_with`: a member that is an object.
pub fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// For `deserialize_with`, together with `default`: a member that is an object, null, or absent.
pub fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|found| found.map(|Object(value)| value))
}

/// For `deserialize_with`, together with `default`: a member where null is the same as absence.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "or_default")]
        text: String,
        #[serde(default, deserialize_with = "or_default")]
        list: Vec<String>,
    }

    #[test]
    fn null_is_absence_and_another_type_is_neither() {
        let read = |text: &str| serde_json::from_str::<Sample>(text).ok();
        let empty = Sample { text: String::new(), list: Vec::new() };
        assert_eq!(read("{}"), Some(empty));
        assert_eq!(read(r#"{"text":null,"list":null}"#), read("{}"));
        assert_eq!(read(r#"{"text":1}"#), None);
    }
}
