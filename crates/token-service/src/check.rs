//! `token-service check`: the configuration and everything that it names, one mark and one cure each.

use std::{process::ExitCode, time::Duration};

use portolan_runtime::{clock, process, tasks::Tasks, telemetry::Chain, tls::ServerTls};
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    args::{CheckArgs, Output, ServiceArgs},
    cluster::Cluster,
    state::State,
};

const DOCS: &str = "docs/token-service.md";
const PATIENCE: Duration = Duration::from_secs(6);

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    cure: &'static str,
    docs: String,
}

impl Check {
    fn new(name: impl Into<String>, result: Result<String, String>, cure: &'static str, place: &str) -> Self {
        let (ok, detail) = match result {
            Ok(detail) => (true, detail),
            Err(problem) => (false, problem),
        };
        let cure = if ok { "" } else { cure };
        Self { name: name.into(), ok, detail, cure, docs: format!("{DOCS}#{place}") }
    }
}

pub(crate) fn run(service: &ServiceArgs, check: &CheckArgs) -> ExitCode {
    let output = check.output;
    process::run_command(&service.log, || async move {
        let checks = checks(service).await;
        match output {
            Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&checks)?)),
            Output::Text => checks.iter().for_each(|check| print(&line(check))),
        }
        let wrong = checks.iter().filter(|check| !check.ok).count();
        if wrong == 0 { Ok(()) } else { Err(format!("{wrong} of {} checks failed", checks.len()).into()) }
    })
}

fn line(check: &Check) -> String {
    if check.ok {
        return format!("[+] {}: {}\n", check.name, check.detail);
    }
    format!("[-] {}: {}\n    cure: {} ({})\n", check.name, check.detail, check.cure, check.docs)
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn print(text: &str) {
    print!("{text}");
}

async fn checks(service: &ServiceArgs) -> Vec<Check> {
    let tasks = Tasks::default();
    let mut checks = vec![tls(service, &tasks).await];
    let (_, own_api_server) = crate::own_cluster(service).await;
    let loaded = State::load(service.config.clone(), own_api_server, &tasks).await;
    let result = loaded.as_ref().map(|state| format!("{} clusters", state.snapshot().clusters.len()));
    let result = result.map_err(|error| Chain(error).to_string());
    checks.push(Check::new(
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
    Check::new("tls", result, "give --tls-cert-file and --tls-key-file, or --plain-http", "tls")
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
    Check::new(format!("keys of {}", cluster.config.name), result, cure, "keys")
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
    Some(Check::new(format!("credential of {}", cluster.config.name), result, cure, "credentials"))
}
