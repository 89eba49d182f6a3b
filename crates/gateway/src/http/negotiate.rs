//! The form of an answer: the older one is 200 even for a mistake in the query, the newer one has its own statuses.

use http::{HeaderMap, header};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerMedia {
    /// `application/json`.
    Json,
    /// `application/graphql-response+json`.
    Response,
    /// `text/event-stream`.
    Events,
}

impl AnswerMedia {
    /// The header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::Response | Self::Events => "application/graphql-response+json; charset=utf-8",
        }
    }
}

/// The form that a client accepts; if it names several, the one that it likes best, or else the first.
pub fn accepted(headers: &HeaderMap) -> Option<AnswerMedia> {
    let (mut is_named, mut best): (bool, Option<(f32, AnswerMedia)>) = (false, None);
    let values = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    for part in values.flat_map(|value| value.split(',')) {
        let (name, quality) = weighed(part);
        is_named |= !name.is_empty();
        let media = match name.as_str() {
            "application/graphql-response+json" => AnswerMedia::Response,
            "application/json" | "*/*" | "application/*" => AnswerMedia::Json,
            "text/event-stream" => AnswerMedia::Events,
            _ => continue,
        };
        if quality > 0.0 && best.is_none_or(|(known, _)| quality > known) {
            best = Some((quality, media));
        }
    }
    best.map_or_else(|| (!is_named).then_some(AnswerMedia::Json), |(_, media)| Some(media))
}

/// What a part of such a header names, in lower case, and how much that is wanted: from 0 to 1.
pub(super) fn weighed(part: &str) -> (String, f32) {
    let mut words = part.split(';').map(str::trim);
    let name = words.next().unwrap_or_default().to_ascii_lowercase();
    let quality = words.find_map(|word| {
        let (key, value) = word.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(1.0))
    });
    (name, quality.unwrap_or(1.0))
}

/// Returns `true` for a browser that opens a page: it names HTML, before any form of an answer.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut names = values
        .flat_map(|value| value.split(','))
        .map(|part| part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let first = names.find(|name| {
        matches!(
            name.as_str(),
            "text/html"
                | "application/graphql-response+json"
                | "application/json"
                | "application/*"
                | "text/event-stream"
                | "*/*"
        )
    });
    first.is_some_and(|name| name == "text/html")
}

/// Returns `true` if a WebSocket is asked for. Other protocols, such as `h2c`, are offered only: whoever does not speak
/// them answers as if they were not named.
pub fn wants_socket(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::UPGRADE).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// Returns `true` if the headers declare JSON in UTF-8.
pub fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut words = value.split(';').map(str::trim);
    let is_json = words.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    is_json
        && words.all(|word| match word.split_once('=') {
            Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
                charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_that_is_liked_best_counts() {
        let table = [
            (None, Some(AnswerMedia::Json)),
            (Some("*/*"), Some(AnswerMedia::Json)),
            (Some("application/graphql-response+json"), Some(AnswerMedia::Response)),
            (
                Some("application/graphql-response+json; charset=utf-8, application/json;q=0.9"),
                Some(AnswerMedia::Response),
            ),
            (Some("text/html, application/json"), Some(AnswerMedia::Json)),
            (Some("text/event-stream, */*"), Some(AnswerMedia::Events)),
            (Some("text/html"), None),
            (Some("application/json;q=0.5, application/graphql-response+json"), Some(AnswerMedia::Response)),
            (Some("*/*; Q = 0.1, text/event-stream;q=0.2"), Some(AnswerMedia::Events)),
            (Some("application/json, application/graphql-response+json"), Some(AnswerMedia::Json)),
            (
                Some("application/json;q=0.000, application/graphql-response+json;q=0.1"),
                Some(AnswerMedia::Response),
            ),
            (Some("application/json;q=0"), None),
            (Some(" , "), Some(AnswerMedia::Json)),
        ];
        for (accept, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(accepted(&headers), expected, "{accept:?}");
        }
    }

    #[test]
    fn browsers_get_the_console_and_programs_do_not() {
        let table = [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("TEXT/HTML", true),
            ("application/json, text/html", false),
            ("*/*", false),
            ("text/event-stream", false),
            ("", false),
        ];
        for (accept, expected) in table {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_page(&headers), expected, "{accept}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }

    #[test]
    fn only_a_websocket_is_opened() {
        let table: [(&[&str], bool); 8] = [
            (&[], false),
            (&["h2c"], false),
            (&["websocket"], true),
            (&["WebSocket"], true),
            (&["h2c, websocket"], true),
            (&["h2c", "websocket"], true),
            (&["websocket/1"], false),
            (&[""], false),
        ];
        for (values, expected) in table {
            let upgrade = |value| (header::UPGRADE, HeaderValue::from_static(value));
            let headers: HeaderMap = values.iter().copied().map(upgrade).collect();
            assert_eq!(wants_socket(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn bodies_are_json_in_utf_8() {
        for (value, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=latin1", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_json(&headers), expected, "{value}");
        }
    }
}
