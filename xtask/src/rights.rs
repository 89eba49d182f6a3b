//! `cargo xtask rights DIR`: what the charts grant and no test has ever used.
//!
//! Tests that run with `PORTOLAN_AUDIT_LOGS=DIR` keep the audit logs of their API servers there.

mod granted;
mod used;

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::Rbac;

use self::{granted::Right, used::Used};
use crate::{output, workspace};

/// Services with rights of their own.
const SERVICES: [&str; 8] = [
    "konnector",
    "provider",
    "token-service",
    "token-exchange",
    "listener",
    "gateway",
    "devportal",
    "portal",
];
/// Rights that no test uses, each with why it is there.
const EXPLAINED: &str = "tests/unused-rights.toml";

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Directory of the audit logs of a run with `PORTOLAN_AUDIT_LOGS=DIR`
    #[arg(value_name = "DIR")]
    logs: PathBuf,
    /// Services to report on; none for all
    #[arg(long = "service", value_name = "NAME", value_parser = SERVICES)]
    services: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root()?;
    let text = fs::read_to_string(root.join(EXPLAINED)).context(EXPLAINED)?;
    let explained: BTreeMap<String, String> = toml::from_str(&text).context(EXPLAINED)?;
    let mut used = Used::default();
    let logs = used.read(&args.logs)?;
    ensure!(logs > 0, "no audit logs in {}: run tests with PORTOLAN_AUDIT_LOGS", args.logs.display());
    let mut failed = false;
    for service in SERVICES {
        if !args.services.is_empty() && !args.services.iter().any(|one| one == service) {
            continue;
        }
        let rights = granted::rights(&Rbac::load(service)?);
        failed |= !report(service, &rights, &used, &explained);
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Says what of a service's rights nobody has used. False where something is left unexplained.
fn report(service: &str, rights: &[Right], used: &Used, explained: &BTreeMap<String, String>) -> bool {
    let idle: Vec<_> = rights.iter().filter(|right| !used.has(service, right)).collect();
    output::line(format_args!("{service}: {} of {} rights used", rights.len() - idle.len(), rights.len()));
    let mut sound = true;
    for right in idle {
        let key = format!("{service}: {right}");
        if let Some(why) = explained.get(&key) {
            output::line(format_args!("  not used: {right}: {why}"));
        } else {
            sound = false;
            output::problem(format_args!("  not used and not explained in {EXPLAINED}: {key}"));
        }
    }
    sound
}
