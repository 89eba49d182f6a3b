//! `token-service explain`: which cluster a token belongs to, and which rule accepts or refuses it.

use std::{fmt::Write as _, process::ExitCode, sync::Arc};

use portolan_core::{
    auth::{ReviewVersion, UnverifiedToken},
    text::differing,
};
use portolan_runtime::{clock, explain, process, tasks::Tasks};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    args::{ExplainArgs, ServiceArgs},
    cluster::Cluster,
    config::{CallerConfig, ServiceConfig},
    host,
    identity_mapping::{self, Choice},
    mapping::IdentityMapping,
    review::{
        ReviewTarget, Wanted,
        decide::{choose, decide},
    },
    state::{ConfigSnapshot, ServiceState},
};

/// The remedy where nobody could be asked.
const OUTAGE: &str = "run `token-service check` to see what cannot be reached";

pub fn run(service: &ServiceArgs, args: &ExplainArgs) -> ExitCode {
    explain::run(&service.log, |token| said(service, args, token))
}

async fn said(
    service: &ServiceArgs,
    args: &ExplainArgs,
    token: SecretString,
) -> Result<String, process::ProcessFailure> {
    let tasks = Tasks::default();
    let (own, own_api_server) = crate::own_cluster(service).await;
    let state = ServiceState::load(service.config.clone(), own_api_server, &tasks).await?;
    crate::take_kept(&state, own.map(|client| service.secret(client)).as_ref()).await;
    let snapshot = state.snapshot();
    let text = explained(&snapshot, args, token.expose_secret()).await;
    tasks.cancel();
    Ok(text)
}

async fn explained(snapshot: &Arc<ConfigSnapshot>, args: &ExplainArgs, token: &str) -> String {
    let parsed = match UnverifiedToken::parse(token) {
        Ok(parsed) => parsed,
        Err(refusal) => return format!("form       refused: {refusal} ({})\n", refusal.label()),
    };
    explain::wait_for_keys(snapshot.clusters.values().map(|cluster| &*cluster.jwks)).await;
    let mut text = String::from("form       compact JWS\n");
    // Writing to a text does not fail.
    let _ = writeln!(text, "algorithm  {:?}", parsed.unverified_algorithm());
    let _ = writeln!(text, "issuer     {:?} (claimed)", parsed.unverified_issuer());
    let _ = writeln!(text, "key id     {:?} (claimed)", parsed.unverified_key_id().unwrap_or("none"));
    let host = args.host.as_deref().and_then(host::normalized);
    text.push_str(&notes(&snapshot.config, args));
    for cluster in snapshot.clusters.values() {
        let _ = writeln!(text, "cluster    {}: {}", cluster.config.name, candidate(cluster, &parsed));
    }
    let Some(target) = target(&snapshot.config, args, host.as_deref()) else {
        text.push_str(
            "chosen     none: unable to determine cluster from host header (the service answers 400)\n",
        );
        return text;
    };
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
            let route = route(&snapshot.config, args, host.as_deref());
            let said = route.map_or_else(|| "none".to_owned(), |route| route.matcher.to_string());
            let identity = identity_mapping::passed_on(accepted.identity, &name, route);
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
            let _ = writeln!(text, "cure       {}", refusal.cure().unwrap_or(OUTAGE));
        }
    }
    text
}

/// Notes on options of the command line that the configuration does not know.
fn notes(config: &ServiceConfig, args: &ExplainArgs) -> String {
    let mut text = String::new();
    if args.host.is_none() && args.cluster.is_none() && config.auto.is_none() {
        text.push_str(
            "note       auto is not configured: the service answers this token by host or path only\n",
        );
    }
    if let Some(name) = args.caller.as_ref().filter(|_| caller(config, args).is_none()) {
        let known: Vec<_> = config.callers.iter().map(|caller| caller.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        // Writing to a text does not fail.
        let _ = writeln!(text, "caller     {name:?} is not configured; there are: {known}");
    }
    text
}

/// The place at which the question would name its cluster.
fn choice(args: &ExplainArgs) -> Choice {
    match (&args.cluster, &args.host) {
        (Some(cluster), _) => Choice::Path(cluster.clone()),
        (None, Some(_)) => Choice::Host,
        (None, None) => Choice::Automatic,
    }
}

/// The target of the question; `None` at a host that is nobody's.
fn target<'a>(
    config: &ServiceConfig,
    args: &'a ExplainArgs,
    host: Option<&'a str>,
) -> Option<ReviewTarget<'a>> {
    match (&args.cluster, &args.host) {
        (Some(cluster), _) => Some(ReviewTarget::Cluster(cluster)),
        (None, Some(_)) => identity_mapping::target_of_host(config, host?),
        (None, None) => Some(ReviewTarget::Auto),
    }
}

