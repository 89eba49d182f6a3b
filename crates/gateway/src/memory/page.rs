//! Pages of a list. Where the next one begins is told in the words of the API server, so that it can go on with it, and
//! so can every other replica.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The version of these words.
const WORDS: &str = "meta.k8s.io/v1";

/// The beginning of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageStart {
    #[serde(rename = "v")]
    words: String,
    /// The version of the list.
    #[serde(rename = "rv")]
    pub version: u64,
    start: String,
}

impl PageStart {
    /// The place after an object, in a list of its namespace or of all.
    pub fn after(key: &[u8], namespace: Option<&str>, version: u64) -> Option<Self> {
        let key = std::str::from_utf8(key).ok()?;
        let below = match namespace {
            Some(namespace) => key.strip_prefix(namespace)?.strip_prefix('/')?,
            None => key,
        };
        Some(Self { words: WORDS.to_owned(), version, start: format!("{below}\0") })
    }

    /// Reads a place. None if only the API server knows what it means.
    pub fn read(text: &str) -> Option<Self> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let place: Self = serde_json::from_slice(&json).ok()?;
        (place.words == WORDS && place.version > 0).then_some(place)
    }

    /// The place as clients see it.
    pub fn text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// The first key that may be on the page.
    pub fn key(&self, namespace: Option<&str>) -> Vec<u8> {
        let start = self.start.trim_start_matches('/');
        namespace.map_or_else(|| start.to_owned(), |namespace| format!("{namespace}/{start}")).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_said() {
        for (key, namespace, start) in [("n/a", None, "n/a\0"), ("n/a", Some("n"), "a\0"), ("a", None, "a\0")]
        {
            let place = PageStart::after(key.as_bytes(), namespace, 7).unwrap();
            assert_eq!((place.start.as_str(), place.version), (start, 7));
            assert_eq!(PageStart::read(&place.text()), Some(place.clone()));
            assert_eq!(place.key(namespace), format!("{key}\0").into_bytes());
        }
        // As an API server says it.
        let said = BASE64_URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":12,"start":"n/a\u0000"}"#);
        assert_eq!(PageStart::read(&said), PageStart::after(b"n/a", None, 12));
        assert_eq!(PageStart::after(b"n/a", Some("other"), 7), None);
    }

    #[test]
    fn places_that_only_the_api_server_knows_are_left_to_it() {
        for json in [
            r#"{"v":"meta.k8s.io/v1","rv":-1,"start":"a"}"#,
            r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#,
            r#"{"v":"v2","rv":1,"start":"a"}"#,
            "{}",
        ] {
            assert_eq!(PageStart::read(&BASE64_URL_SAFE_NO_PAD.encode(json)), None, "{json}");
        }
        assert_eq!(PageStart::read("not base64!"), None);
    }
}
