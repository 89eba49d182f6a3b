//! `token-service check`: the configuration and everything that it names, one mark and one cure each.

use std::{path::Path, process::ExitCode, time::Duration};

use futures::future::join_all;
use kube::Client;
use portolan_core::auth::compact::bare;
use portolan_runtime::{
    check::{self, Check, CheckArgs, RbacRules},
    clock,
    config::issuer::VerificationMode,
    jwks::{Jwks, JwksStatus},
    tasks::Tasks,
    telemetry::ErrorChain,
    token_review::ReviewUnanswered,
};
use secrecy::ExposeSecret as _;

use crate::{args::ServiceArgs, cluster::Cluster, review::remote, state::ServiceState};

const RULES: &str = include_str!("../../../charts/token-service/files/rbac.yaml");
const TIMEOUT: Duration = Duration::from_secs(6);

fn entry(name: impl Into<String>, result: Result<String, String>, cure: &str, place: &str) -> Check {
    Check::new(name, result, cure, format!("docs/token-service.md#{place}"))
}

pub fn run(service: &ServiceArgs, args: &CheckArgs) -> ExitCode {
    check::run(&service.log, args, || checks(service))
}

async fn checks(service: &ServiceArgs) -> Vec<Check> {
    let tasks = Tasks::default();
    let mut checks =
        vec![check::tls(&service.tls, service.plain_http, &tasks, "docs/token-service.md#tls").await];
    let (own, own_api_server) = crate::own_cluster(service).await;
    checks.extend(rights(service, own.clone()).await);
    let loaded = ServiceState::load(service.config.clone(), own_api_server, &tasks).await;
    let result = loaded.as_ref().map(|state| format!("{} clusters", state.snapshot().clusters.len()));
    let result = result.map_err(|error| ErrorChain(error).to_string());
    checks.push(entry(
        "configuration",
        result,
        "correct the file; the old one stays in use",
        "configuration",
    ));
    if let Ok(state) = loaded {
        crate::take_kept(&state, own.map(|client| service.secret(client)).as_ref()).await;
        let snapshot = state.snapshot();
        checks.extend(join_all(snapshot.clusters.values().map(|cluster| about(cluster))).await.concat());
    }
    tasks.cancel();
    checks
}

async fn about(cluster: &Cluster) -> Vec<Check> {
    let name = format!("keys of {}", cluster.config.name);
    let keys = if cluster.config.mode == VerificationMode::Review {
        optional_keys(name, &cluster.jwks).await
    } else {
        check::keys(name, &cluster.jwks, "docs/token-service.md#keys").await
    };
    let found = [authorities(cluster), Some(keys), credential(cluster), reviews(cluster).await];
    found.into_iter().flatten().collect()
}

fn authorities(cluster: &Cluster) -> Option<Check> {
    let about = cluster.about_authorities()?;
    Some(entry(format!("authorities of {}", cluster.config.name), Ok(about), "", "configuration"))
}

/// Checks the rights on the Secret of renewed credentials, where there is a cluster of our own.
async fn rights(service: &ServiceArgs, own: Option<Client>) -> Vec<Check> {
    let docs = "docs/token-service.md#credentials";
    let Some(client) = own else {
        let why = "there is no cluster of our own: renewed credentials are lost when the process ends";
        return vec![Check::skipped("rights", why, docs)];
    };
    let needed = |rules: &RbacRules| rules.rights(&service.secret_namespace(), &[]);
    check::chart_rights(&client, RULES, needed, "apply the Role of charts/token-service", docs).await
}

/// Checks that a cluster reviews our own token, where it is to review any.
async fn reviews(cluster: &Cluster) -> Option<Check> {
    if cluster.config.mode == VerificationMode::Jwks {
        return None;
    }
    let name = &cluster.config.name;
    let result = match cluster.credential.token() {
        Some(token) => remote::ask_cluster(cluster, token.expose_secret(), &[]).await,
        None => Err(ReviewUnanswered::Other("there is no credential to ask with".to_owned())),
    };
    let cure = cure(result.as_ref().err());
    let result = result.map(|_| "it reviews our own token".to_owned()).map_err(|why| why.to_string());
    Some(entry(format!("reviews of {name}"), result, cure, "credentials"))
}

/// The remedy for a cluster that does not review.
fn cure(why: Option<&ReviewUnanswered>) -> &'static str {
    if why.is_some_and(ReviewUnanswered::is_rejection) {
        "the token is not, or no longer, valid on that cluster: write a new one to token_path"
    } else {
        "the account of token_path needs the ClusterRole system:auth-delegator on that cluster"
    }
}

/// Describes the keys of a cluster whose API server reviews the tokens, which needs none.
async fn optional_keys(name: String, jwks: &Jwks) -> Check {
    jwks.until(JwksStatus::is_tried, TIMEOUT).await;
    let status = jwks.status();
    let found = if jwks.keys().is_some() {
        status.found()
    } else {
        format!(
            "none, and mode review needs none; the automatic choice cannot find this cluster: {}",
            status.why_not()
        )
    };
    entry(name, Ok(found), "", "modes")
}

fn credential(cluster: &Cluster) -> Option<Check> {
    cluster.config.token_path.as_ref()?;
    let result = match cluster.credential.about() {
        None => Err(no_token(cluster.config.token_path.as_deref())),
        Some(about) => match about.expires {
            Some(expires) if expires <= clock::now() => Err(format!("it expired at {expires}")),
            Some(expires) => Ok(format!("until {expires}")),
            None => Ok("without an expiry".to_owned()),
        },
    };
    let cure = "kubectl create token <account> --duration=168h, and write it to token_path";
    Some(entry(format!("credential of {}", cluster.config.name), result, cure, "credentials"))
}

/// Explains why a file gives no token.
fn no_token(path: Option<&Path>) -> String {
    let Some(path) = path else { return "there is no token_path".to_owned() };
    match std::fs::read_to_string(path) {
        Ok(text) if bare(&text).is_empty() => format!("token_path {} is empty", path.display()),
        Ok(_) => format!("token_path {} holds nothing that can be sent as a token", path.display()),
        Err(error) => format!("failed to read token_path {}: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_rejected_token_has_another_cure_than_a_missing_right() {
        let table = [
            (Some(ReviewUnanswered::Status(StatusCode::UNAUTHORIZED)), "write a new one to token_path"),
            (Some(ReviewUnanswered::Status(StatusCode::FORBIDDEN)), "system:auth-delegator"),
            (Some(ReviewUnanswered::Other("it is away".to_owned())), "system:auth-delegator"),
            (None, "system:auth-delegator"),
        ];
        for (why, words) in table {
            assert!(cure(why.as_ref()).contains(words), "{why:?}");
        }
    }
}
