//! The decision itself: which cluster, which keys, which audiences, whose word counts.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use portolan_core::auth::{
    Claims, Identity, Keys, Refusal, UnverifiedToken, audience::intersection, claims::NumericDate,
    refusal::Unavailable,
};
use portolan_runtime::jwks::Jwks;

use super::{Target, remote};
use crate::{
    cluster::Cluster,
    config::{ClusterConfig, Mode},
    state::Snapshot,
};

/// Says in `hybrid` mode whose word it was.
const CHECKED_BY: &str = "portolan/checked-by";
/// An audience that stands for every one.
const ANY: &str = "*";

/// Whom a token must be for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// What the cluster's configuration says.
    Default,
    /// Anybody.
    Any,
    /// One of these.
    These(&'a [String]),
}

impl<'a> Wanted<'a> {
    /// The audiences to look for; none means that every one will do.
    fn of(self, cluster: &'a Cluster) -> Option<&'a [String]> {
        match self {
            Self::Any => None,
            Self::These(audiences) => Some(audiences),
            Self::Default => Some(cluster.default_audiences()).filter(|audiences| *audiences != [ANY]),
        }
    }
}

/// A decision.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The cluster, where there is one.
    pub(crate) cluster: Option<Arc<ClusterConfig>>,
    pub(crate) outcome: Result<Accepted, Refusal>,
    /// How long it may be given again.
    pub(crate) keep_for: Duration,
}

impl Decision {
    /// The cluster, or nothing where there is none.
    pub(crate) fn cluster(&self) -> &str {
        self.cluster.as_ref().map_or("", |cluster| &cluster.name)
    }

    /// How the cluster's tokens are checked.
    pub(crate) fn mode(&self) -> &'static str {
        self.cluster.as_ref().map_or("", |cluster| cluster.mode.label())
    }
}

/// A token that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) identity: Identity,
    pub(crate) audiences: Vec<String>,
    /// Id of the token, where it has one.
    pub(crate) token_id: Option<String>,
    /// End of the token, where it has one.
    pub(crate) end: Option<NumericDate>,
}

pub(crate) async fn decide(
    snapshot: &Snapshot,
    target: Target<'_>,
    token: &UnverifiedToken<'_>,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Decision {
    let chosen = match choose(snapshot, target, token) {
        Err(Refusal::NoCluster) => choose_anew(snapshot, target, token).await,
        chosen => chosen,
    };
    let cluster = match chosen {
        Ok(cluster) => cluster,
        Err(refusal) => {
            return Decision { cluster: None, outcome: Err(refusal), keep_for: Duration::ZERO };
        }
    };
    let outcome = match cluster.config.mode {
        Mode::Jwks => by_keys(cluster, token, wanted, now).await,
        Mode::Review => by_review(cluster, token, wanted).await,
        Mode::Hybrid => by_both(cluster, token, wanted, now).await,
    };
    let end = outcome.as_ref().ok().and_then(|accepted| accepted.end);
    // Never beyond the end of the token, whatever the leeway.
    let left = end.map_or(u64::MAX, |end| u64::try_from(end.0 - now.as_second()).unwrap_or(0));
    let keep_for = cluster.config.cache_for.min(Duration::from_secs(left));
    Decision { cluster: Some(Arc::clone(&cluster.config)), outcome, keep_for }
}

/// The cluster of a question. The automatic choice looks at what is in memory only.
pub(crate) fn choose<'a>(
    snapshot: &'a Snapshot,
    target: Target<'_>,
    token: &UnverifiedToken<'_>,
) -> Result<&'a Arc<Cluster>, Refusal> {
    if let Target::Cluster(name) = target {
        return snapshot.clusters.get(name).ok_or_else(|| Refusal::ClusterNotFound(name.to_owned()));
    }
    let key_id = token.unverified_key_id().ok_or(Refusal::NoCluster)?;
    let of_issuer = snapshot.by_issuer.get(token.unverified_issuer()).ok_or(Refusal::NoCluster)?;
    let mut candidates = of_issuer.iter().filter(|cluster| cluster.has_key(key_id));
    match (candidates.next(), candidates.next()) {
        (Some(cluster), None) => Ok(cluster),
        // Two clusters with one issuer and one key cannot be told apart.
        _ => Err(Refusal::NoCluster),
    }
}

