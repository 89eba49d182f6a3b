//! Stages of a run, as commands.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use cargo_metadata::Metadata;

use crate::workspace;

/// Name of the stage that makes a node of this machine.
pub const CLUSTER: &str = "cluster";
/// Name of the stage that others build on.
pub const BUILD: &str = "build";
/// The package of the end-to-end tests.
const END_TO_END: &str = "portolan-tests";
/// A service's package is this and its name.
const PREFIX: &str = "portolan-";

/// The runner of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cargo,
    /// Cargo, with the output of the test harness to be read.
    CargoTest,
    /// Another verb of this program.
    Xtask,
}

/// One stage.
#[derive(Debug)]
pub struct Stage {
    pub name: &'static str,
    pub kind: Kind,
    pub arguments: Vec<String>,
    pub needs_build: bool,
}

impl Stage {
    const fn new(name: &'static str, kind: Kind, arguments: Vec<String>) -> Self {
        Self { name, kind, arguments, needs_build: false }
    }

    fn after_build(self) -> Self {
        Self { needs_build: true, ..self }
    }

    /// The command that repeats this stage alone.
    pub fn repeat(&self) -> String {
        let program = if self.kind == Kind::Xtask { "cargo xtask" } else { "cargo" };
        format!("{program} {}", self.arguments.join(" "))
    }
}

/// The parts of the workspace.
pub struct Known {
    packages: BTreeSet<String>,
    end_to_end: BTreeSet<String>,
    /// Integration tests that single crates have.
    integration: BTreeSet<String>,
}

impl From<&Metadata> for Known {
    fn from(metadata: &Metadata) -> Self {
        let (ours, others): (Vec<_>, Vec<_>) = metadata.packages.iter().partition(|p| p.name == END_TO_END);
        let names = |packages| workspace::test_targets(packages).map(|(name, _)| name.to_owned()).collect();
        Self {
            packages: metadata.packages.iter().map(|package| package.name.to_string()).collect(),
            end_to_end: names(ours),
            integration: names(others),
        }
    }
}

/// The stages for `services`, or for everything when none is named.
pub fn plan(services: &[String], known: &Known, has_up: bool) -> Result<Vec<Stage>> {
    if services.is_empty() { Ok(everything(known, has_up)) } else { part(services, known) }
}

fn everything(known: &Known, has_up: bool) -> Vec<Stage> {
    let own = [strings(&["--lib", "--bins"]), each("--test", &known.integration)].concat();
    let mut stages = vec![
        fmt(),
        clippy(&strings(&["--workspace"])),
        build(),
        tests("unit tests", &strings(&["--workspace"]), &own),
        tests("doc tests", &strings(&["--workspace"]), &strings(&["--doc"])),
        tests("end-to-end tests", &strings(&["--workspace"]), &each("--test", &known.end_to_end)),
        tidy(),
    ];
    if has_up {
        stages.push(Stage::new("walk-through", Kind::Xtask, strings(&["up", "--once"])).after_build());
    }
    stages.push(torture());
    stages.push(Stage::new(CLUSTER, Kind::Xtask, strings(&["cluster", "up", "--once"])).after_build());
    stages
}

fn part(services: &[String], known: &Known) -> Result<Vec<Stage>> {
    let packages: BTreeSet<_> = services.iter().map(|service| format!("{PREFIX}{service}")).collect();
    let packages: BTreeSet<_> = packages.intersection(&known.packages).cloned().collect();
    let targets: BTreeSet<_> =
        services.iter().filter(|service| known.end_to_end.contains(*service)).cloned().collect();
    let is_known =
        |service: &String| targets.contains(service) || packages.contains(&format!("{PREFIX}{service}"));
    if let Some(service) = services.iter().find(|service| !is_known(service)) {
        bail!("no service {service}; there are: {}", names(known).join(", "));
    }
    // With xtask among the packages, foreign crates have the features of the whole build and are not compiled again.
    let unit = [each("--package", &packages), strings(&["--package", "xtask"])].concat();
    let end_to_end = if targets.is_empty() { Vec::new() } else { strings(&["--package", END_TO_END]) };
    let mut stages = vec![fmt(), clippy(&[unit.clone(), end_to_end].concat()), build()];
    if !packages.is_empty() {
        stages.push(tests("unit tests", &unit, &strings(&["--lib", "--bins", "--tests"])));
        stages.push(tests("doc tests", &unit, &strings(&["--doc"])));
    }
    if !targets.is_empty() {
        stages.push(tests("end-to-end tests", &strings(&["--workspace"]), &each("--test", &targets)));
    }
    stages.push(tidy());
    Ok(stages)
}

