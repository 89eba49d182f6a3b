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
use secrecy::SecretString;
use tokio::time::timeout;

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A new token.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) token: SecretString,
    pub(crate) expires: Timestamp,
}

/// A token that was not made.
#[derive(Debug)]
pub(crate) enum NotMinted {
    /// The API server does not want to: the label says why.
    Refused(&'static str, String),
    /// It did not answer, or only that it cannot now.
    Unavailable(String),
    /// It answered without a token.
    Nonsense,
}

/// Whose token, and what it is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) account: &'a str,
    /// Of the account whose bindings were read: one that was made anew since gets nothing.
    pub(crate) uid: &'a str,
    pub(crate) lifetime: SignedDuration,
    /// None: the API server.
    pub(crate) audiences: &'a [String],
}

pub(crate) async fn mint(client: &Client, order: Order<'_>) -> Result<Minted, NotMinted> {
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
    let answer = timeout(PATIENCE, accounts.create_token_request(order.account, &params, &request)).await;
    let answer = answer.map_err(|_| NotMinted::Unavailable("it did not answer in time".to_owned()))?;
    let status = answer.map_err(|error| of_client(&error))?.status.ok_or(NotMinted::Nonsense)?;
    if status.token.is_empty() {
        return Err(NotMinted::Nonsense);
    }
    Ok(Minted { token: SecretString::from(status.token), expires: status.expiration_timestamp.0 })
}

fn of_client(error: &kube::Error) -> NotMinted {
    let kube::Error::Api(status) = error else {
        return NotMinted::Unavailable(portolan_runtime::telemetry::Chain(error).to_string());
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