/// The automatic choice once more, after the issuer was asked for newer keys: the token may be the first of a
/// new one. That is done once per cooldown, whoever asks.
async fn choose_anew<'a>(
    snapshot: &'a Snapshot,
    target: Target<'_>,
    token: &UnverifiedToken<'_>,
) -> Result<&'a Arc<Cluster>, Refusal> {
    let of_issuer = snapshot.by_issuer.get(token.unverified_issuer()).ok_or(Refusal::NoCluster)?;
    let Some(key_id) = token.unverified_key_id() else { return Err(Refusal::NoCluster) };
    if of_issuer.iter().any(|cluster| cluster.has_key(key_id)) {
        return Err(Refusal::NoCluster);
    }
    join_all(of_issuer.iter().map(|cluster| cluster.jwks.newer())).await;
    let chosen = choose(snapshot, target, token);
    // The one whose keys nobody has, or could get now, may be its own.
    let unsure = chosen.is_err() && of_issuer.iter().any(|cluster| cluster.jwks.is_in_doubt());
    if unsure { Err(Refusal::Unavailable(Unavailable::Issuer)) } else { chosen }
}

async fn by_keys(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    if token.claims_to_be_legacy() {
        return Err(Refusal::Legacy);
    }
    let claims = verified(cluster, token, now).await?;
    let identity = Identity::of(&claims)?;
    let any = matches!(wanted, Wanted::Any);
    let wanted = wanted.of(cluster);
    let common = wanted.map_or_else(|| claims.aud.0.clone(), |wanted| intersection(wanted, &claims.aud.0));
    if common.is_empty() && !any {
        return Err(Refusal::Audience { token: claims.aud.0, wanted: wanted.unwrap_or_default().to_vec() });
    }
    Ok(Accepted { identity, audiences: common, token_id: claims.jti, end: claims.exp })
}

/// The claims of a token that a key of the cluster has signed. Newer keys are asked for when none has its id.
pub(crate) async fn verified(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    now: Timestamp,
) -> Result<Claims, Refusal> {
    if token.unverified_issuer() != cluster.config.issuer {
        return Err(Refusal::Issuer);
    }
    let check = |keys: &Keys| keys.verify(token, &cluster.rules(), now);
    let Some(keys) = cluster.jwks.keys() else {
        let keys = cluster.jwks.newer().await.ok_or(Refusal::Unavailable(Unavailable::Issuer))?;
        return check(&keys);
    };
    match check(&keys) {
        Err(Refusal::UnknownKey) if token.unverified_key_id().is_some() => {
            let newer = cluster.jwks.newer().await;
            let checked = newer.map_or(Err(Refusal::UnknownKey), |newer| check(&newer));
            unless_in_doubt(&cluster.jwks, checked)
        }
        Err(Refusal::Signature) => {
            // The key may have changed under its id. Who asks next finds out.
            cluster.jwks.hint();
            Err(Refusal::Signature)
        }
        result => result,
    }
}

/// An issuer that does not answer may have the key that a token names.
pub(crate) fn unless_in_doubt<T>(jwks: &Jwks, checked: Result<T, Refusal>) -> Result<T, Refusal> {
    match checked {
        Err(Refusal::UnknownKey) if jwks.is_in_doubt() => Err(Refusal::Unavailable(Unavailable::Issuer)),
        checked => checked,
    }
}

async fn by_review(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    wanted: Wanted<'_>,
) -> Result<Accepted, Refusal> {
    if !token.claims_to_be_legacy() && token.unverified_issuer() != cluster.config.issuer {
        // A token of somebody else is not shown to this cluster.
        return Err(Refusal::Issuer);
    }
    let named = Identity::unverified(token)?;
    let claims = Claims::unverified(token)?;
    let wanted = match wanted {
        // What the API server itself takes for its audience.
        Wanted::Default if cluster.config.audiences.is_none() => &[],
        _ => wanted.of(cluster).unwrap_or(&claims.aud.0),
    };
    let answer = remote::review_at(cluster, token, wanted).await;
    cluster.reviewed(!matches!(answer, Err(Refusal::Unavailable(_))));
    let (identity, audiences) = remote::agreed(answer?, &named, &claims.aud.0, wanted)?;
    // The cluster has vouched for the claims.
    Ok(Accepted { identity, audiences, token_id: claims.jti, end: claims.exp })
}

async fn by_both(
    cluster: &Cluster,
    token: &UnverifiedToken<'_>,
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<Accepted, Refusal> {
    let mut by_keys = by_keys(cluster, token, wanted, now).await?;
    let asked = &by_keys.audiences;
    let answer = remote::review_at(cluster, token, asked).await;
    let outage = cluster.reviewed(!matches!(answer, Err(Refusal::Unavailable(_))));
    let whose = match answer {
        Ok(answer) => {
            let (identity, audiences) = remote::agreed(answer, &by_keys.identity, asked, asked)?;
            by_keys = Accepted { identity, audiences, ..by_keys };
            "review"
        }
        Err(Refusal::Unavailable(_)) if cluster.keys_may_decide(outage) => "keys-during-outage",
        Err(refusal) => return Err(refusal),
    };
    by_keys.identity.extra.insert(CHECKED_BY.into(), vec![whose.to_owned()]);
    Ok(by_keys)
}
