//! Output of a run: a number for each rule, and for a failure the facts to find its cause with.

use anyhow::Result;
use serde::Serialize;

use super::{
    findings::{Findings, NAMES},
    world::{Service, World, contract},
};
use crate::output;

/// Number of the last steps to show.
const LAST_STEPS: usize = 40;
/// Number of findings to show, and limit on the length of each.
const SHOWN: usize = 20;
const LONGEST: usize = 700;
/// Number of lines of a log to show.
const TAIL: usize = 150;

/// The outcome of a run.
pub(super) struct Outcome {
    pub(super) seed: u64,
    pub(super) seconds: u64,
    /// The steps that were asked for by name.
    pub(super) names: Vec<String>,
    pub(super) taken: usize,
    pub(super) trace: Vec<String>,
    pub(super) findings: Findings,
}

impl Outcome {
    fn command(&self) -> String {
        let steps = self.names.join(",");
        let steps = if steps.is_empty() { String::new() } else { format!(" --steps {steps}") };
        format!("cargo xtask torture --seconds {} --seed {}{steps}", self.seconds, self.seed)
    }
}

/// The line for programs.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    value: usize,
    unit: &'static str,
}

/// Prints the numbers; before them, where something is wrong, what it is and how it came to be.
pub(super) fn show(outcome: &Outcome, json: bool) -> Result<()> {
    if !outcome.findings.is_empty() {
        steps(outcome.seed, &outcome.trace);
        history(outcome);
        for finding in outcome.findings.iter().take(SHOWN) {
            output::problem(finding.to_string().chars().take(LONGEST).collect::<String>());
        }
        output::problem(format_args!("\nto repeat: {}", outcome.command()));
    }
    output::line(if json { lines(outcome)? } else { table(outcome) });
    Ok(())
}

fn lines(outcome: &Outcome) -> Result<String> {
    let rules =
        NAMES.map(|name| Line { name: name.as_str(), value: outcome.findings.count(name), unit: "findings" });
    let taken = Line { name: "steps", value: outcome.taken, unit: "steps" };
    let lines: Vec<_> =
        rules.iter().chain([&taken]).map(serde_json::to_string).collect::<serde_json::Result<_>>()?;
    Ok(lines.join("\n"))
}

fn table(outcome: &Outcome) -> String {
    let row = |name: &str, value: usize, what: &str| format!("{name:<12} {value:>6}  {what}");
    let rules = NAMES.map(|name| row(name.as_str(), outcome.findings.count(name), name.what()));
    let taken = row("steps", outcome.taken, &format!("steps that were taken, by `{}`", outcome.command()));
    rules.into_iter().chain([taken]).collect::<Vec<_>>().join("\n")
}

/// Prints the last steps.
pub(super) fn steps(seed: u64, trace: &[String]) {
    output::problem(format_args!("\nseed {seed}; the last steps:"));
    trace[trace.len().saturating_sub(LAST_STEPS)..].iter().for_each(output::problem);
    output::problem("");
}

/// All that was done to what the findings are about: it may have begun long before the last steps.
fn history(outcome: &Outcome) {
    let mut done: Vec<_> = outcome
        .trace
        .iter()
        .filter(|step| outcome.findings.iter().any(|on| is_about(&on.text, step)))
        .collect();
    done.drain(..done.len().saturating_sub(LAST_STEPS));
    output::problem("what was done to these objects:");
    done.iter().for_each(output::problem);
    output::problem("");
}

/// Returns `true` if a step was done to the object that a finding begins with, or to its copy.
fn is_about(finding: &str, step: &str) -> bool {
    let mut place = finding.split([' ', ':', ',']).skip_while(|word| ["the", "copy"].contains(word));
    place.next().zip(place.next()).is_some_and(|(plural, name)| {
        let prefix = format!("{}-", contract());
        let (words, name) = (|| step.split([' ', ',']), name.strip_prefix(&prefix).unwrap_or(name));
        words().any(|word| word == plural) && words().any(|word| word.ends_with(name))
    })
}

/// Prints the ends of our processes' logs.
pub(super) fn logs(world: &World) {
    for service in [Service::Konnector, Service::Provider] {
        let log = world.process(service).log_tail(TAIL);
        output::problem(format_args!("\nthe log of the {service:?} ends with:\n{log}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::findings::Name;

    fn outcome(findings: Findings) -> Outcome {
        let names = vec!["label".to_owned(), "kill".to_owned()];
        Outcome { seed: 7, seconds: 60, names, taken: 3, trace: Vec::new(), findings }
    }

    #[test]
    fn a_line_of_json_for_each_rule() {
        let mut findings = Findings::default();
        findings.add(Name::Lost, "a");
        findings.add(Name::Lost, "b");
        let text = lines(&outcome(findings)).unwrap();
        let expected = [
            r#"{"name":"lost","value":2,"unit":"findings"}"#,
            r#"{"name":"changed","value":0,"unit":"findings"}"#,
            r#"{"name":"foreign","value":0,"unit":"findings"}"#,
            r#"{"name":"differ","value":0,"unit":"findings"}"#,
            r#"{"name":"late_writes","value":0,"unit":"findings"}"#,
            r#"{"name":"steps","value":3,"unit":"steps"}"#,
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_steps_of_an_object_are_those_of_its_copy_as_well() {
        let finding = "wagons torture-b/n0: its status is null";
        let cases = [
            ("[ 1.00s] create: wagons torture-b/n0 with word 1", true),
            ("[ 1.00s] strip: wagons kube-bind-torture-torture-b/n0", true),
            ("[ 1.00s] create: wagons torture-b/n1 with word 1", false),
            ("[ 1.00s] create: cowboys torture-b/n0 with word 1", false),
            ("[ 1.00s] wagons.torture.dev is offered again", false),
        ];
        for (step, expected) in cases {
            assert_eq!(is_about(finding, step), expected, "{step}");
        }
        assert!(is_about("mines n0: it has no copy", "[ 1.00s] uproot: mines kube-bind-torture-n0"));
        for finding in [
            "trains kube-bind-torture-a/n1 is a copy of nothing",
            "the copy trains kube-bind-torture-a/n1 was",
        ] {
            assert!(is_about(finding, "[ 1.00s] delete: trains a/n1"), "{finding}");
        }
    }

    #[test]
    fn the_command_repeats_the_run() {
        let text = table(&outcome(Findings::default()));
        assert!(text.contains("`cargo xtask torture --seconds 60 --seed 7 --steps label,kill`"), "{text}");
    }
}
