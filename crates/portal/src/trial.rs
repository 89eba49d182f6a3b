//! Pure: the request that somebody tries out, and what may be shown of the answer.

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use portolan_core::names::is_dns_subdomain;
use serde::Deserialize;
use serde_json::Value;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Headers that are not the caller's to choose.
const OURS: [&str; 14] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "cookie",
    "forwarded",
    "expect",
    "accept-encoding",
];

/// What stands in place of a key.
const MASK: &str = "•••";
/// Shortest key that is looked for: shorter ones are parts of words.
const SHORTEST: usize = 8;

/// What a page sends.
#[derive(Clone, Debug, Deserialize)]
pub struct TrialRequest {
    pub namespace: String,
    /// The product.
    pub name: String,
    /// A host name of the route; by default, the first that names one host.
    pub host: Option<String>,
    pub key: Option<Named>,
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub query: Value,
    #[serde(default)]
    pub headers: Value,
    pub body: Option<String>,
}

/// A key of the caller.
#[derive(Clone, Debug, Deserialize)]
pub struct Named {
    pub namespace: String,
    pub name: String,
}

/// A request that is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrialError {
    #[error("method is to be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")]
    Method,
    #[error("path is to begin with one slash, without .., query or fragment")]
    Path,
    #[error("query is to be text, or an object of texts")]
    Query,
    #[error("headers are to be pairs of texts, and none that the portal sets itself")]
    Header,
    #[error("the HTTPRoute of the product has no host name to send to")]
    NoHost,
    #[error("the HTTPRoute of the product has only names with wildcards: choose a host that they stand for")]
    Wildcards,
    #[error("host is to be a host name of the product's HTTPRoute")]
    Host,
    #[error("the way to send the key, as the policy has it, is not a header, cookie or query that exists")]
    Credential,
}

/// A request as it is sent.
#[derive(Debug)]
pub struct PreparedRequest {
    pub method: Method,
    pub url: Uri,
    pub headers: HeaderMap,
}

/// The host that a request is for, among those of a route.
pub fn host(names: &[String], wanted: Option<&str>) -> Result<String, TrialError> {
    let Some(wanted) = wanted else {
        let untried = if names.is_empty() { TrialError::NoHost } else { TrialError::Wildcards };
        return names.iter().find(|name| is_dns_subdomain(name)).cloned().ok_or(untried);
    };
    let has = |name: &String| match name.strip_prefix("*.") {
        Some(end) => wanted.strip_suffix(end).is_some_and(|start| start.len() > 1 && start.ends_with('.')),
        None => name == wanted,
    };
    if is_dns_subdomain(wanted) && names.iter().any(has) {
        Ok(wanted.to_owned())
    } else {
        Err(TrialError::Host)
    }
}

/// Puts a request together. `base` is where it goes, `host` what it is for.
pub fn prepare(
    trial: &TrialRequest,
    (base, host): (&str, &str),
    key: Option<(&str, &Value)>,
) -> Result<PreparedRequest, TrialError> {
    let method = METHODS.into_iter().find(|known| *known == trial.method).ok_or(TrialError::Method)?;
    let method = method.parse().map_err(|_| TrialError::Method)?;
    if !is_plain(&trial.path) {
        return Err(TrialError::Path);
    }
    let mut headers = headers(&trial.headers)?;
    let mut query = query(&trial.query)?;
    if let Some((value, credentials)) = key {
        put(value, credentials, &mut headers, &mut query)?;
    }
    let host = HeaderValue::from_str(host).map_err(|_| TrialError::Path)?;
    headers.insert(header::HOST, host);
    let sign = if query.is_empty() { "" } else { "?" };
    let url = format!("{base}{}{sign}{query}", trial.path).parse().map_err(|_| TrialError::Path)?;
    Ok(PreparedRequest { method, url, headers })
}

/// Returns `true` for a path that stays below the host: also after somebody has decoded it.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let decoded = lower.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    path.starts_with('/')
        && !decoded.starts_with("//")
        && path.is_ascii()
        && !path
            .contains(|c: char| c.is_ascii_control() || matches!(c, '?' | '#' | '\\' | ' ' | '"' | '<' | '>'))
        && !decoded.contains('\\')
        && !decoded.split('/').any(|segment| segment == ".." || segment == ".")
}

fn query(given: &Value) -> Result<String, TrialError> {
    let mut out = form_urlencoded::Serializer::new(String::new());
    match given {
        Value::Null => {}
        Value::String(text) => {
            let text = text.strip_prefix('?').unwrap_or(text);
            out.extend_pairs(form_urlencoded::parse(text.as_bytes()));
        }
        Value::Object(pairs) => {
            for (name, value) in pairs {
                match value {
                    Value::String(text) => out.append_pair(name, text),
                    Value::Number(number) => out.append_pair(name, &number.to_string()),
                    Value::Bool(is) => out.append_pair(name, &is.to_string()),
                    _ => return Err(TrialError::Query),
                };
            }
        }
        _ => return Err(TrialError::Query),
    }
    Ok(out.finish())
}

