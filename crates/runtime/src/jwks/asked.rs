//! Questions of verdicts and people about an issuer's keys: whether they may be incomplete, what was found, and why
//! not.

use std::time::Duration;

use portolan_core::auth::{TokenRefusal, UnverifiedToken, refusal::Unavailable};
use tokio::time::{sleep, timeout};

use super::{Jwks, JwksStatus};

/// Interval at which to look whether an attempt has ended.
const PAUSE: Duration = Duration::from_millis(20);

impl Jwks {
    /// A verdict by these keys. An issuer that does not answer may have the key that a token names.
    pub fn unless_in_doubt<T>(&self, checked: Result<T, TokenRefusal>) -> Result<T, TokenRefusal> {
        match checked {
            Err(TokenRefusal::UnknownKey) if self.is_in_doubt() => {
                Err(TokenRefusal::Unavailable(Unavailable::Issuer))
            }
            checked => checked,
        }
    }

    /// Waits until what is known about the keys is enough. False when it is not within `limit`.
    pub async fn until(&self, is_enough: impl Fn(&JwksStatus) -> bool, limit: Duration) -> bool {
        let known = async {
            while !is_enough(&self.status()) {
                sleep(PAUSE).await;
            }
        };
        timeout(limit, known).await.is_ok()
    }

    /// Explains whether there is a key for a token, and why not.
    pub fn about(&self, token: &UnverifiedToken<'_>) -> String {
        let Some(keys) = self.keys() else {
            return format!("no keys: {}", self.status().error.unwrap_or_else(|| "no answer yet".to_owned()));
        };
        let Some(id) = token.unverified_key_id() else { return "the token names no key".to_owned() };
        match keys.skipped.reason(id) {
            _ if keys.has(id) => "has the key".to_owned(),
            Some(reason) => format!("has the key, but skips it: {reason}"),
            None => "does not have the key".to_owned(),
        }
    }
}

impl JwksStatus {
    /// Returns `true` if the issuer was asked at all, with or without success.
    pub fn is_tried(&self) -> bool {
        self.succeeded + self.failed > 0
    }

    /// Describes the keys that were found, and which of them cannot be used.
    pub fn found(&self) -> String {
        let Self { keys, skipped, .. } = self;
        if skipped.is_empty() { format!("{keys} keys") } else { format!("{keys} keys; skipped: {skipped}") }
    }

    /// Explains why there are no keys.
    pub fn why_not(&self) -> String {
        self.error.clone().unwrap_or_else(|| "the issuer does not answer".to_owned())
    }
}
