//! `cargo xtask VERB`: the project's own commands, one file per verb.
//!
//! A new verb is a file with `Args` and `run`, and a variant of [`Command`].

mod bench;
mod charts;
mod cluster;
mod console;
mod crds;
mod deps;
mod images;
mod rights;
mod stages;
mod test;
mod tidy;
mod torture;
mod toystore;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask_kit::{clusters, display, interrupt, output, services, workspace};

#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a provider and a consumer cluster with all services, and walk through what they do
    Up(up::Args),
    /// Render every CRD into the chart that ships it
    Crds(crds::Args),
    /// Build the bundles of the gateway's console and of the portal's pages from their sources, with npm
    Console(console::Args),
    /// Render the charts as manifests, for people without Helm
    Charts(charts::Args),
    /// Build an OCI image and an SBOM of each service, without pulling anything
    Images(images::Args),
    /// Turn this machine into a Kubernetes cluster with every chart installed, and take it down again
    Cluster(cluster::Args),
    /// Check what the compiler does not: dependency edges, versions, licences, source rules, the ledger
    Tidy,
    /// Install the Debian packages that tests need, and check the tools they are built with
    Deps,
    /// Report rights that the charts grant and no test has used
    Rights(rights::Args),
    /// Run every stage that must pass before a change lands, or the part of some services
    Test(test::Args),
    /// Measure a service against what is promised, and against a yardstick of the same run
    Bench(bench::Args),
    /// Run two clusters through a random history, and look for violations of what must always hold
    Torture(torture::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::run(&args),
        Command::Crds(args) => crds::run(&args),
        Command::Console(args) => console::run(&args),
        Command::Charts(args) => charts::run(&args),
        Command::Images(args) => images::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Tidy => tidy::run(),
        Command::Deps => deps::run(),
        Command::Rights(args) => rights::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Torture(args) => torture::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        output::problem(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