fn headers(given: &Value) -> Result<HeaderMap, TrialError> {
    let pairs: Vec<(&str, &str)> = match given {
        Value::Null => Vec::new(),
        Value::Object(pairs) => pairs
            .iter()
            .map(|(name, value)| value.as_str().map(|value| (name.as_str(), value)))
            .collect::<Option<_>>()
            .ok_or(TrialError::Header)?,
        Value::Array(pairs) => pairs
            .iter()
            .map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
            .collect::<Option<_>>()
            .ok_or(TrialError::Header)?,
        _ => return Err(TrialError::Header),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.trim().parse().map_err(|_| TrialError::Header)?;
        let text = name.as_str();
        if OURS.contains(&text) || text.starts_with("x-forwarded-") || text.starts_with("sec-") {
            return Err(TrialError::Header);
        }
        headers.append(name, HeaderValue::from_str(value).map_err(|_| TrialError::Header)?);
    }
    Ok(headers)
}

/// Puts the key where the policy wants it.
fn put(
    value: &str,
    credentials: &Value,
    headers: &mut HeaderMap,
    query: &mut String,
) -> Result<(), TrialError> {
    let secret = |text: String| {
        let mut value = HeaderValue::try_from(text).map_err(|_| TrialError::Credential)?;
        value.set_sensitive(true);
        Ok(value)
    };
    let named = |member: &str| credentials[member]["name"].as_str().filter(|name| !name.is_empty());
    if let Some(name) = named("customHeader") {
        let name: HeaderName = name.parse().map_err(|_| TrialError::Credential)?;
        headers.insert(name, secret(value.to_owned())?);
    } else if let Some(name) = named("queryString") {
        let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        let sign = if query.is_empty() { "" } else { "&" };
        query.push_str(sign);
        query.push_str(&pair);
    } else if let Some(name) = named("cookie") {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if !name.chars().all(is_token) {
            return Err(TrialError::Credential);
        }
        headers.insert(header::COOKIE, secret(format!("{name}={value}"))?);
    } else {
        let prefix = credentials["authorizationHeader"]["prefix"].as_str().unwrap_or("Bearer");
        let text = if prefix.is_empty() { value.to_owned() } else { format!("{prefix} {value}") };
        headers.insert(header::AUTHORIZATION, secret(text)?);
    }
    Ok(())
}

/// Text of an answer, without the key in any form that an API may send back.
pub fn masked(text: &str, key: Option<&str>) -> String {
    let Some(key) = key.filter(|key| key.len() >= SHORTEST) else { return text.to_owned() };
    let encoded: String = form_urlencoded::byte_serialize(key.as_bytes()).collect();
    let base64 = BASE64_STANDARD.encode(key);
    let mut forms = vec![key.to_owned(), encoded, base64.trim_end_matches('=').to_owned()];
    forms.extend(in_base64(key));
    let text = forms.iter().fold(text.to_owned(), |text, form| text.replace(form, MASK));
    without_escaped(&text, key)
}

/// What base64 makes of a key wherever it stands in what was encoded: the characters that depend on nothing else.
fn in_base64(key: &str) -> Vec<String> {
    let after = |before: usize| {
        let bytes = [&[0_u8; 2][..before], key.as_bytes()].concat();
        let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
        [BASE64_STANDARD.encode(&bytes), BASE64_URL_SAFE.encode(&bytes)]
            .map(|text| text[first..end].to_owned())
    };
    (0..3).flat_map(after).collect()
}

