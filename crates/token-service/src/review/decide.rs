//! The decision itself: which cluster, which keys, which audiences, whose word counts.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use portolan_core::auth::{
    IssuerKeys, TokenClaims, TokenRefusal, UnverifiedToken, UserIdentity, claims::NumericDate,
    refusal::Unavailable,
};
use portolan_runtime::{
    config::issuer::VerificationMode,
    token_review::{self, ReviewRefusal},
};
use tokio::time::Instant;

use super::{
    audiences::{Audiences, Wanted},
    question::{Accepted, ReviewDecision, ReviewTarget},
    remote,
};
use crate::{cluster::Cluster, state::ConfigSnapshot};

/// Names the side that decided in `hybrid` mode.
const CHECKED_BY: &str = "portolan/checked-by";

pub async fn decide(
    snapshot: &ConfigSnapshot,
    target: ReviewTarget<'_>,
    token: &UnverifiedToken<'_>,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> ReviewDecision {
    let chosen = match choose(snapshot, target, token) {
        Err(TokenRefusal::NoCluster) => choose_anew(snapshot, target, token).await,
        chosen => chosen,
    };
    let cluster = match chosen {
        Ok(cluster) => cluster,
        Err(refusal) => {
            return ReviewDecision { cluster: None, outcome: Err(refusal), keep_for: Duration::ZERO };
        }
    };
    let audiences = Audiences::of(wanted, cluster);
    let outcome = if token.claims_to_be_of(&cluster.config.issuers) {
        match cluster.config.mode {
            VerificationMode::Jwks => by_keys(cluster, token, audiences, now).await,
            VerificationMode::Review => by_review(cluster, token, audiences).await,
            VerificationMode::Hybrid => by_both(cluster, token, audiences, now).await,
        }
    } else {
        // A token of somebody else is not shown to this cluster.
        Err(TokenRefusal::Issuer)
    };
    let accepted = outcome.as_ref().ok();
    // Never beyond the end of the token, whatever the leeway.
    let left = accepted.and_then(|accepted| accepted.end).map_or(Duration::MAX, |end| left(end, now));
    let limit = accepted.and_then(|accepted| accepted.keep_for).unwrap_or(Duration::MAX);
    let keep_for = cluster.config.cache_for.min(left).min(limit);
    ReviewDecision { cluster: Some(Arc::clone(&cluster.config)), outcome, keep_for }
}

fn left(end: NumericDate, now: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(end.0 - now.as_second()).unwrap_or(0))
}

/// The cluster of a question. The automatic choice looks at what is in memory only.
pub fn choose<'a>(
    snapshot: &'a ConfigSnapshot,
    target: ReviewTarget<'_>,
    token: &UnverifiedToken<'_>,
) -> Result<&'a Arc<Cluster>, TokenRefusal> {
    if let ReviewTarget::Cluster(name) = target {
        return snapshot.clusters.get(name).ok_or_else(|| TokenRefusal::ClusterNotFound(name.to_owned()));
    }
    let key_id = token.unverified_key_id().ok_or(TokenRefusal::NoCluster)?;
    let of_issuer = snapshot.by_issuer.get(token.unverified_issuer()).ok_or(TokenRefusal::NoCluster)?;
    let mut candidates = of_issuer.iter().filter(|cluster| cluster.has_key(key_id));
    match (candidates.next(), candidates.next()) {
        (Some(cluster), None) => Ok(cluster),
        // Two clusters with one issuer and one key cannot be told apart.
        _ => Err(TokenRefusal::NoCluster),
    }
}

/// The automatic choice once more, after the issuer was asked for newer keys: the token may be the first of a
/// new one. That is done once per cooldown, whoever asks.
async fn choose_anew<'a>(
    snapshot: &'a ConfigSnapshot,
    target: ReviewTarget<'_>,
    token: &UnverifiedToken<'_>,
) -> Result<&'a Arc<Cluster>, TokenRefusal> {
    let of_issuer = snapshot.by_issuer.get(token.unverified_issuer()).ok_or(TokenRefusal::NoCluster)?;
    let Some(key_id) = token.unverified_key_id() else { return Err(TokenRefusal::NoCluster) };
    if of_issuer.iter().any(|cluster| cluster.has_key(key_id)) {
        return Err(TokenRefusal::NoCluster);
    }
    join_all(of_issuer.iter().map(|cluster| cluster.jwks.newer())).await;
    let chosen = choose(snapshot, target, token);
    // The one whose keys nobody has, or could get now, may be its own.
    let unsure = chosen.is_err() && of_issuer.iter().any(|cluster| cluster.jwks.is_in_doubt());
    if unsure { Err(TokenRefusal::Unavailable(Unavailable::Issuer)) } else { chosen }
}

