//! The one request.

use std::time::Duration;

use http::{StatusCode, Uri};
use jiff::Timestamp;
use portolan_runtime::{
    fetch::{AddressPolicy, FetchCredential, FetchError, FetchSettings, Fetcher, NamedAddress},
    telemetry::ErrorChain,
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{failure::Failure, output};

/// More of an answer that is no token is not shown.
const SHOWN: usize = 2000;

/// A question, and the means to ask it.
#[derive(Clone, Debug)]
pub struct Question {
    pub url: String,
    pub token: SecretString,
    pub namespace: String,
    pub account: String,
    pub timeout: Duration,
    pub authorities: Option<Vec<u8>>,
}

/// A new token.
#[derive(Clone, Debug)]
pub struct Answer {
    pub token: SecretString,
    /// When it ends, where the service says so.
    pub expires: Option<Timestamp>,
    /// The whole answer.
    pub body: Value,
}

#[derive(Deserialize)]
struct Body {
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: SecretText,
    expiration_timestamp: Option<Timestamp>,
}

/// A text that no error repeats.
struct SecretText(SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

/// Asks, and waits as long as the question says.
pub async fn ask(question: &Question) -> Result<Answer, Failure> {
    let url = endpoint(&question.url)?;
    let credential =
        FetchCredential::new(&url, question.token.clone()).map_err(|_| not_a_url(&question.url))?;
    warn_of_plain_http(&url);
    let settings = FetchSettings {
        policy: AddressPolicy { named: vec![NamedAddress::Anything], ..AddressPolicy::default() },
        extra_authorities: question.authorities.clone(),
        system_authorities: true,
        plain_http: true,
        connect_timeout: question.timeout,
        total_timeout: question.timeout,
        ..FetchSettings::default()
    };
    let client = Fetcher::new(&settings).map_err(|error| Failure::Usage(ErrorChain(&error).to_string()))?;
    let body = json!({"namespace": question.namespace, "serviceAccountName": question.account});
    let answer = client.post_json(&url, body.to_string().into_bytes(), Some(&credential)).await;
    let answer = answer.map_err(|error| unanswered(&error))?;
    read(answer.status, &answer.body)
}

/// The URL that the question is sent to.
fn endpoint(url: &str) -> Result<Uri, Failure> {
    // The path would become a part of it.
    if url.contains(['?', '#']) {
        return Err(Failure::Usage(format!(
            "-url {url:?} has a query or a fragment: leave out ? or # and the rest"
        )));
    }
    format!("{}/exchangeToken", url.trim_end_matches('/')).parse().map_err(|_| not_a_url(url))
}

fn not_a_url(url: &str) -> Failure {
    Failure::Usage(format!("-url {url:?} is not a URL such as https://host:8088"))
}

fn unanswered(error: &FetchError) -> Failure {
    let text = format!("the service did not answer: {}", ErrorChain(error));
    // A certificate or a header that is wrong stays so.
    if matches!(error, FetchError::Credential) || text.contains("certificate") {
        Failure::Broken(text)
    } else {
        Failure::Temporary(text)
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Answer, Failure> {
    if status == StatusCode::OK {
        let broken = |_| Failure::Broken("the service's answer has no status.token".to_owned());
        let Body { status } = serde_json::from_slice(body).map_err(broken)?;
        let body = serde_json::from_slice(body).map_err(broken)?;
        return Ok(Answer { token: status.token.0, expires: status.expiration_timestamp, body });
    }
    let text: String = String::from_utf8_lossy(body).trim_end().chars().take(SHOWN).collect();
    if status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
    {
        return Err(Failure::Temporary(format!("server returned {status}\n{text}")));
    }
    Err(Failure::Refused { status, body: text })
}

/// On the way to another machine, everybody in between can read the token.
fn warn_of_plain_http(url: &Uri) {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let here = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    if url.scheme_str() == Some("http") && !here {
        output::warn("the token travels over plain HTTP; use an https URL");
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_url_is_an_origin_and_perhaps_a_path() {
        let table = [
            ("https://host:8088", Ok("https://host:8088/exchangeToken")),
            ("https://host/kfca/", Ok("https://host/kfca/exchangeToken")),
            ("https://host/?a=b", Err("has a query or a fragment")),
            ("https://host#a", Err("has a query or a fragment")),
            ("https://ho st", Err("is not a URL")),
        ];
        for (url, expected) in table {
            match (endpoint(url), expected) {
                (Ok(uri), Ok(expected)) => assert_eq!(uri.to_string(), expected),
                (Err(failure @ Failure::Usage(_)), Err(words)) => {
                    assert!(failure.to_string().contains(words), "{failure}");
                }
                (other, _) => panic!("{url}: {other:?}"),
            }
        }
    }

    #[test]
    fn answers_are_read() {
        let body = br#"{"status":{"token":"abc","expirationTimestamp":"2027-01-01T00:00:00Z","more":1}}"#;
        let answer = read(StatusCode::OK, body).unwrap();
        assert_eq!(answer.token.expose_secret(), "abc");
        assert_eq!(answer.expires.unwrap().to_string(), "2027-01-01T00:00:00Z");
        let original = read(StatusCode::OK, br#"{"status":{"token":"abc"}}"#).unwrap();
        assert_eq!(original.expires, None);
        assert!(matches!(read(StatusCode::OK, b"<html>"), Err(Failure::Broken(_))));
        assert!(matches!(read(StatusCode::NOT_FOUND, b"{}"), Err(Failure::Refused { .. })));
        for status in
            [StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY, StatusCode::TOO_MANY_REQUESTS]
        {
            assert!(matches!(read(status, b"{}"), Err(Failure::Temporary(_))), "{status}");
        }
    }
}
