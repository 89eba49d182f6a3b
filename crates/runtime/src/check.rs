//! `check`: what a service needs, in order, each with a mark, a one-line cure and a place in the docs.

mod crds;
mod lease;
mod rights;
mod server;

use std::{future::Future, process::ExitCode};

use clap::{Args, ValueEnum};
use serde::Serialize;

pub use self::{
    crds::crds,
    lease::lease,
    rights::{Right, Rules, rights},
    server::{authorities, server},
};
use crate::{
    args::LogArgs,
    process::{self, Failure},
};

/// What every `check` command takes.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// How to print the result.
    #[arg(short, long, default_value = "text", value_enum)]
    pub output: Output,
}

/// Forms of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked, in a few words.
    pub name: String,
    /// Whether it is as it should be; absent where that could not be found out, because of an earlier failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// What was found.
    pub detail: String,
    /// What to do about it, in one line; empty unless it failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cure: String,
    /// Where to read on.
    pub docs: String,
}

impl Check {
    /// A check that was made. `docs` is a file with a heading, such as `docs/konnector.md#rights`.
    pub fn new(
        name: impl Into<String>,
        result: Result<String, String>,
        cure: impl Into<String>,
        docs: impl Into<String>,
    ) -> Self {
        let ok = result.is_ok();
        let cure = if ok { String::new() } else { cure.into() };
        let detail = result.unwrap_or_else(|problem| problem);
        Self { name: name.into(), ok: Some(ok), detail, cure, docs: docs.into() }
    }

    /// A check that could not be made, and why.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>, docs: impl Into<String>) -> Self {
        Self { name: name.into(), ok: None, detail: why.into(), cure: String::new(), docs: docs.into() }
    }

    fn line(&self) -> String {
        let Self { name, detail, cure, docs, .. } = self;
        match self.ok {
            Some(true) => format!("[+] {name}: {detail}\n"),
            Some(false) => format!("[-] {name}: {detail}\n    cure: {cure} ({docs})\n"),
            None => format!("[?] {name}: not checked: {detail}\n"),
        }
    }
}

/// Runs the checks and prints them. Exits with 0 when none failed, and with 1 otherwise.
pub fn run<F>(log: &LogArgs, args: &CheckArgs, checks: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = Vec<Check>>,
{
    let output = args.output;
    process::run_command(log, || async move {
        let checks = checks().await;
        print(&render(&checks, output)?);
        let failed = checks.iter().filter(|check| check.ok == Some(false)).count();
        if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} checks failed", checks.len()).into()) }
    })
}

fn render(checks: &[Check], output: Output) -> Result<String, Failure> {
    Ok(match output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(checks)?),
        Output::Text => checks.iter().map(Check::line).collect(),
    })
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn print(text: &str) {
    print!("{text}");
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
        assert_eq!(render(&checks, Output::Text).unwrap(), text);
        let json: serde_json::Value = serde_json::from_str(&render(&checks, Output::Json).unwrap()).unwrap();
        assert_eq!((&json[0]["ok"], &json[1]["ok"]), (&true.into(), &false.into()));
        assert_eq!((json[0].get("cure"), json[2].get("ok")), (None, None));
        assert_eq!(json[1]["cure"], "make it");
    }
}
