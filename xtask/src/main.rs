//! `cargo xtask VERB`: the project's own commands, one file per verb.
//!
//! A new verb is a file with `Args` and `run`, and a variant of [`Command`].

mod bench;
mod charts;
mod clusters;
mod crds;
mod deps;
mod display;
mod images;
mod interrupt;
mod output;
mod services;
mod stages;
mod test;
mod tidy;
mod torture;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Render the charts as manifests, for people without Helm
    Charts(charts::Args),
    /// Build an OCI image and an SBOM of each service, without pulling anything
    Images(images::Args),
    /// Check what the compiler does not: dependency edges, versions, licences, source rules, the ledger
    Tidy,
    /// Install the Debian packages that tests need, and check the tools they are built with
    Deps,
    /// Run every stage that must pass before a change lands, or the part of some services
    Test(test::Args),
    /// Measure a service against what is promised and against the original
    Bench(bench::Args),
    /// Let two clusters live through a random history, and look for what may never happen
    Torture(torture::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::run(&args),
        Command::Crds(args) => crds::run(&args),
        Command::Charts(args) => charts::run(&args),
        Command::Images(args) => images::run(&args),
        Command::Tidy => tidy::run(),
        Command::Deps => deps::run(),
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