fn names(known: &Known) -> Vec<&str> {
    let packages = known.packages.iter().filter_map(|package| package.strip_prefix(PREFIX));
    let own = packages.filter(|&name| name != "tests");
    own.chain(known.end_to_end.iter().map(String::as_str)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn fmt() -> Stage {
    Stage::new("format", Kind::Cargo, strings(&["fmt", "--all", "--check"]))
}

fn clippy(packages: &[String]) -> Stage {
    let rest = strings(&["--all-targets", "--", "-D", "warnings"]);
    Stage::new("clippy", Kind::Cargo, [&strings(&["clippy", "--profile", "ci"]), packages, &rest].concat())
}

/// All binaries and tests at once, whatever is tested: an end-to-end test runs the binaries of other services too, and
/// features of foreign crates depend on what is built together.
fn build() -> Stage {
    Stage::new(BUILD, Kind::Cargo, strings(&["build", "--profile", "ci", "--workspace", "--all-targets"]))
}

fn tests(name: &'static str, packages: &[String], targets: &[String]) -> Stage {
    // A skip is a line that a passing test prints; the harness shows those only when asked.
    let rest = strings(&["--no-fail-fast", "--", "--show-output"]);
    let arguments = [&strings(&["test", "--profile", "ci"]), packages, targets, &rest].concat();
    Stage::new(name, Kind::CargoTest, arguments).after_build()
}

fn tidy() -> Stage {
    Stage::new("tidy", Kind::Xtask, strings(&["tidy"]))
}

/// The steps of the stage besides those of every day. Backups that are restored, and marks that are taken off, are for
/// longer runs by hand: what a minute of them finds depends on the pace of the machine.
const TORTURE_STEPS: &str =
    "number,meddle,uproot,foreign,copy,kill,apiserver,freeze,label,version,schema,secret,rotate,webhook";

/// A minute of the same random history each time; `cargo xtask torture` takes others, and longer ones.
fn torture() -> Stage {
    let arguments = ["torture", "--seconds", "60", "--seed", "1", "--quiet", "15", "--steps", TORTURE_STEPS];
    Stage::new("torture", Kind::Xtask, strings(&arguments)).after_build()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// `flag` before each of `values`.
fn each(flag: &str, values: &BTreeSet<String>) -> Vec<String> {
    values.iter().flat_map(|value| [flag.to_owned(), value.clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Known {
            packages: set(&[
                "portolan-core",
                "portolan-konnector",
                "portolan-provider",
                "portolan-tests",
                "xtask",
            ]),
            end_to_end: set(&["konnector", "charts"]),
            integration: set(&["kubeconfigs"]),
        }
    }

    fn commands(services: &[&str]) -> Vec<String> {
        plan(&strings(services), &known(), true).unwrap().iter().map(Stage::repeat).collect()
    }

    const TEST: &str = "cargo test --profile ci";
    const REST: &str = "--no-fail-fast -- --show-output";

    #[test]
    fn without_a_name_everything_runs() {
        let expected = [
            "cargo fmt --all --check".to_owned(),
            "cargo clippy --profile ci --workspace --all-targets -- -D warnings".to_owned(),
            "cargo build --profile ci --workspace --all-targets".to_owned(),
            format!("{TEST} --workspace --lib --bins --test kubeconfigs {REST}"),
            format!("{TEST} --workspace --doc {REST}"),
            format!("{TEST} --workspace --test charts --test konnector {REST}"),
            "cargo xtask tidy".to_owned(),
            "cargo xtask up --once".to_owned(),
            format!("cargo xtask torture --seconds 60 --seed 1 --quiet 15 --steps {TORTURE_STEPS}"),
            "cargo xtask cluster up --once".to_owned(),
        ];
        assert_eq!(commands(&[]), expected);
    }

    #[test]
    fn with_a_name_its_part_runs() {
        let cases = [
            ("konnector", true, true),
            // No end-to-end test of its own.
            ("provider", true, false),
            // No package of its own.
            ("charts", false, true),
        ];
        for (service, unit, end_to_end) in cases {
            let all = commands(&[service]);
            let has = |command: String| all.contains(&command);
            let package = format!("--package portolan-{service} --package xtask");
            assert_eq!(has(format!("{TEST} {package} --lib --bins --tests {REST}")), unit, "{all:?}");
            assert_eq!(has(format!("{TEST} {package} --doc {REST}")), unit, "{all:?}");
            assert_eq!(has(format!("{TEST} --workspace --test {service} {REST}")), end_to_end, "{all:?}");
            assert!(has("cargo build --profile ci --workspace --all-targets".to_owned()), "{all:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = plan(&strings(&["konnector", "konector"]), &known(), true).unwrap_err().to_string();
        assert_eq!(error, "no service konector; there are: charts, core, konnector, provider");
    }
}
