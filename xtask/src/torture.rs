//! `cargo xtask torture`: real clusters live through random histories, and what may never happen is looked for in their
//! audit logs and lists.

mod agree;
mod copies;
mod driver;
mod evolution;
mod faults;
mod findings;
mod history;
mod kinds;
mod origins;
mod owners;
mod people;
mod record;
mod report;
mod steps;
mod world;

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use clap::builder::PossibleValuesParser;
use rand::RngExt as _;

use self::{driver::Driver, findings::Findings, report::Outcome, steps::Step, world::World};
use crate::{
    display::{Display, DisplayArgs},
    interrupt::{EXIT_INTERRUPTED, Interrupts, block_on},
    services::{Binaries, Profile},
};

/// Time for which steps are taken before both sides must agree.
const PHASE: Duration = Duration::from_secs(20);

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Seconds for which steps are taken
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Repeats the steps of an earlier run; what happens between them is not the seed's to decide
    #[arg(long)]
    seed: Option<u64>,
    /// The steps to take besides creating, changing, deleting and reporting; all when absent
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(Step::values()))]
    steps: Vec<String>,
    /// Seconds at the end in which nothing may be written
    #[arg(long, default_value_t = 60)]
    quiet: u64,
    /// One JSON object a line and name: name, value, unit
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    display: DisplayArgs,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<ExitCode> {
    let binaries = Binaries::build(&["konnector", "provider"], Profile::Ci)?;
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::rng().random::<u32>()));
    block_on(async {
        let mut interrupts = Interrupts::listen()?;
        let display = Display::new(&args.display);
        display.line(format_args!("seed {seed}"));
        let outcome = interrupts.unless(Box::pin(torture(args, seed, &display, binaries))).await;
        display.finish();
        let Some(outcome) = outcome else { return Ok(ExitCode::from(EXIT_INTERRUPTED)) };
        let outcome = outcome?;
        report::show(&outcome, args.json)?;
        Ok(if outcome.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

async fn torture(args: &Args, seed: u64, display: &Display, binaries: Binaries) -> Result<Outcome> {
    let mut world = World::start(display, binaries).await?;
    let mut driver = Driver::new(&mut world, seed, Step::chosen(&args.steps));
    let lived = live(args, display, &mut driver).await;
    let (taken, trace) = (driver.taken, std::mem::take(&mut driver.trace));
    let findings = match lived {
        Ok(findings) => findings,
        Err(error) => {
            report::steps(seed, &trace);
            report::logs(&world);
            return Err(error);
        }
    };
    if !findings.is_empty() {
        report::logs(&world);
    }
    world.stop().await;
    Ok(Outcome { seed, seconds: args.seconds, names: args.steps.clone(), taken, trace, findings })
}

/// Takes steps in phases; the first one that ends with something wrong is the last.
async fn live(args: &Args, display: &Display, driver: &mut Driver<'_>) -> Result<Findings> {
    let (mut left, mut phase) = (Duration::from_secs(args.seconds), 0);
    while !left.is_zero() {
        let length = left.min(PHASE);
        left -= length;
        phase += 1;
        let name = format!("phase {phase}: {} s of steps", length.as_secs());
        display.run(&name, Box::pin(driver.work(length, display))).await?;
        let name = format!("phase {phase}: both sides agree");
        let findings = judged(display, &name, Box::pin(driver.settle())).await?;
        if !findings.is_empty() {
            return Ok(findings);
        }
    }
    let name = format!("{} s in which nothing is written", args.quiet);
    let quiet = driver.quiet(Duration::from_secs(args.quiet));
    judged(display, &name, Box::pin(quiet)).await
}

/// Shows a piece of work as failed when it finds something.
async fn judged(
    display: &Display,
    name: &str,
    work: impl Future<Output = Result<Findings>>,
) -> Result<Findings> {
    let mut found = Findings::default();
    let look = async {
        found = work.await?;
        ensure!(found.is_empty(), "something is wrong");
        Ok(())
    };
    let outcome = display.run(name, look).await;
    if found.is_empty() {
        outcome?;
    }
    Ok(found)
}