async fn by_keys(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    audiences: Audiences<'_>,
    now: Timestamp,
) -> Result<Accepted, TokenRefusal> {
    let (identity, claims) = known_by_keys(cluster, token, now).await?;
    let audiences = audiences.met(&claims.aud.0)?;
    Ok(Accepted { identity, audiences, token_id: claims.jti, end: claims.exp, keep_for: None })
}

/// Finds the holder of a token, as far as keys can tell.
async fn known_by_keys(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    now: Timestamp,
) -> Result<(UserIdentity, TokenClaims), TokenRefusal> {
    if token.claims_to_be_legacy() {
        return Err(TokenRefusal::Legacy);
    }
    let claims = verified(cluster, token, now).await?;
    Ok((UserIdentity::of(&claims)?, claims))
}

/// The claims of a token that a key of the cluster has signed. Newer keys are asked for when none has its id.
async fn verified(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    now: Timestamp,
) -> Result<TokenClaims, TokenRefusal> {
    let check = |keys: &IssuerKeys| keys.verify(token, &cluster.rules(), now);
    let Some(keys) = cluster.jwks.keys() else {
        let keys = cluster.jwks.newer().await.ok_or(TokenRefusal::Unavailable(Unavailable::Issuer))?;
        return check(&keys);
    };
    match check(&keys) {
        Err(TokenRefusal::UnknownKey) if token.unverified_key_id().is_some() => {
            let newer = cluster.jwks.newer().await;
            let checked = newer.map_or(Err(TokenRefusal::UnknownKey), |newer| check(&newer));
            cluster.jwks.unless_in_doubt(checked)
        }
        Err(TokenRefusal::Signature) => {
            // The key may have changed under its id. Who asks next finds out.
            cluster.jwks.hint();
            Err(TokenRefusal::Signature)
        }
        result => result,
    }
}

async fn by_review(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    audiences: Audiences<'_>,
) -> Result<Accepted, TokenRefusal> {
    let named = UserIdentity::unverified(token)?;
    let claims = TokenClaims::unverified(token)?;
    let asked = audiences.asked(&claims.aud.0);
    let answer = remote::review_at(cluster, token, &asked).await;
    let agreed = answer.and_then(|answer| token_review::agreed(answer, &named, &claims.aud.0, &asked));
    let (identity, audiences) = agreed.map_err(TokenRefusal::from)?;
    // The cluster has vouched for the claims.
    Ok(Accepted { identity, audiences, token_id: claims.jti, end: claims.exp, keep_for: None })
}

async fn by_both(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    audiences: Audiences<'_>,
    now: Timestamp,
) -> Result<Accepted, TokenRefusal> {
    let (identity, claims) = known_by_keys(cluster, token, now).await?;
    let of_token = &claims.aud.0;
    let asked = match audiences {
        Audiences::ApiServer(_) => Vec::new(),
        audiences => audiences.met(of_token)?,
    };
    let answer = remote::review_at(cluster, token, &asked).await;
    let agreed = answer.and_then(|answer| token_review::agreed(answer, &identity, of_token, &asked));
    let (mut identity, audiences, whose, keep_for) = match agreed {
        Ok((identity, audiences)) => {
            cluster.outages.answered(token.text());
            (identity, audiences, "review", None)
        }
        Err(ReviewRefusal::Outage) => {
            let left = claims.exp.map_or(Duration::ZERO, |end| left(end, now));
            let alone = cluster.keys_may_decide(token, left, Instant::now());
            let alone = alone.ok_or(TokenRefusal::Unavailable(Unavailable::Cluster))?;
            (identity, audiences.met(of_token)?, "keys-during-outage", Some(alone))
        }
        Err(ReviewRefusal::Refused(refusal)) => {
            if !refusal.is_transient() {
                cluster.outages.answered(token.text());
            }
            return Err(refusal);
        }
    };
    identity.extra.insert(CHECKED_BY.into(), vec![whose.to_owned()]);
    Ok(Accepted { identity, audiences, token_id: claims.jti, end: claims.exp, keep_for })
}
