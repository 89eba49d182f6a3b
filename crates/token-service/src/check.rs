//! `token-service check`: the configuration and everything that it names, one mark and one cure each.

use std::{process::ExitCode, time::Duration};

use portolan_runtime::{
    check::{self, Check, CheckArgs},
    clock,
    tasks::Tasks,
    telemetry::Chain,
    tls::ServerTls,
};
use tokio::time::sleep;

use crate::{args::ServiceArgs, cluster::Cluster, state::State};

const PATIENCE: Duration = Duration::from_secs(6);

fn entry(name: impl Into<String>, result: Result<String, String>, cure: &str, place: &str) -> Check {
    Check::new(name, result, cure, format!("docs/token-service.md#{place}"))
}

pub(crate) fn run(service: &ServiceArgs, args: &CheckArgs) -> ExitCode {
    check::run(&service.log, args, || checks(service))
}

async fn checks(service: &ServiceArgs) -> Vec<Check> {
    let tasks = Tasks::default();
    let mut checks = vec![tls(service, &tasks).await];
    let (_, own_api_server) = crate::own_cluster(service).await;
    let loaded = State::load(service.config.clone(), own_api_server, &tasks).await;
    let result = loaded.as_ref().map(|state| format!("{} clusters", state.snapshot().clusters.len()));
    let result = result.map_err(|error| Chain(error).to_string());
    checks.push(entry(
        "configuration",
        result,
        "correct the file; the old one stays in use",
        "configuration",
    ));
    if let Ok(state) = loaded {
        let snapshot = state.snapshot();
        for cluster in snapshot.clusters.values() {
            checks.push(keys(cluster).await);
            checks.extend(credential(cluster));
        }
    }
    tasks.cancel();
    checks
}

async fn tls(service: &ServiceArgs, tasks: &Tasks) -> Check {
    let result = match ServerTls::start(&service.tls, tasks).await {
        Ok(Some(_)) => Ok("certificate and key fit".to_owned()),
        Ok(None) if service.plain_http => Ok("plain HTTP, as asked for".to_owned()),
        Ok(None) => Err("no certificate, and plain HTTP was not asked for".to_owned()),
        Err(error) => Err(Chain(&error).to_string()),
    };
    entry("tls", result, "give --tls-cert-file and --tls-key-file, or --plain-http", "tls")
}

async fn keys(cluster: &Cluster) -> Check {
    let tried = async {
        loop {
            let status = cluster.jwks.status();
            if status.succeeded > 0 {
                break Ok(format!("{} keys", status.keys));
            }
            if let Some(error) = status.error {
                break Err(error);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let result = tokio::time::timeout(PATIENCE, tried).await;
    let result = result.unwrap_or_else(|_| Err("the issuer does not answer".to_owned()));
    let cure = "check issuer, api_server, ca_cert and allow_addresses; \
                the account needs the ClusterRole system:service-account-issuer-discovery";
    entry(format!("keys of {}", cluster.config.name), result, cure, "keys")
}

fn credential(cluster: &Cluster) -> Option<Check> {
    cluster.config.token_path.as_ref()?;
    let result = match cluster.credential.about() {
        None => Err("token_path gives no token".to_owned()),
        Some(about) => match about.expires {
            Some(expires) if expires <= clock::now() => Err(format!("it ended at {expires}")),
            Some(expires) => Ok(format!("until {expires}")),
            None => Ok("without an end".to_owned()),
        },
    };
    let cure = "kubectl create token <account> --duration=168h, and put it where token_path says";
    Some(entry(format!("credential of {}", cluster.config.name), result, cure, "credentials"))
}
