//! `cargo xtask bench SERVICE`: figures of a service, as users get it, beside what is promised and what the
//! original needs.

mod figure;
mod konnector;
mod watching;

use std::{fs, process::ExitCode};

use anyhow::{Result, bail};

use crate::{
    display::{Display, DisplayArgs},
    interrupt::{EXIT_INTERRUPTED, Interrupts, block_on},
    output,
};

/// A machine with more load than this has other work to do.
const QUIET: f64 = 1.0;

/// Arguments of the verb.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The service to measure
    #[arg(value_name = "SERVICE", value_parser = ["konnector"])]
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

/// Runs the verb. Another service joins with a module like [`konnector`] and a branch here.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    let known = konnector::names();
    if !known.iter().copied().any(wanted) {
        bail!("{} has no such figure; there are: {}", args.service, known.join(", "));
    }
    let binaries = konnector::build()?;
    let figures = block_on(async {
        let mut interrupts = Interrupts::listen()?;
        let display = Display::new(&args.display);
        warn_of_noise(&display);
        let figures = interrupts.unless(Box::pin(konnector::measure(&display, binaries, &wanted))).await;
        display.finish();
        figures.transpose()
    })?;
    let Some(mut figures) = figures else { return Ok(ExitCode::from(EXIT_INTERRUPTED)) };
    figures.retain(|figure| wanted(figure.kind.name));
    output::line(if args.json { figure::json(&figures)? } else { figure::table(&figures) });
    Ok(ExitCode::SUCCESS)
}

/// Figures of a busy machine say little, and a reader cannot see that in them.
fn warn_of_noise(display: &Display) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let last_minute = load.split(' ').next().and_then(|load| load.parse::<f64>().ok()).unwrap_or_default();
    if last_minute > QUIET {
        display.line(format_args!("the load of the last minute is {last_minute:.1}: figures will be noisy"));
    }
}
