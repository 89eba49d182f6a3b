//! Issuers that the tests make, shaped like those of clouds, with every way to misbehave.

pub use portolan_testkit::issuer::{Mood, now};
use portolan_testkit::{forge::SigningKey, issuer::Issuer as Fake};
use serde_json::{Value, json};

use crate::support::AUDIENCE;

/// An issuer of the exchange.
pub struct Issuer {
    fake: Fake,
    pub url: String,
}

impl Issuer {
    pub async fn start(keys: &[&SigningKey]) -> Self {
        let fake = Fake::start(keys).await;
        let url = fake.url.clone();
        Self { fake, url }
    }

    /// An entry of `issuers:`.
    pub fn entry(&self, more: &str) -> String {
        let Fake { url, port, .. } = &self.fake;
        format!("- {{issuer: '{url}', plain_http: true, allow_addresses: ['127.0.0.1:{port}']{more}}}\n")
    }

    pub fn says_it_uses(&self, algorithms: &[&str]) {
        self.fake.says_it_uses(algorithms);
    }

    pub fn publish(&self, keys: &[&SigningKey]) {
        self.fake.publish(keys);
    }

    pub fn is(&self, mood: Mood) {
        self.fake.is(mood);
    }

    /// Number of requests for keys so far.
    pub fn requests(&self) -> usize {
        self.fake.requests()
    }

    /// Claims as Google writes them for a service account: one audience as a text, a number as the subject.
    pub fn google(&self, audience: &str) -> Value {
        json!({
            "aud": audience, "azp": "104100000000000000001", "email": "app@project.iam.gserviceaccount.com",
            "email_verified": true, "exp": now() + 3599, "iat": now(), "iss": self.url,
            "sub": "104100000000000000001",
        })
    }

    /// Claims as Azure writes them for a managed identity: no `kubernetes.io`, ninety minutes at most.
    pub fn azure(&self, audience: &str) -> Value {
        json!({
            "aud": audience, "iss": self.url, "iat": now() - 300, "nbf": now() - 300, "exp": now() + 5000,
            "aio": "E2ZgYDg", "appid": "6e740000-0000-0000-0000-000000000001", "appidacr": "2",
            "idp": self.url, "oid": "6e740000-0000-0000-0000-000000000002", "rh": "0.AX0A",
            "roles": ["exchange"], "sub": "6e740000-0000-0000-0000-000000000002",
            "tid": "72f98800-0000-0000-0000-000000000003", "uti": "x", "ver": "1.0",
        })
    }

    /// A good token for the exchange.
    pub fn token(&self, key: &SigningKey, algorithm: &str) -> String {
        key.token(algorithm, &self.google(AUDIENCE))
    }
}
