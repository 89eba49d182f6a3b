//! `cargo xtask bench SERVICE`: figures of a service, as users get it, beside what is promised and beside a yardstick
//! that is measured in the same run. A promise that is not kept fails the run.

mod devportal;
mod figure;
mod gateway;
mod konnector;
mod listener;
mod portal;
mod token_service;
mod watching;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Parser as _;
use xtask_kit::{
    clusters,
    display::{self, Display, DisplayArgs},
    interrupt::{EXIT_INTERRUPTED, Interrupts, block_on},
    output,
    services::{self, Binaries, Profile},
};

use self::figure::{Figure, Kind};

/// A machine with more load than this has other work to do.
const QUIET: f64 = 1.0;

/// Measure a service against what is promised, and against a yardstick of the same run
#[derive(clap::Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
struct Args {
    /// The service to measure
    #[arg(value_name = "SERVICE", value_parser = ["devportal", "gateway", "konnector", "listener", "portal", "token-service"])]
    service: String,
    /// Measure this figure, or the figures of this group, only
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// One JSON object a line and figure: name, value, unit, yardstick, ratio
    #[arg(long)]
    json: bool,
    /// Measure what tests are built from, which is there sooner than what users get, and slower
    #[arg(long)]
    unoptimised: bool,
    /// Measure the binaries in this folder, as of another commit, and build nothing
    #[arg(long, value_name = "DIR", conflicts_with = "unoptimised")]
    binaries: Option<PathBuf>,
    #[command(flatten)]
    display: DisplayArgs,
}

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|error| {
        output::problem(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> Result<ExitCode> {
    let choice = Choice(args.only.clone());
    let groups = match args.service.as_str() {
        "devportal" => devportal::groups(),
        "gateway" => gateway::groups(),
        "konnector" => konnector::groups(),
        "listener" => listener::groups(),
        "portal" => portal::groups(),
        _ => token_service::groups(),
    };
    if !groups.iter().any(|(group, kinds)| choice.any(group, kinds)) {
        let names = groups.iter().flat_map(|(_, kinds)| *kinds).map(|kind| kind.name);
        bail!("{} has no such figure; there are: {}", args.service, names.collect::<Vec<_>>().join(", "));
    }
    let bench = Bench::prepare(args)?;
    let mut figures = Vec::new();
    let ended = block_on(async {
        let mut interrupts = Interrupts::listen()?;
        let display = Display::new(&args.display);
        warn_of_noise(&display);
        let ended = interrupts.unless(Box::pin(bench.measure(&display, &choice, &mut figures))).await;
        display.finish();
        Ok(ended)
    })?;
    let Some(ended) = ended else { return Ok(ExitCode::from(EXIT_INTERRUPTED)) };
    // Those from before a failure count as well.
    output::line(if args.json { figure::json(&figures)? } else { figure::table(&figures) });
    let missed = figure::missed(&figures);
    missed.iter().for_each(output::problem);
    ended?;
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The choice of figures: everything, one figure, or a group of figures that are measured together.
struct Choice(Option<String>);

impl Choice {
    /// Returns `true` if a figure of a group is wanted.
    fn wants(&self, group: &str, figure: &str) -> bool {
        self.0.as_deref().is_none_or(|only| only == group || only == figure)
    }

    /// Returns `true` if any figure of a group is wanted.
    fn any(&self, group: &str, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.wants(group, kind.name))
    }
}

/// The benches, built. Another service joins with a module like [`konnector`] and a variant.
enum Bench {
    Devportal(Binaries),
    Gateway(Binaries),
    Konnector(Binaries),
    Listener(Binaries),
    Portal(Binaries),
    TokenService(Binaries),
}

impl Bench {
    fn prepare(args: &Args) -> Result<Self> {
        let profile = if args.unoptimised { Profile::Ci } else { Profile::Release };
        let of = |build: fn(Profile) -> Result<Binaries>| match &args.binaries {
            Some(folder) => Ok(Binaries::found_in(folder)),
            None => build(profile),
        };
        Ok(match args.service.as_str() {
            "devportal" => Self::Devportal(of(devportal::build)?),
            "gateway" => Self::Gateway(of(gateway::build)?),
            "konnector" => Self::Konnector(of(konnector::build)?),
            "listener" => Self::Listener(of(listener::build)?),
            "portal" => Self::Portal(of(portal::build)?),
            _ => Self::TokenService(of(token_service::build)?),
        })
    }

    async fn measure(self, display: &Display, choice: &Choice, figures: &mut Vec<Figure>) -> Result<()> {
        match self {
            Self::Devportal(binaries) => {
                Box::pin(devportal::measure(display, &binaries, choice, figures)).await
            }
            Self::Gateway(binaries) => Box::pin(gateway::measure(display, &binaries, choice, figures)).await,
            Self::Konnector(binaries) => konnector::measure(display, binaries, choice, figures).await,
            Self::Listener(binaries) => {
                Box::pin(listener::measure(display, &binaries, choice, figures)).await
            }
            Self::Portal(binaries) => Box::pin(portal::measure(display, &binaries, choice, figures)).await,
            Self::TokenService(binaries) => token_service::measure(display, &binaries, choice, figures).await,
        }
    }
}

/// Figures of a busy machine say little, and a reader cannot see that in them.
fn warn_of_noise(display: &Display) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let last_minute = load.split(' ').next().and_then(|load| load.parse::<f64>().ok()).unwrap_or_default();
    if last_minute > QUIET {
        display.line(format_args!("the load of the last minute is {last_minute:.1}: figures will be noisy"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_figure_or_a_group() {
        for (only, expected) in [
            (None, true),
            (Some("real_crds"), true),
            (Some("real_crds_rss_mb"), true),
            (Some("real_crds_bind_s"), false),
            (Some("real"), false),
        ] {
            let choice = Choice(only.map(str::to_owned));
            assert_eq!(choice.wants("real_crds", "real_crds_rss_mb"), expected, "{only:?}");
        }
    }

    #[test]
    fn names_of_groups_and_figures_are_unique() {
        let all = [
            devportal::groups(),
            gateway::groups(),
            konnector::groups(),
            listener::groups(),
            portal::groups(),
            token_service::groups(),
        ];
        for groups in all {
            let figures = groups.iter().flat_map(|(_, kinds)| kinds.iter().map(|kind| kind.name));
            let mut names: Vec<_> = figures.collect();
            // A group of one figure may have its name.
            names.extend(groups.iter().filter(|(_, kinds)| kinds.len() > 1).map(|(group, _)| *group));
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{names:?}");
        }
    }
}
