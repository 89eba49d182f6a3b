//! `check`: what a service needs, in order, each with a mark, a one-line cure and a place in the docs.

mod crds;
mod finding;
mod keys;
mod lease;
mod rights;
mod server;
mod tls;

use std::{future::Future, process::ExitCode};

use clap::{Args, ValueEnum};

pub use self::{
    crds::crds,
    finding::Check,
    keys::keys,
    lease::lease,
    rights::{RbacRules, RequiredRight, chart_rights, rights},
    server::{authorities, own_cluster, server},
    tls::tls,
};
use crate::{
    args::LogArgs,
    process::{self, ProcessFailure},
};

/// Flags that every `check` command takes.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Format of the output.
    #[arg(short, long, default_value = "text", value_enum)]
    pub output: OutputFormat,
}

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Runs the checks and prints them. Exits with 0 when none failed, and with 1 otherwise.
pub fn run<F>(log: &LogArgs, args: &CheckArgs, checks: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Vec<Check>>,
{
    let output = args.output;
    process::run_command(log, || async move {
        let checks = checks().await;
        process::print(&render(&checks, output)?);
        let failed = checks.iter().filter(|check| check.ok == Some(false)).count();
        if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} checks failed", checks.len()).into()) }
    })
}

fn render(checks: &[Check], output: OutputFormat) -> Result<String, ProcessFailure> {
    Ok(match output {
        OutputFormat::Json => format!("{}\n", serde_json::to_string_pretty(checks)?),
        OutputFormat::Text => checks.iter().map(Check::line).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_a_mark_and_a_failure_its_cure() {
        let checks = [
            Check::new("a", Ok("fits".to_owned()), "none needed", "docs/x.md#a"),
            Check::new("b", Err("is missing".to_owned()), "make it", "docs/x.md#b"),
            Check::skipped("c", "b is missing", "docs/x.md#c"),
        ];
        let text = "[+] a: fits\n[-] b: is missing\n    cure: make it (docs/x.md#b)\n[?] c: not checked: b is missing\n";
        assert_eq!(render(&checks, OutputFormat::Text).unwrap(), text);
        let json: serde_json::Value =
            serde_json::from_str(&render(&checks, OutputFormat::Json).unwrap()).unwrap();
        assert_eq!((&json[0]["ok"], &json[1]["ok"]), (&true.into(), &false.into()));
        assert_eq!((json[0].get("cure"), json[2].get("ok")), (None, None));
        assert_eq!(json[1]["cure"], "make it");
    }
}
