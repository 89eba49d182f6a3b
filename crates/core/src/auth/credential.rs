//! Our own tokens: when they end and whose they are. The API server that issued one is the one that checks it.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;

use super::{claims::NumericDate, compact::bare};

/// The claims of a token of our own that its renewal needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnToken {
    /// When it ends; none for one that never does, or that is no JWT.
    pub expires: Option<Timestamp>,
    /// Namespace and name of its `ServiceAccount`, where it is one's.
    pub account: Option<(String, String)>,
}

impl OwnToken {
    /// Reads a token of our own. One that is no JWT says nothing.
    pub fn read(token: &str) -> Self {
        #[derive(Deserialize)]
        struct Claims {
            exp: Option<NumericDate>,
            sub: Option<String>,
        }
        let payload = bare(token).split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let claims = payload.and_then(|payload| serde_json::from_slice::<Claims>(&payload).ok());
        let Some(claims) = claims else { return Self::default() };
        let expires = claims.exp.and_then(|exp| Timestamp::from_second(exp.0).ok());
        let account = claims.sub.as_deref().and_then(|sub| sub.strip_prefix("system:serviceaccount:"));
        let account = account.and_then(|rest| rest.split_once(':'));
        Self { expires, account: account.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_says_when_it_ends_and_whose_it_is() {
        let claims = json!({"exp": 1_800_000_000, "sub": "system:serviceaccount:fed:reader"}).to_string();
        let read = OwnToken::read(&format!("x.{}.y\n", BASE64_URL_SAFE_NO_PAD.encode(claims)));
        assert_eq!(read.expires.unwrap().as_second(), 1_800_000_000);
        assert_eq!(read.account.unwrap(), ("fed".to_owned(), "reader".to_owned()));
        assert_eq!(OwnToken::read("opaque"), OwnToken::default());
    }
}
