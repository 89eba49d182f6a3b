//! An exchange from its question to its answer: the rules in their order, and the two things that are asked
//! of others, keys and `TokenRequest`.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use portolan_core::{
    auth::{TokenClaims, TokenRefusal, UnverifiedToken},
    names::{is_dns_label, is_dns_subdomain},
};
use portolan_runtime::{
    clock,
    limits::{RateLimit, RateSubject},
    telemetry::ErrorChain,
};
use secrecy::ExposeSecret as _;
use tracing::warn;

use crate::{
    accounts::{KnownAccount, UnreadAccount},
    audit::CallerFacts,
    binding::Binding,
    decide::{self, SourceToken},
    issuer::SourceIssuer,
    mint::{NotMinted, TokenOrder, mint},
    outcome::{ExchangeDenial, ExchangeWish, GrantedToken},
    state::{ConfigSnapshot, ExchangeState},
};

/// A wish that is to be granted.
#[derive(Debug)]
pub struct ApprovedExchange {
    account: Arc<KnownAccount>,
    pub binding: Arc<Binding>,
    pub lifetime: SignedDuration,
    now: Timestamp,
}

/// Decides, and has the new token made. `about` hears what is known of who asks.
pub async fn exchange(
    state: &ExchangeState,
    wish: &ExchangeWish,
    about: &mut CallerFacts,
) -> Result<GrantedToken, ExchangeDenial> {
    let snapshot = state.snapshot();
    if snapshot.address_rates.as_ref().is_some_and(|rates| !rates.allows(RateSubject::At(wish.from))) {
        return Err(ExchangeDenial::TooMany);
    }
    let ApprovedExchange { account, binding, lifetime, now } = decided(state, &snapshot, wish, about).await?;
    let order = TokenOrder {
        namespace: &wish.namespace,
        account: &wish.account,
        uid: &account.uid,
        lifetime,
        audiences: &binding.audiences,
    };
    let minted = mint(&state.target.client, order).await.map_err(|failure| of_mint(&failure, wish))?;
    Ok(GrantedToken { minted, now })
}

/// Decides alone: every rule, and no token.
pub async fn decided(
    state: &ExchangeState,
    snapshot: &ConfigSnapshot,
    wish: &ExchangeWish,
    about: &mut CallerFacts,
) -> Result<ApprovedExchange, ExchangeDenial> {
    let token = UnverifiedToken::parse(wish.token.expose_secret())?;
    let now = clock::now();
    let issuer = issuer(state, snapshot, &token, wish).await.inspect_err(|_| {
        about.unlisted = Some(token.unverified_issuer().to_owned());
    })?;
    about.issuer = Some(issuer.config.name().to_owned());
    let verified = issuer.verify(&token, now).await;
    if let (Err(TokenRefusal::Expired | TokenRefusal::NotYet), Ok(claims)) =
        (&verified, TokenClaims::unverified(&token))
    {
        // Its signature is right.
        about.take(&claims);
    }
    let claims = verified.map_err(|refusal| of_keys(snapshot, &issuer, refusal))?;
    about.take(&claims);
    check_rates(snapshot, &issuer, &claims)?;
    if !decide::is_short(&claims, issuer.config.max_source_lifetime) {
        return Err(ExchangeDenial::TooLong(issuer.config.max_source_lifetime));
    }
    let wanted = snapshot.config.audiences_of(&issuer.config);
    let source = SourceToken { token: &token, claims: &claims, wanted };
    let (account, binding) = bound(snapshot, wish, source).await.inspect_err(|denied| {
        if denied.label() == decide::FOR_OTHERS {
            about.wanted = wanted.to_vec();
        }
    })?;
    about.binding = Some(binding.key.clone());
    issuer.stands_by(&token, &claims).await.map_err(|refusal| of_keys(snapshot, &issuer, refusal))?;
    let lifetime = decide::lifetime(&binding, &claims, now);
    Ok(ApprovedExchange { account, binding, lifetime, now })
}

