//! `TokenRequest`: the one write of an exchange.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use portolan_core::auth::OwnToken;
use portolan_runtime::clock;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::time::timeout;

/// Limit for the API server to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A new token.
#[derive(Debug)]
pub struct MintedToken {
    pub token: SecretString,
    pub expires: Timestamp,
}

/// A token that was not made.
#[derive(Debug)]
pub enum NotMinted {
    /// The API server does not want to: the label says why.
    Refused(&'static str, String),
    /// It did not answer, or only that it cannot now.
    Unavailable(String),
    /// It answered without a token.
    Nonsense,
}

/// The account and the properties of the token to request.
#[derive(Clone, Copy, Debug)]
pub struct TokenOrder<'a> {
    pub namespace: &'a str,
    pub account: &'a str,
    /// Of the account whose bindings were read: one that was recreated since gets nothing.
    pub uid: &'a str,
    pub lifetime: SignedDuration,
    /// None: the API server.
    pub audiences: &'a [String],
}

/// The part of the answer that is read. Null is absence here as everywhere.
#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

pub async fn mint(client: &Client, order: TokenOrder<'_>) -> Result<MintedToken, NotMinted> {
    let request = TokenRequest {
        metadata: ObjectMeta { uid: Some(order.uid.to_owned()), ..ObjectMeta::default() },
        spec: TokenRequestSpec {
            audiences: order.audiences.to_vec(),
            expiration_seconds: Some(order.lifetime.as_secs()),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), order.namespace);
    let params = PostParams::default();
    let asked = accounts.create_subresource::<_, Answer>("token", order.account, &params, &request);
    let answer = timeout(TIMEOUT, asked).await;
    let answer = answer.map_err(|_| NotMinted::Unavailable("it did not answer in time".to_owned()))?;
    let answer = answer.map_err(|error| of_client(&error))?;
    read(answer, order.lifetime).ok_or(NotMinted::Nonsense)
}

/// The token of an answer, and when it ends: as the answer says, or, where it says nothing, as the token does.
fn read(answer: Answer, lifetime: SignedDuration) -> Option<MintedToken> {
    let Status { token, expiration_timestamp } = answer.status?;
    let token = token.filter(|token| !token.is_empty())?;
    let own = || OwnToken::read(&token).expires.unwrap_or_else(|| clock::now() + lifetime);
    let expires = expiration_timestamp.unwrap_or_else(own);
    Some(MintedToken { token: SecretString::from(token), expires })
}

fn of_client(error: &kube::Error) -> NotMinted {
    let kube::Error::Api(status) = error else {
        return NotMinted::Unavailable(portolan_runtime::telemetry::ErrorChain(error).to_string());
    };
    let label = match status.code {
        403 => "mint_forbidden",
        404 => "account_gone",
        409 => "account_replaced",
        400 | 422 => "mint_invalid",
        _ => return NotMinted::Unavailable(status.message.clone()),
    };
    NotMinted::Refused(label, status.message.clone())
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn what_is_null_in_an_answer_is_not_there() {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp":1800000000}"#);
        let (own, hour) = (format!("e30.{claims}.AA"), SignedDuration::from_hours(1));
        let end = |text: &str| {
            let minted = read(serde_json::from_str(text).unwrap(), hour);
            minted.map(|minted| minted.expires.as_second())
        };
        let status =
            |members: &str| format!(r#"{{"kind":"TokenRequest","spec":null,"status":{{{members}}}}}"#);
        let said = format!(r#""token":"{own}","expirationTimestamp":"2030-01-01T00:00:00Z""#);
        assert_eq!(end(&status(&said)), Some(1_893_456_000));
        for unsaid in ["", r#","expirationTimestamp":null"#] {
            assert_eq!(end(&status(&format!(r#""token":"{own}"{unsaid}"#))), Some(1_800_000_000), "{unsaid}");
        }
        let (before, opaque) = (clock::now().as_second(), end(&status(r#""token":"opaque""#)).unwrap());
        assert!(opaque >= before + 3600 && opaque <= clock::now().as_second() + 3600);
        let nothing =
            ["{}", r#"{"status":null}"#, &status(""), &status(r#""token":null"#), &status(r#""token":"""#)];
        for text in nothing {
            assert_eq!(end(text), None, "{text}");
        }
    }
}
