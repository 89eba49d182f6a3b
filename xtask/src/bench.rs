//! `cargo xtask bench SERVICE`: figures of a service, as users get it, beside what is promised and what the
//! original needs.

mod figure;
mod konnector;
mod token_service;
mod watching;

use std::{fs, process::ExitCode};

use anyhow::{Result, bail};

use self::figure::Figure;
use crate::{
    display::{Display, DisplayArgs},
    interrupt::{EXIT_INTERRUPTED, Interrupts, block_on},
    output,
    services::Binaries,
};

/// A machine with more load than this has other work to do.
const QUIET: f64 = 1.0;

/// Arguments of the verb.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The service to measure
    #[arg(value_name = "SERVICE", value_parser = ["konnector", "token-service"])]
    service: String,
    /// Measure this figure only
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// One JSON object a line and figure: name, value, unit, yardstick, ratio
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    display: DisplayArgs,
}

/// Runs the verb.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let known = match args.service.as_str() {
        "konnector" => konnector::names(),
        _ => token_service::names(),
    };
    if !known.iter().copied().any(wanted) {
        bail!("{} has no such figure; there are: {}", args.service, known.join(", "));
    }
    let bench = Bench::build(&args.service)?;
    let figures = block_on(async {
        let mut interrupts = Interrupts::listen()?;
        let display = Display::new(&args.display);
        warn_of_noise(&display);
        let figures = interrupts.unless(Box::pin(bench.measure(&display, &wanted))).await;
        display.finish();
        figures.transpose()
    })?;
    let Some(mut figures) = figures else { return Ok(ExitCode::from(EXIT_INTERRUPTED)) };
    figures.retain(|figure| wanted(figure.kind.name));
    output::line(if args.json { figure::json(&figures)? } else { figure::table(&figures) });
    Ok(ExitCode::SUCCESS)
}

/// What is measured, built. Another service joins with a module like [`konnector`] and a variant.
enum Bench {
    Konnector(Binaries),
    TokenService(Binaries),
}

impl Bench {
    fn build(service: &str) -> Result<Self> {
        Ok(match service {
            "konnector" => Self::Konnector(konnector::build()?),
            _ => Self::TokenService(token_service::build()?),
        })
    }

    async fn measure(self, display: &Display, wanted: &impl Fn(&str) -> bool) -> Result<Vec<Figure>> {
        match self {
            Self::Konnector(binaries) => konnector::measure(display, binaries, wanted).await,
            Self::TokenService(binaries) => token_service::measure(display, &binaries, wanted).await,
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
