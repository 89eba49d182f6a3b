//! Callers: known by a client certificate or by a token that is reviewed itself, where callers are configured.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::future::join_all;
use http::HeaderMap;
use portolan_core::auth::{ReviewRequest, ReviewVersion, TokenRefusal, UnverifiedToken};
use portolan_runtime::{
    config::issuer::VerificationMode,
    limits::{RateLimit, RateSubject},
    server::{
        Peer,
        bearer::{NoBearer, bearer},
    },
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{App, problem::RequestProblem};
use crate::{
    cluster::Cluster,
    config::{CallerConfig, CallerProof},
    review::{ReviewQuestion, ReviewTarget, ReviewVerdict, decide::choose},
    state::ConfigSnapshot,
};

/// Somebody who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The configured caller; none where anybody may ask.
    pub(super) config: Option<Arc<CallerConfig>>,
    /// Name of the caller in the audit.
    pub(super) name: Arc<str>,
    peer: Peer,
}

impl Caller {
    /// Finds out who asks.
    pub(super) async fn identify(
        app: &App,
        snapshot: &Arc<ConfigSnapshot>,
        peer: Peer,
        headers: &HeaderMap,
    ) -> Result<Self, RequestProblem> {
        if snapshot.config.callers.is_empty() {
            return Ok(Self { config: None, name: peer.address.ip().to_string().into(), peer });
        }
        let name = peer.certificate.as_ref().map(|subject| subject.common_name.as_str());
        let by_certificate = snapshot.config.callers.iter().find(
            |caller| matches!(&caller.proof, CallerProof::Certificate(wanted) if Some(wanted.as_str()) == name),
        );
        let found = match by_certificate {
            Some(found) => Some(Arc::clone(found)),
            None => by_token(app, snapshot, shown(headers)?).await?,
        };
        let config = found.ok_or(RequestProblem::Unauthenticated)?;
        Ok(Self { name: config.name.as_str().into(), config: Some(config), peer })
    }

    /// Checks that the caller may ask about a cluster; about any of them where none is named.
    pub(super) fn may_ask(&self, cluster: Option<&str>) -> Result<(), RequestProblem> {
        let Some(clusters) = self.config.as_ref().and_then(|config| config.clusters.as_ref()) else {
            return Ok(());
        };
        let allowed = cluster.is_some_and(|cluster| clusters.contains(cluster));
        if allowed { Ok(()) } else { Err(RequestProblem::Forbidden) }
    }

    /// Checks rights and rates of the caller for a request now.
    pub(super) fn may_ask_now(
        &self,
        snapshot: &ConfigSnapshot,
        cluster: Option<&str>,
    ) -> Result<(), RequestProblem> {
        let who = || match &self.config {
            Some(config) => RateSubject::Named(config.name.clone()),
            None => RateSubject::At(self.peer.address.ip()),
        };
        let caller = snapshot.caller_rates.as_ref().is_none_or(|rates| rates.allows(who()));
        let cluster = cluster.and_then(|name| snapshot.clusters.get(name));
        if caller && cluster.is_none_or(|cluster| may_be_asked(cluster)) {
            Ok(())
        } else {
            Err(RequestProblem::TooMany)
        }
    }
}

/// Checks the rate of the cluster that the token itself chooses: nothing has checked it before.
pub(super) fn may_ask_about_chosen(
    snapshot: &ConfigSnapshot,
    request: &ReviewRequest,
) -> Result<(), RequestProblem> {
    let token = UnverifiedToken::parse(request.token.expose_secret());
    let chosen = token.and_then(|token| choose(snapshot, ReviewTarget::Auto, &token));
    if chosen.is_ok_and(|cluster| !may_be_asked(cluster)) { Err(RequestProblem::TooMany) } else { Ok(()) }
}

fn may_be_asked(cluster: &Cluster) -> bool {
    cluster.rate.as_ref().is_none_or(RateLimit::allows)
}

