//! `token-exchange check`: the configuration and everything that it names, one mark and one cure each.

use std::process::ExitCode;

use futures::future::join_all;
use portolan_runtime::{
    check::{self, Check, CheckArgs, RbacRules},
    config::issuer::VerificationMode,
    readiness::Readiness,
    tasks::Tasks,
    telemetry::ErrorChain,
};
use tokio::sync::mpsc;

use crate::{
    accounts::{AnnotationFault, KnownAccount, MAX_FAULTS},
    args::ExchangeArgs,
    binding::{ANY, BrokenBinding},
    config::ExchangeConfig,
    issuer::SourceIssuer,
    state::{ConfigSnapshot, ExchangeState, TargetCluster},
};

const RULES: &str = include_str!("../../../charts/token-exchange/files/rbac.yaml");
const DOCS: &str = "docs/token-exchange.md";
/// Of so many broken bindings people are told in one line.
const MAX_TOLD: usize = 5;

fn entry(name: impl Into<String>, result: Result<String, String>, cure: &str, place: &str) -> Check {
    Check::new(name, result, cure, format!("{DOCS}#{place}"))
}

pub fn run(args: &ExchangeArgs, how: &CheckArgs) -> ExitCode {
    check::run(&args.log, how, || checks(args))
}

async fn checks(args: &ExchangeArgs) -> Vec<Check> {
    let tasks = Tasks::default();
    let mut checks = vec![check::tls(&args.tls, args.knows_its_transport(), &tasks, DOCS).await];
    let config = args.configuration().await;
    let found = config.as_ref().map(found).map_err(|error| ErrorChain(error).to_string());
    let cure = "correct the file; a running exchange keeps the old one";
    checks.push(entry("configuration", found, cure, "configuration"));
    if let Ok(config) = &config {
        checks.extend(config.warnings(None).into_iter().map(|warning| noted(&warning)));
    }
    match crate::target(args).await {
        Ok(target) => {
            checks.extend(check::server(&target.client, "this cluster", DOCS).await);
            if let Ok(config) = &config {
                checks.extend(rights(&target, config).await);
                checks.extend(at_work(args, target, &tasks).await);
            }
        }
        Err(failure) => {
            let why = Err(ErrorChain(&*failure).to_string());
            let cure = "run it inside the cluster whose tokens it gives, or give --kubeconfig";
            checks.push(entry("this cluster", why, cure, "flags"));
        }
    }
    tasks.cancel();
    checks
}

fn found(config: &ExchangeConfig) -> String {
    format!("{} issuers, {} namespaces", config.issuers.len(), config.namespaces.len())
}

/// A finding that an operator should know, and may well want.
fn noted(warning: &str) -> Check {
    Check::skipped("note", warning, format!("{DOCS}#configuration"))
}

async fn rights(target: &TargetCluster, config: &ExchangeConfig) -> Vec<Check> {
    let namespaces: Vec<_> = config.namespaces.iter().cloned().collect();
    let cure = "apply the Role of charts/token-exchange in this namespace";
    let needed = |rules: &RbacRules| rules.target_rights(&namespaces);
    check::chart_rights(&target.client, RULES, needed, cure, DOCS).await
}

/// Issuers and accounts, as the exchange itself finds them.
async fn at_work(args: &ExchangeArgs, target: TargetCluster, tasks: &Tasks) -> Vec<Check> {
    let (faults, _unheard) = mpsc::channel::<AnnotationFault>(MAX_FAULTS);
    let loaded =
        ExchangeState::load(args.config.clone(), target, faults, (tasks, &Readiness::default())).await;
    match loaded {
        Ok(state) => {
            let snapshot = state.snapshot();
            let issuers = join_all(snapshot.issuers.values().map(|issuer| about(issuer)));
            let accounts = join_all(snapshot.config.namespaces.iter().map(|name| bindings(&snapshot, name)));
            let (issuers, accounts) = tokio::join!(issuers, accounts);
            issuers.into_iter().flatten().chain(accounts).collect()
        }
        Err(error) => {
            let why = Err(ErrorChain(&error).to_string());
            vec![entry("issuers", why, "correct what the configuration names", "configuration")]
        }
    }
}

async fn about(issuer: &SourceIssuer) -> Vec<Check> {
    let name = issuer.config.name();
    let mut checks = vec![check::keys(format!("keys of {name}"), &issuer.jwks, DOCS).await];
    if let Some(about) = issuer.about_authorities() {
        checks.push(entry(format!("authorities of {name}"), Ok(about), "", "configuration"));
    }
    if issuer.config.token_path.is_some() {
        let result = issuer.credential_problem().map_or_else(|| Ok("there is a token".to_owned()), Err);
        let cure = "kubectl create token <account> --duration=168h, and write it to token_path";
        checks.push(entry(format!("credential of {name}"), result, cure, "configuration"));
    }
    if issuer.config.mode == VerificationMode::Hybrid {
        let cure = "the account of token_path needs the ClusterRole system:auth-delegator on that cluster";
        let result = issuer.reviews_its_own().await.map(|()| "it reviews our own token".to_owned());
        checks.push(entry(format!("reviews of {name}"), result, cure, "configuration"));
    }
    checks
}

/// Counts the accounts of a namespace with bindings, and names those whose bindings cannot be used.
async fn bindings(snapshot: &ConfigSnapshot, namespace: &str) -> Check {
    let name = if namespace == ANY { "bindings".to_owned() } else { format!("bindings of {namespace}") };
    let cure = "correct the annotations; without one an account gives no tokens";
    let listed = match snapshot.accounts_of(namespace).or_else(|| snapshot.accounts_of(ANY)) {
        Some(accounts) => accounts.read_all().await.map_err(|error| ErrorChain(&error).to_string()),
        None => return Check::skipped(name, "no account of it can be had", DOCS),
    };
    let told = listed.and_then(|listed| {
        let bound = listed.iter().filter(|(_, account)| !account.bindings.good.is_empty()).count();
        let broken: Vec<_> = listed.iter().flat_map(|(place, account)| broken(place, account)).collect();
        match broken.len() {
            0 => Ok(format!("{bound} of {} accounts have some", listed.len())),
            count => Err(format!(
                "{count} cannot be used: {}{}",
                broken[..count.min(MAX_TOLD)].join("; "),
                if count > MAX_TOLD { "; ..." } else { "" }
            )),
        }
    });
    entry(name, told, cure, "bindings")
}

fn broken((namespace, name): &(String, String), account: &KnownAccount) -> Vec<String> {
    let told = |broken: &BrokenBinding| {
        format!("{namespace}/{name}: annotation {:?}: {}", broken.key, broken.problem)
    };
    account.bindings.broken.iter().map(told).collect()
}
