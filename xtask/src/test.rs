//! `cargo xtask test [SERVICE...]`: every stage that must pass before a change lands.

mod plan;
mod report;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, ExitCode, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, builder::FalseyValueParser};

use self::{
    plan::{Kind, Known, Stage},
    report::Report,
};
use crate::{
    Cli, cluster, output,
    stages::{Counts, Stages},
    workspace,
};

/// Skips that a CI run may have.
const ALLOWED_SKIPS: &str = ".ci/allowed-skips";

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Services whose part is run (a name such as `konnector`); none for everything
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// A skip that .ci/allowed-skips does not name is a failure
    #[arg(long, env = "CI", value_parser = FalseyValueParser::new())]
    ci: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<ExitCode> {
    let metadata = workspace::members()?;
    let root = metadata.workspace_root.as_std_path();
    let allowed = allowed_skips(root)?;
    let has_up = Cli::command().find_subcommand("up").is_some();
    let plan = plan::plan(&args.services, &Known::from(&metadata), has_up)?;
    let mut stages = Stages::new(metadata.target_directory.join("stages.tsv").into())?;
    let mut runner = Runner { root, allowed: args.ci.then_some(&allowed), failures: Vec::new() };
    let mut built = true;
    for stage in &plan {
        if stage.needs_build && !built {
            stages.skip(stage.name, "the build failed")?;
            continue;
        }
        if let Some(why) = (stage.name == plan::CLUSTER).then(cluster::lacking).flatten() {
            stages.skip(stage.name, &why)?;
            continue;
        }
        let passed = stages.run(stage.name, || runner.run(stage))?;
        built &= passed || stage.name != plan::BUILD;
    }
    runner.failures.iter().for_each(output::line);
    let total = stages.total();
    output::line(total);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn allowed_skips(root: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(root.join(ALLOWED_SKIPS)).context(ALLOWED_SKIPS)?;
    Ok(report::parse_allowed(&text))
}

struct Runner<'a> {
    root: &'a Path,
    /// The skips that are no failure; `None` where every skip is fine.
    allowed: Option<&'a BTreeSet<String>>,
    /// The failed stages and how to repeat them, for the end of the output.
    failures: Vec<String>,
}

impl Runner<'_> {
    fn run(&mut self, stage: &Stage) -> Result<Counts> {
        let mut command = command(stage)?;
        command.current_dir(self.root);
        let counts = match stage.kind {
            Kind::CargoTest => self.cargo_test(command)?,
            Kind::Cargo | Kind::Xtask => {
                Counts::one(command.status().context("starting the stage")?.success())
            }
        };
        if counts.failed > 0 {
            self.failures.push(format!("failed: {}; repeat it with `{}`", stage.name, stage.repeat()));
        }
        Ok(counts)
    }

    fn cargo_test(&mut self, mut command: Command) -> Result<Counts> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("starting cargo test")?;
        let mut report = Report::default();
        for line in BufReader::new(child.stdout.take().context("its output is piped")?).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if report.read(&line) {
                output::line(&line);
            }
        }
        let status = child.wait()?;
        self.failures.extend(report.failed_tests().map(|name| format!("failed: test {name}")));
        Ok(self.judge(&report, status))
    }

    fn judge(&mut self, report: &Report, status: ExitStatus) -> Counts {
        let refused = self.allowed.map(|allowed| report.refused_skips(allowed)).unwrap_or_default();
        self.failures
            .extend(refused.iter().map(|skip| format!("failed: {skip}; {ALLOWED_SKIPS} does not name it")));
        let mut counts = report.counts();
        counts.skipped -= refused.len();
        counts.failed += refused.len();
        // Code that does not compile and a test that kills its process leave no count behind.
        if !status.success() && counts.failed == 0 {
            counts.failed = 1;
        }
        counts
    }
}

fn command(stage: &Stage) -> Result<Command> {
    let mut command = match stage.kind {
        Kind::Cargo | Kind::CargoTest => Command::new("cargo"),
        Kind::Xtask => Command::new(workspace::own_program()?),
    };
    command.args(&stage.arguments);
    Ok(command)
}
