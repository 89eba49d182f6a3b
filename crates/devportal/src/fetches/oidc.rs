//! The discovery document of an issuer, of which only the token endpoint is kept.

use http::{StatusCode, Uri};
use portolan_runtime::{fetch::Fetcher, telemetry::ErrorChain};
use serde_json::Value;

/// The result of a discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcOutcome {
    /// The endpoint that was last found.
    pub token_endpoint: Option<String>,
    pub failure: Option<String>,
    /// Oddities of the document.
    pub note: Option<String>,
}

/// Where the document of an issuer is.
pub fn location(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", without_slash(issuer))
}

/// A URL without one final slash.
fn without_slash(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

/// Fetches the document. An endpoint that was found before stays when it fails.
pub(super) async fn fetch(fetcher: &Fetcher, issuer: &str, last: Option<String>) -> OidcOutcome {
    let url = location(issuer);
    let found = match url.parse::<Uri>() {
        Err(_) => Err("the issuer is not a URL".to_owned()),
        Ok(uri) => match fetcher.get(&uri, None).await {
            Ok(answer) => judge(issuer, answer.status, &answer.body),
            Err(error) => Err(format!("failed to fetch discovery document: {}", ErrorChain(&error))),
        },
    };
    match found {
        Ok((endpoint, note)) => OidcOutcome { token_endpoint: Some(endpoint), failure: None, note },
        Err(why) => OidcOutcome {
            token_endpoint: last,
            failure: Some(format!("Failed to fetch OIDC discovery from {url}: {why}")),
            note: None,
        },
    }
}

/// The token endpoint of a document, and what is odd about it.
fn judge(issuer: &str, status: StatusCode, body: &[u8]) -> Result<(String, Option<String>), String> {
    if status != StatusCode::OK {
        return Err(format!("unexpected status code: {}", status.as_u16()));
    }
    let document: Value =
        serde_json::from_slice(body).map_err(|_| "failed to decode discovery document".to_owned())?;
    let note = match &document["issuer"] {
        Value::Null => None,
        Value::String(named) if named == issuer => None,
        Value::String(named) if without_slash(named) == without_slash(issuer) => {
            Some("the issuer that it names differs by a final slash".to_owned())
        }
        // People post their secrets to the endpoint: whoever calls himself otherwise does not get them.
        _ => return Err("the document is of another issuer".to_owned()),
    };
    let endpoint = document["token_endpoint"].as_str().filter(|endpoint| !endpoint.is_empty());
    let endpoint = endpoint.ok_or("token_endpoint not found in discovery document")?;
    let scheme = endpoint.parse::<Uri>().ok().and_then(|uri| uri.scheme_str().map(str::to_owned));
    match scheme.as_deref() {
        Some("https") => Ok((endpoint.to_owned(), note)),
        Some("http") if issuer.starts_with("http://") => Ok((endpoint.to_owned(), note)),
        _ => Err("token_endpoint is not an https URL".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_location_has_no_double_slash() {
        assert_eq!(location("https://a/realms/x/"), "https://a/realms/x/.well-known/openid-configuration");
        assert_eq!(location("https://a"), "https://a/.well-known/openid-configuration");
    }

    #[test]
    fn documents_are_judged() {
        let endpoint = "https://a/token";
        let good = json!({"issuer": "https://a", "token_endpoint": endpoint}).to_string();
        let table = [
            ("https://a", 200, good.clone(), Ok(false)),
            ("https://a/", 200, good.clone(), Ok(true)),
            ("https://a", 200, json!({"token_endpoint": endpoint}).to_string(), Ok(false)),
            ("https://b", 200, good.clone(), Err("another issuer")),
            ("https://a//", 200, good.clone(), Err("another issuer")),
            (
                "https://a",
                200,
                json!({"issuer": ["https://a"], "token_endpoint": endpoint}).to_string(),
                Err("another issuer"),
            ),
            ("https://login.example/{tenantid}", 200, good.clone(), Err("another issuer")),
            ("https://a", 404, good, Err("unexpected status code: 404")),
            ("https://a", 200, "<html>".to_owned(), Err("failed to decode")),
            ("https://a", 200, json!({"issuer": "https://a"}).to_string(), Err("token_endpoint not found")),
            (
                "https://a",
                200,
                json!({"token_endpoint": "http://a/token"}).to_string(),
                Err("not an https URL"),
            ),
            (
                "https://a",
                200,
                json!({"token_endpoint": "javascript:alert(1)"}).to_string(),
                Err("not an https URL"),
            ),
        ];
        for (issuer, status, body, expected) in table {
            let judged = judge(issuer, StatusCode::from_u16(status).unwrap(), body.as_bytes());
            match (judged, expected) {
                (Ok((found, note)), Ok(odd)) => assert_eq!((found.as_str(), note.is_some()), (endpoint, odd)),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                other => panic!("{issuer} {body}: {other:?}"),
            }
        }
        let plain = judge(
            "http://a",
            StatusCode::OK,
            json!({"token_endpoint": "http://a/token"}).to_string().as_bytes(),
        );
        assert!(plain.is_ok(), "who speaks plain http anyway");
    }
}