/// A text without the key where characters of it are escaped.
fn without_escaped(text: &str, key: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = behind(rest, key) {
            safe.push_str(MASK);
            rest = after;
        } else {
            safe.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    safe
}

/// What comes after the key, if a text begins with it: each character as it is, as in a URL or as in JSON.
fn behind<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    key.chars().try_fold(text, |rest, character| {
        let digits = |start: &str| {
            let rest = rest.strip_prefix(start)?;
            let number = u32::from_str_radix(rest.get(..2)?, 16).ok()?;
            (number == u32::from(character)).then(|| &rest[2..])
        };
        let as_it_is = rest.strip_prefix(character);
        let escaped = || digits("%").or_else(|| digits("\\u00"));
        as_it_is.or_else(escaped).or_else(|| rest.strip_prefix('\\')?.strip_prefix(character))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trial(path: &str, rest: Value) -> TrialRequest {
        let mut body = json!({"namespace": "a", "name": "p", "method": "GET", "path": path});
        if let Value::Object(rest) = rest {
            body.as_object_mut().unwrap().extend(rest);
        }
        serde_json::from_value(body).unwrap()
    }

    fn prepared(path: &str, rest: Value, key: Option<(&str, &Value)>) -> Result<PreparedRequest, TrialError> {
        prepare(&trial(path, rest), ("https://api.example", "api.example"), key)
    }

    #[test]
    fn a_request_stays_at_its_host() {
        for path in [
            "//evil",
            "/a/../b",
            "/%2e%2e/x",
            "/.%2E",
            "/%2f/evil",
            "/a\\b",
            "/%5c..",
            "a",
            "",
            "/a?b",
            "/a#b",
            "/a b",
            "/ä",
            "@evil",
        ] {
            assert_eq!(prepared(path, json!({}), None).unwrap_err(), TrialError::Path, "{path}");
        }
        let sent = prepared("/pets/7", json!({"query": {"a b": "c&d", "n": 1}}), None).unwrap();
        assert_eq!(sent.url, "https://api.example/pets/7?a+b=c%26d&n=1");
        assert_eq!(sent.headers[header::HOST], "api.example");
        assert_eq!(
            prepared("/", json!({"query": "?x=1&y=$z"}), None).unwrap().url,
            "https://api.example/?x=1&y=%24z"
        );
    }

    #[test]
    fn a_host_is_one_of_the_route() {
        let names = ["*.toys.example", "api.toystore.com", "b.example"].map(str::to_owned);
        let of = |wanted: Option<&str>| host(&names, wanted);
        assert_eq!(of(None).as_deref(), Ok("api.toystore.com"));
        for ours in ["b.example", "a.toys.example", "a.b.toys.example"] {
            assert_eq!(of(Some(ours)).as_deref(), Ok(ours));
        }
        for foreign in [
            "",
            "evil.example",
            "toys.example",
            ".toys.example",
            "eviltoys.example",
            "*.toys.example",
            "b.example:1",
        ] {
            assert_eq!(of(Some(foreign)), Err(TrialError::Host), "{foreign}");
        }
        assert_eq!(host(&names[..1], None), Err(TrialError::Wildcards));
        assert_eq!(host(&[], None), Err(TrialError::NoHost));
    }

    #[test]
    fn headers_of_the_portal_are_not_for_callers() {
        for headers in [
            json!({"Host": "x"}),
            json!([["cookie", "a=b"]]),
            json!({"X-Forwarded-For": "x"}),
            json!({"a": "b\r\nc: d"}),
            json!({"a b": "c"}),
            json!({"a": 1}),
            json!("x"),
            json!({"Transfer-Encoding": "chunked"}),
        ] {
            assert_eq!(
                prepared("/", json!({"headers": headers}), None).unwrap_err(),
                TrialError::Header,
                "{headers}"
            );
        }
        let sent = prepared("/", json!({"headers": [["x-a", "1"], ["x-a", "2"]]}), None).unwrap();
        assert_eq!(sent.headers.get_all("x-a").iter().count(), 2);
        assert_eq!(prepared("/", json!({"method": "TRACE"}), None).unwrap_err(), TrialError::Method);
    }

    #[test]
    fn the_key_goes_where_the_policy_wants_it() {
        let of = |credentials: Value| prepared("/", json!({"query": "a=1"}), Some(("k+1", &credentials)));
        let header = |credentials: Value, name: &str| of(credentials).unwrap().headers[name].clone();
        for unsaid in
            [json!({}), json!({"authorizationHeader": {}}), json!({"authorizationHeader": {"prefix": null}})]
        {
            assert_eq!(header(unsaid, "authorization"), "Bearer k+1");
        }
        assert_eq!(header(json!({"authorizationHeader": {"prefix": "KEY"}}), "authorization"), "KEY k+1");
        assert_eq!(header(json!({"authorizationHeader": {"prefix": ""}}), "authorization"), "k+1");
        assert_eq!(header(json!({"customHeader": {"name": "X-Key"}}), "x-key"), "k+1");
        assert_eq!(header(json!({"cookie": {"name": "key"}}), "cookie"), "key=k+1");
        let url = of(json!({"queryString": {"name": "api key"}})).unwrap().url;
        assert_eq!(url, "https://api.example/?a=1&api+key=k%2B1");
        for bad in [json!({"customHeader": {"name": "a b"}}), json!({"cookie": {"name": "a;b"}})] {
            assert_eq!(of(bad).unwrap_err(), TrialError::Credential);
        }
    }

    #[test]
    fn an_answer_does_not_show_the_key() {
        let key = "s3cret+key/1";
        let text = format!("a {key} b s3cret%2Bkey%2F1 c {} d", BASE64_STANDARD.encode(key));
        assert_eq!(masked(&text, Some(key)), "a ••• b ••• c ••• d");
        let text = "s3cret%2bkey%2f1 %73%33cret%2Bkey/1 s3cret\\u002bkey\\/1 s3cret";
        assert_eq!(masked(text, Some(key)), "••• ••• ••• s3cret");
        for before in ["", "1", "12", "123"] {
            for code in [BASE64_STANDARD, BASE64_URL_SAFE] {
                let said = masked(&code.encode(format!("{before}{key}?>~")), Some(key));
                assert!(said.contains(MASK), "{said}");
            }
        }
        assert_eq!(masked("abc", None), "abc");
    }
}