fn caller<'a>(config: &'a ServiceConfig, args: &ExplainArgs) -> Option<&'a CallerConfig> {
    let name = args.caller.as_ref()?;
    config.callers.iter().find(|known| known.name == *name).map(|caller| &**caller)
}

/// The route that the question would take.
fn route<'a>(
    config: &'a ServiceConfig,
    args: &ExplainArgs,
    host: Option<&str>,
) -> Option<&'a IdentityMapping> {
    identity_mapping::mapping_for(config, host, (&choice(args), ReviewVersion::V1), caller(config, args))
}

fn candidate(cluster: &Cluster, token: &UnverifiedToken<'_>) -> String {
    if token.claims_to_be_of(&cluster.config.issuers) {
        return format!("same issuer, {}", cluster.jwks.about(token));
    }
    // The nearest of its names is the one to look at.
    let said = |issuer: &String| differing(token.unverified_issuer(), issuer);
    let all: Vec<_> = cluster.config.issuers.iter().map(said).collect();
    let nearest = all.iter().find(|said| said.contains("; they differ")).or_else(|| all.first());
    format!("another issuer: {}", nearest.map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
clusters: {a: {issuer: https://a.test}}
auto: {hosts: [any.test]}
routes: [{path: /clusters/a}, {host: api.a.kube-fed.svc.cluster.local}, {path: /auto}, {caller: db}]
callers:
- {name: vault, certificate: {commonName: vault}, clusters: ['*']}
- {name: db, certificate: {commonName: db}, clusters: ['*']}
";

    fn args(cluster: Option<&str>, host: Option<&str>, caller: Option<&str>) -> ExplainArgs {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        ExplainArgs {
            cluster: owned(cluster),
            host: owned(host),
            caller: owned(caller),
            audiences: Vec::new(),
        }
    }

    #[test]
    fn the_cluster_and_the_route_are_those_of_the_service() {
        let config = ServiceConfig::parse(CONFIG).unwrap();
        let a = Some(ReviewTarget::Cluster("a"));
        let table = [
            (args(Some("a"), None, None), a, Some("path /clusters/a")),
            (args(None, Some("API.a.kube-fed:443"), None), a, Some("host api.a.kube-fed.svc.cluster.local")),
            (args(None, Some("any.test"), None), Some(ReviewTarget::Auto), None),
            (args(None, Some("any.test"), Some("db")), Some(ReviewTarget::Auto), Some("caller db")),
            (args(None, None, None), Some(ReviewTarget::Auto), Some("path /auto")),
            (args(None, Some("evil.example.com"), None), None, None),
            (args(None, Some("[::1]"), None), None, None),
        ];
        for (args, expected, expected_route) in table {
            let host = args.host.as_deref().and_then(host::normalized);
            assert_eq!(target(&config, &args, host.as_deref()), expected, "{args:?}");
            let route = route(&config, &args, host.as_deref()).map(|route| route.matcher.to_string());
            assert_eq!(route.as_deref(), expected_route, "{args:?}");
        }
    }

    #[test]
    fn what_is_not_configured_is_said() {
        let with = ServiceConfig::parse(CONFIG).unwrap();
        let without = ServiceConfig::parse("clusters: {a: {issuer: https://a.test}}").unwrap();
        assert_eq!(notes(&with, &args(None, None, Some("db"))), "");
        assert_eq!(notes(&without, &args(None, Some("any.test"), None)), "");
        assert!(notes(&without, &args(None, None, None)).starts_with("note       auto is not configured"));
        let unknown = notes(&with, &args(None, None, Some("x")));
        assert_eq!(unknown, "caller     \"x\" is not configured; there are: vault, db\n");
        assert!(notes(&without, &args(Some("a"), None, Some("x"))).ends_with("there are: none\n"));
    }
}