/// The issuer of a token, where its tokens are exchanged at all. Nothing is asked of anybody that no operator
/// and no binding named.
async fn issuer(
    state: &ExchangeState,
    snapshot: &ConfigSnapshot,
    token: &UnverifiedToken<'_>,
    wish: &ExchangeWish,
) -> Result<Arc<SourceIssuer>, ExchangeDenial> {
    let name = token.unverified_issuer();
    if let Some(issuer) = snapshot.issuer(name) {
        return Ok(Arc::clone(issuer));
    }
    if !snapshot.config.any_issuer || state.target.issuer.as_deref() == Some(name) {
        return Err(ExchangeDenial::Hidden("issuer"));
    }
    let account = account(snapshot, wish, false).await?;
    if !account.bindings.good.iter().any(|binding| binding.issuer == name) {
        return Err(ExchangeDenial::Hidden("issuer"));
    }
    state.unlisted(name).await.ok_or(ExchangeDenial::Hidden("issuer"))
}

/// An outage of an issuer that only an annotation names is hidden: it would tell that it is named.
fn of_keys(snapshot: &ConfigSnapshot, issuer: &SourceIssuer, refusal: TokenRefusal) -> ExchangeDenial {
    let listed = snapshot.issuers.contains_key(issuer.config.name());
    match ExchangeDenial::from(refusal) {
        ExchangeDenial::Unavailable(label) if !listed => ExchangeDenial::Hidden(label),
        denied => denied,
    }
}

/// Only after the signature was checked: nobody can use up the share of another.
fn check_rates(
    snapshot: &ConfigSnapshot,
    issuer: &SourceIssuer,
    claims: &TokenClaims,
) -> Result<(), ExchangeDenial> {
    let subject = claims.sub.as_deref().unwrap_or_default();
    let who = || RateSubject::Named(format!("{} {subject}", claims.iss));
    let caller = snapshot.caller_rates.as_ref().is_none_or(|rates| rates.allows(who()));
    if caller && issuer.rate.as_ref().is_none_or(RateLimit::allows) {
        Ok(())
    } else {
        Err(ExchangeDenial::TooMany)
    }
}

/// The account that is asked for, with the binding that the source meets. The watch may be a moment behind, so
/// a refusal is what the API server says now.
async fn bound(
    snapshot: &ConfigSnapshot,
    wish: &ExchangeWish,
    source: SourceToken<'_>,
) -> Result<(Arc<KnownAccount>, Arc<Binding>), ExchangeDenial> {
    let met = |account: Arc<KnownAccount>| match decide::matching(&account.bindings.good, source) {
        Ok(binding) => Ok((Arc::clone(&account), Arc::clone(binding))),
        Err(missing) => Err(ExchangeDenial::Hidden(missing)),
    };
    match account(snapshot, wish, false).await.and_then(met) {
        Err(ExchangeDenial::Hidden(_)) => account(snapshot, wish, true).await.and_then(met),
        found => found,
    }
}

/// The account that is asked for: as the watch has it, or, where nothing is watched or `now` is asked for, as
/// the API server has it.
pub async fn account(
    snapshot: &ConfigSnapshot,
    wish: &ExchangeWish,
    now: bool,
) -> Result<Arc<KnownAccount>, ExchangeDenial> {
    let ExchangeWish { namespace, account: name, .. } = wish;
    if !is_dns_label(namespace) || !is_dns_subdomain(name) {
        return Err(ExchangeDenial::Hidden("name"));
    }
    let accounts = snapshot.accounts_of(namespace).ok_or(ExchangeDenial::Hidden("namespace"))?;
    let found = if !now && accounts.are_followed() {
        Ok(accounts.known(namespace, name))
    } else {
        accounts.read(namespace, name).await
    };
    match found {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(ExchangeDenial::Hidden("account")),
        Err(UnreadAccount::Forbidden) => {
            warn!(namespace, "the exchange may not read the accounts of a listed namespace");
            Err(ExchangeDenial::Hidden("read_forbidden"))
        }
        Err(failure) => {
            warn!(namespace, "an account could not be read: {}", ErrorChain(&failure));
            Err(ExchangeDenial::Unavailable("cluster_unavailable"))
        }
    }
}

fn of_mint(failure: &NotMinted, wish: &ExchangeWish) -> ExchangeDenial {
    let ExchangeWish { namespace, account, .. } = wish;
    match failure {
        NotMinted::Refused(label, text) => {
            warn!(namespace, account, "no token was made: {text}");
            ExchangeDenial::Hidden(label)
        }
        NotMinted::Unavailable(text) => {
            warn!(namespace, account, "no token was made: {text}");
            ExchangeDenial::Unavailable("cluster_unavailable")
        }
        NotMinted::Nonsense => ExchangeDenial::Internal,
    }
}
