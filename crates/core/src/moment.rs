//! Moments as people write them. API servers take texts for a `date-time` that are no moment, or one beyond what a
//! timestamp can hold. One object with such a text must not keep a watch from reading all the others.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize as _, Deserializer};

/// The beginning of the last moments of the last year, in every time zone.
const END: &str = "9999-12-3";

/// Reads a moment. What is beyond the end is the end, and what is none has long passed.
///
/// # Errors
/// If it is not a text.
pub fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    Cow::<str>::deserialize(deserializer).map(|text| Time(read(&text)))
}

/// The same for one that may be absent.
///
/// # Errors
/// If it is neither null nor a text.
pub fn moment_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    Ok(Option::<Cow<'_, str>>::deserialize(deserializer)?.map(|text| Time(read(&text))))
}

fn read(text: &str) -> Timestamp {
    let otherwise = if text.starts_with(END) { Timestamp::MAX } else { Timestamp::UNIX_EPOCH };
    text.parse().unwrap_or(otherwise)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Both {
        #[serde(deserialize_with = "moment")]
        is: Time,
        #[serde(default, deserialize_with = "moment_if_any")]
        may_be: Option<Time>,
    }

    #[test]
    fn whatever_an_api_server_takes_for_a_moment_is_read() {
        let second = |second| Timestamp::from_second(second).unwrap();
        for (text, expected) in [
            ("2026-01-23T10:00:00Z", second(1_769_162_400)),
            ("2026-01-23t10:00:00+01:00", second(1_769_158_800)),
            ("9999-12-31T00:00:00Z", Timestamp::MAX),
            ("9999-12-31T23:59:59-14:00", Timestamp::MAX),
            ("2026-01-23T10:00:00+99:99", Timestamp::UNIX_EPOCH),
            ("2026-01-23T10:00:00x5Z", Timestamp::UNIX_EPOCH),
            ("", Timestamp::UNIX_EPOCH),
        ] {
            let both: Both = serde_json::from_value(json!({"is": text, "may_be": text})).unwrap();
            assert_eq!((both.is.0, both.may_be.map(|time| time.0)), (expected, Some(expected)), "{text}");
        }
        for none in [json!({"is": ""}), json!({"is": "", "may_be": null})] {
            assert_eq!(serde_json::from_value::<Both>(none).unwrap().may_be, None);
        }
        assert!(serde_json::from_value::<Both>(json!({"is": 7})).is_err());
    }
}
