//! The callers of the stream: known by a token that the cluster's own API server or another endpoint reviews.

use std::{collections::BTreeSet, time::Duration};

use http::HeaderMap;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, Client, api::PostParams};
use moka::sync::Cache;
use portolan_core::{auth::UnverifiedToken, digest::sha256_hex};
use portolan_runtime::{
    fetch::{AddressPolicy, CaCertError, CaCertFetcher, FetchSettings, NamedAddress},
    server::{answer::ApiStatus, bearer::bearer},
    telemetry::brief,
    token_review::{RemoteReviewer, ReviewRefusal, review},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::answer::{FORBIDDEN, TOO_MANY, UNAUTHORIZED, UNAVAILABLE};
use crate::args::StreamArgs;

/// Time for which a review is remembered.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Maximum number of remembered reviews.
const MAX_REMEMBERED: u64 = 1_000;
/// Number of tokens that are reviewed at a time.
const AT_A_TIME: usize = 16;
/// Maximum length of a token.
const MAX_TOKEN: usize = 16 * 1024;

/// The result of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallerVerdict {
    Gateway,
    SomebodyElse,
    Nobody,
}

/// Recognizes gateways by their tokens.
pub(super) struct StreamCallers {
    accounts: BTreeSet<String>,
    audience: String,
    reviewer: TokenReviewer,
    known: Cache<String, CallerVerdict>,
    turns: Semaphore,
}

enum TokenReviewer {
    ApiServer(Client),
    Endpoint { url: String, outbound: Box<CaCertFetcher> },
}

impl StreamCallers {
    pub(super) async fn new(args: &StreamArgs, client: Client) -> Result<Self, CaCertError> {
        let reviewer = match &args.tokenreview_endpoint {
            None => TokenReviewer::ApiServer(client),
            Some(url) => {
                // The operator has named it.
                let policy =
                    AddressPolicy { named: vec![NamedAddress::Anything], ..AddressPolicy::default() };
                let settings = FetchSettings { policy, ..FetchSettings::default() };
                let outbound = CaCertFetcher::new(args.tokenreview_ca_file.as_deref(), settings).await?;
                let url = url.trim_end_matches('/').to_owned();
                TokenReviewer::Endpoint { url, outbound: Box::new(outbound) }
            }
        };
        Ok(Self {
            accounts: args.gateway_accounts.iter().cloned().collect(),
            audience: args.stream_audience.clone(),
            reviewer,
            known: Cache::builder().max_capacity(MAX_REMEMBERED).time_to_live(REMEMBERED).build(),
            turns: Semaphore::new(AT_A_TIME),
        })
    }

    /// Fails unless the request comes from a gateway.
    pub(super) async fn check(&self, headers: &HeaderMap) -> Result<(), ApiStatus> {
        let token = bearer(headers).map_err(|_| UNAUTHORIZED)?;
        if token.expose_secret().is_empty() || token.expose_secret().len() > MAX_TOKEN {
            return Err(UNAUTHORIZED);
        }
        let key = sha256_hex(token.expose_secret().as_bytes());
        let verdict = if let Some(verdict) = self.known.get(&key) {
            verdict
        } else {
            let _turn = self.turns.try_acquire().map_err(|_| TOO_MANY)?;
            let verdict = self.review(&token).await?;
            self.known.insert(key, verdict);
            verdict
        };
        match verdict {
            CallerVerdict::Gateway => Ok(()),
            CallerVerdict::SomebodyElse => Err(FORBIDDEN),
            CallerVerdict::Nobody => Err(UNAUTHORIZED),
        }
    }

    async fn review(&self, token: &SecretString) -> Result<CallerVerdict, ApiStatus> {
        let audiences = vec![self.audience.clone()];
        let user = match &self.reviewer {
            TokenReviewer::ApiServer(client) => ask_api_server(client, token, &audiences).await?,
            TokenReviewer::Endpoint { url, outbound } => {
                ask_endpoint(url, outbound, token, &audiences).await?
            }
        };
        Ok(match user {
            None => CallerVerdict::Nobody,
            Some(user) if self.accounts.contains(&user) => CallerVerdict::Gateway,
            Some(user) => {
                info!(user, "refused documents to an account that is not among --gateway-accounts");
                CallerVerdict::SomebodyElse
            }
        })
    }
}

async fn ask_api_server(
    client: &Client,
    token: &SecretString,
    audiences: &[String],
) -> Result<Option<String>, ApiStatus> {
    let spec = TokenReviewSpec {
        token: Some(token.expose_secret().to_owned()),
        audiences: Some(audiences.to_vec()),
    };
    let question = TokenReview { spec, ..TokenReview::default() };
    let api: Api<TokenReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &question).await.map_err(|error| {
        warn!("a token of a gateway could not be reviewed: {}", brief(&error));
        UNAVAILABLE
    })?;
    let status = answer.status.unwrap_or_default();
    let meant = status.audiences.unwrap_or_default();
    let is_for_us = audiences.iter().any(|audience| meant.contains(audience));
    let authenticated = status.authenticated.unwrap_or_default() && is_for_us;
    Ok(status.user.and_then(|user| user.username).filter(|_| authenticated))
}

async fn ask_endpoint(
    url: &str,
    outbound: &CaCertFetcher,
    token: &SecretString,
    audiences: &[String],
) -> Result<Option<String>, ApiStatus> {
    let Ok(parsed) = UnverifiedToken::parse(token.expose_secret()) else { return Ok(None) };
    let remote =
        RemoteReviewer { name: "TOKENREVIEW_ENDPOINT", url, credential: None, fetcher: &outbound.fetcher };
    match review(remote, &parsed, audiences).await {
        Ok(status) => Ok(status.username_for(audiences)),
        Err(ReviewRefusal::Outage) => Err(UNAVAILABLE),
        Err(ReviewRefusal::Refused(refusal)) if refusal.is_transient() => Err(UNAVAILABLE),
        Err(ReviewRefusal::Refused(_)) => Ok(None),
    }
}