/// The caller whose token it is. Only clusters that may know the token are asked, and side by side.
async fn by_token(
    app: &App,
    snapshot: &Arc<ConfigSnapshot>,
    token: Option<SecretString>,
) -> Result<Option<Arc<CallerConfig>>, RequestProblem> {
    let Some(token) = token else { return Ok(None) };
    let Ok(parsed) = UnverifiedToken::parse(token.expose_secret()) else { return Ok(None) };
    let may_know = that_may_know(snapshot, &parsed).await?;
    let places = snapshot.config.callers.iter().filter_map(|caller| place(caller));
    let places: BTreeSet<_> = places.filter(|(cluster, _)| may_know.contains(cluster)).collect();
    let ask = async |(cluster, audience)| {
        ((cluster, audience), verdict_of(app, snapshot, &token, (cluster, audience)).await)
    };
    let verdicts: BTreeMap<_, _> = join_all(places.into_iter().map(ask)).await.into_iter().collect();
    let is_theirs = |caller: &&Arc<CallerConfig>| {
        let CallerProof::ServiceAccount { username, .. } = &caller.proof else { return false };
        let verdict = place(caller).and_then(|place| verdicts.get(&place));
        verdict.is_some_and(|verdict| verdict.username() == Some(username))
    };
    if let Some(caller) = snapshot.config.callers.iter().find(is_theirs) {
        return Ok(Some(Arc::clone(caller)));
    }
    let unsure = verdicts.values().any(|verdict| verdict.refusal().is_some_and(TokenRefusal::is_transient));
    if unsure { Err(RequestProblem::CallerUnknown) } else { Ok(None) }
}

/// The cluster and the audience that a caller shows a token for.
fn place(caller: &CallerConfig) -> Option<(&str, &str)> {
    match &caller.proof {
        CallerProof::ServiceAccount { cluster, audience, .. } => Some((cluster, audience)),
        CallerProof::Certificate(_) => None,
    }
}

/// The clusters that a token can be of. A token is sent to no other one: who sees it can use it.
async fn that_may_know<'a>(
    snapshot: &'a ConfigSnapshot,
    token: &UnverifiedToken<'_>,
) -> Result<BTreeSet<&'a str>, RequestProblem> {
    let of_issuer = snapshot.by_issuer.get(token.unverified_issuer()).map(Vec::as_slice).unwrap_or_default();
    let name = |cluster: &&'a Arc<Cluster>| cluster.config.name.as_str();
    if let [only] = of_issuer {
        return Ok([name(&only)].into());
    }
    let has_key = |cluster: &&Arc<Cluster>| token.unverified_key_id().is_some_and(|id| cluster.has_key(id));
    let mut with_key: Vec<_> = of_issuer.iter().filter(has_key).collect();
    if with_key.is_empty() {
        // It may be the first token of a new key.
        join_all(of_issuer.iter().map(|cluster| cluster.jwks.newer())).await;
        with_key = of_issuer.iter().filter(has_key).collect();
    }
    // What is checked by keys alone is sent to nobody.
    let by_keys = with_key.iter().filter(|cluster| cluster.config.mode == VerificationMode::Jwks);
    let by_keys: BTreeSet<_> = by_keys.map(name).collect();
    let all_known = of_issuer.iter().all(|cluster| cluster.jwks.keys().is_some());
    match with_key.as_slice() {
        [_, ..] if !by_keys.is_empty() => Ok(by_keys),
        // Any cluster can publish the key of another one.
        [only] if all_known => Ok([name(only)].into()),
        [_, _, ..] => Ok(BTreeSet::new()),
        [] if !of_issuer.iter().any(|cluster| cluster.jwks.is_in_doubt()) => Ok(BTreeSet::new()),
        [] | [_] => Err(RequestProblem::CallerUnknown),
    }
}

/// The verdict of a cluster's own rules on a caller's token.
async fn verdict_of(
    app: &App,
    snapshot: &Arc<ConfigSnapshot>,
    token: &SecretString,
    (cluster, audience): (&str, &str),
) -> Arc<ReviewVerdict> {
    let audiences = vec![audience.to_owned()];
    let request = ReviewRequest { version: ReviewVersion::V1, token: token.clone(), audiences };
    let question = ReviewQuestion {
        snapshot,
        target: ReviewTarget::Cluster(cluster),
        route: None,
        caller: &Arc::from("-"),
        any_audience: false,
        request: &request,
    };
    app.reviewer.verdict(&question).await
}

/// The bearer token of a request. Two of them are none.
fn shown(headers: &HeaderMap) -> Result<Option<SecretString>, RequestProblem> {
    match bearer(headers) {
        Ok(token) => Ok(Some(token)),
        Err(NoBearer::Several) => Err(RequestProblem::Unauthenticated),
        Err(NoBearer::Missing | NoBearer::Scheme) => Ok(None),
    }
}
