//! `token-service explain`: which cluster a token belongs to, and which rule accepts or refuses it.

use std::{fmt::Write as _, io::Read as _, process::ExitCode, sync::Arc, time::Duration};

use portolan_core::auth::{Refusal, UnverifiedToken};
use portolan_runtime::{clock, process, tasks::Tasks};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{sleep, timeout};

use crate::{
    args::{ExplainArgs, ServiceArgs},
    cluster::Cluster,
    host,
    review::{
        Target, Wanted,
        decide::{choose, decide},
    },
    routing::{self, Route},
    state::{Snapshot, State},
};

const PATIENCE: Duration = Duration::from_secs(6);
/// Where questions go.
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

pub(crate) fn run(service: &ServiceArgs, explain: &ExplainArgs) -> ExitCode {
    process::run_command(&service.log, || async {
        let mut token = String::new();
        std::io::stdin().read_to_string(&mut token)?;
        let token = SecretString::from(token.trim());
        let tasks = Tasks::default();
        let (own, own_api_server) = crate::own_cluster(service).await;
        let state = State::load(service.config.clone(), own_api_server, &tasks).await?;
        crate::take_kept(&state, own.map(|client| service.secret(client)).as_ref()).await;
        let snapshot = state.snapshot();
        let text = explained(&snapshot, explain, token.expose_secret()).await;
        tasks.cancel();
        print(&text);
        Ok(())
    })
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn print(text: &str) {
    print!("{text}");
}

async fn explained(snapshot: &Arc<Snapshot>, args: &ExplainArgs, token: &str) -> String {
    let parsed = match UnverifiedToken::parse(token) {
        Ok(parsed) => parsed,
        Err(refusal) => return format!("form       refused: {refusal} ({})\n", refusal.label()),
    };
    wait_for_keys(snapshot).await;
    let mut text = String::from("form       compact JWS\n");
    // Writing to a text does not fail.
    let _ = writeln!(text, "algorithm  {:?}", parsed.unverified_algorithm());
    let _ = writeln!(text, "issuer     {:?} (claimed)", parsed.unverified_issuer());
    let _ = writeln!(text, "key id     {:?} (claimed)", parsed.unverified_key_id().unwrap_or("none"));
    let host = args.host.as_deref().and_then(host::normalized);
    let named = args.cluster.as_deref().or_else(|| host.as_deref().and_then(host::cluster_of));
    let target = named.map_or(Target::Auto, Target::Cluster);
    for cluster in snapshot.clusters.values() {
        let _ = writeln!(text, "cluster    {}: {}", cluster.config.name, candidate(cluster, &parsed));
    }
    if let Err(refusal) = choose(snapshot, target, &parsed) {
        let _ = writeln!(text, "chosen     none: {refusal} ({})", refusal.label());
        return text;
    }
    let wanted = if args.audiences.is_empty() { Wanted::Default } else { Wanted::These(&args.audiences) };
    let decision = decide(snapshot, target, &parsed, wanted, clock::now()).await;
    let _ = writeln!(text, "chosen     {} (mode {})", decision.cluster(), decision.mode());
    let name = decision.cluster().to_owned();
    match decision.outcome {
        Ok(accepted) => {
            let route = route(snapshot, args, host.as_deref());
            let said = route.map_or_else(|| "none".to_owned(), |route| route.matcher.to_string());
            let identity = routing::passed_on(accepted.identity, &name, route);
            let _ = writeln!(text, "verdict    authenticated");
            let _ = writeln!(text, "route      {said}");
            let _ = writeln!(text, "user       {:?}", identity.username);
            let _ = writeln!(text, "uid        {:?}", identity.uid);
            let _ = writeln!(text, "groups     {:?}", identity.groups);
            let _ = writeln!(text, "audiences  {:?}", accepted.audiences);
            let _ = writeln!(text, "extra      {:?}", identity.extra);
        }
        Err(refusal) => {
            let _ = writeln!(text, "verdict    refused by rule {}: {refusal}", refusal.label());
            let _ = writeln!(text, "cure       {}", cure(&refusal));
        }
    }
    text
}

/// The route of a question by the host that is named, or else by path.
fn route<'a>(snapshot: &'a Snapshot, args: &ExplainArgs, host: Option<&str>) -> Option<&'a Route> {
    let path = match (host, &args.cluster) {
        (None, Some(cluster)) => format!("/clusters/{cluster}{REVIEWS}"),
        (None, None) => format!("/auto{REVIEWS}"),
        (Some(_), _) => REVIEWS.to_owned(),
    };
    let caller = args.caller.as_ref();
    let caller = snapshot.config.callers.iter().find(|known| Some(&known.name) == caller);
    let is_for = |route: &&Arc<Route>| route.is_for(host, &path, caller.map(|caller| &**caller));
    snapshot.config.routes.iter().find(is_for).map(|route| &**route)
}

async fn wait_for_keys(snapshot: &Snapshot) {
    let loaded = async {
        while snapshot.clusters.values().any(|cluster| {
            let status = cluster.jwks.status();
            status.succeeded + status.failed == 0
        }) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    // Those that do not answer are shown as such.
    let _ = timeout(PATIENCE, loaded).await;
}

fn candidate(cluster: &Cluster, token: &UnverifiedToken<'_>) -> String {
    if cluster.config.issuer != token.unverified_issuer() {
        return "another issuer".to_owned();
    }
    let Some(keys) = cluster.jwks.keys() else {
        let error = cluster.jwks.status().error.unwrap_or_else(|| "no answer yet".to_owned());
        return format!("same issuer, no keys: {error}");
    };
    match token.unverified_key_id() {
        Some(id) if keys.has(id) => "same issuer, has the key".to_owned(),
        _ => "same issuer, has not the key".to_owned(),
    }
}

/// What a person can do about a refusal.
pub(crate) const fn cure(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed | Refusal::TooLarge | Refusal::Legacy => {
            "use a token of TokenRequest or of a projected volume"
        }
        Refusal::Algorithm | Refusal::Signature | Refusal::UnknownKey => {
            "the token is not signed by a key that the cluster publishes; ask the cluster that issued it"
        }
        Refusal::Issuer | Refusal::NoCluster => "ask for the cluster that issued it, by host name or path",
        Refusal::Expired => "get a new token",
        Refusal::NotYet => "compare the clocks of the cluster and of this machine",
        Refusal::Audience { .. } => {
            "request the token for this audience, or name the audience in the question"
        }
        Refusal::Identity => "only tokens of service accounts are accepted",
        Refusal::Revoked => "its pod or service account is gone; get a new token",
        Refusal::Contradiction => "the cluster's API server does not do what Kubernetes does",
        Refusal::ClusterNotFound(_) => "add the cluster to the configuration",
        Refusal::Unavailable(_) => "run `token-service check` to see what cannot be reached",
    }
}
