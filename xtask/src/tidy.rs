//! `cargo xtask tidy`: what must hold in this repository and the compiler does not check.
//!
//! Each check answers with the things that are wrong, as sentences that say the cure.

pub mod built;
mod chart_alerts;
mod chart_metrics;
mod chart_values;
mod charts;
mod circles;
mod code_map;
mod edges;
mod ledger;
mod licence;
mod manifests;
mod packages;
mod policy;
mod reasons;
mod source;
mod test_index;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::Result;
use cargo_metadata::{Metadata, Package};

use self::policy::Policy;
use crate::{console, crds, output, workspace};

/// The files and facts that the checks look at.
struct Project {
    root: PathBuf,
    graph: Metadata,
    /// The part of the graph that is compiled on some platform.
    built: Vec<Package>,
    policy: Policy,
}

type Check = fn(&Project) -> Result<Vec<String>>;

const CHECKS: [(&str, Check); 17] = [
    ("dependency edges", |project| Ok(edges::check(project))),
    ("single versions", |project| Ok(packages::versions(project))),
    ("banned crates", |project| Ok(packages::bans(project))),
    ("licences", |project| Ok(packages::licences(project))),
    ("sources of crates", |project| Ok(packages::sources(project))),
    ("manifests", manifests::check),
    ("source files", source::check),
    ("circles of imports", circles::check),
    ("code map", code_map::check),
    ("generated files", |project| crds::problems(&project.root)),
    ("ledger", ledger::check),
    ("reasons and Events", reasons::check),
    ("values of charts", chart_values::check),
    ("metrics in alerts and dashboards", chart_metrics::check),
    ("alerts and their pages", chart_alerts::check),
    ("bundle of the console, where npm is installed", |project| console::problems(&project.root)),
    ("cargo-deny, where it is installed", cargo_deny),
];

/// Runs the verb.
pub fn run() -> Result<ExitCode> {
    let graph = workspace::graph()?;
    let root = graph.workspace_root.clone().into_std_path_buf();
    let policy = Policy::load(&root)?;
    let built = built::packages(&graph)?;
    let project = Project { root, graph, built, policy };
    let mut code = ExitCode::SUCCESS;
    for (name, check) in CHECKS {
        let problems = check(&project).unwrap_or_else(|error| vec![format!("{error:#}")]);
        if problems.is_empty() {
            output::line(format_args!("ok    {name}"));
        } else {
            output::line(format_args!("FAIL  {name}"));
            for problem in problems {
                output::line(format_args!("      {problem}"));
            }
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// The same policy as the original reads it, where it is installed.
fn cargo_deny(project: &Project) -> Result<Vec<String>> {
    let mut deny = Command::new("cargo");
    deny.arg("deny").current_dir(&project.root);
    if !deny.arg("--version").output()?.status.success() {
        return Ok(Vec::new());
    }
    let mut deny = Command::new("cargo");
    deny.args(["deny", "--locked", "check", "bans", "licenses", "sources"]).current_dir(&project.root);
    let output = deny.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    Ok(if output.status.success() { Vec::new() } else { text.lines().map(str::to_owned).collect() })
}
