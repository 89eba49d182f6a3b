//! `cargo xtask up [--once]`: two clusters, the services between them, and a walk through what they do.

mod cert_manager;
mod devportal;
mod gateway;
mod hints;
mod kube_bind;
mod listener;
mod portal;
mod report;
mod tokens;
mod walk;
mod world;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;

use self::world::World;
use crate::{
    clusters::Clusters,
    display::{Display, DisplayArgs},
    interrupt::{EXIT_INTERRUPTED, Interrupts, block_on},
    output,
    services::{Binaries, Profile},
};

/// The services that join.
const SERVICES: [&str; 9] = [
    "provider",
    "konnector",
    "token-service",
    "token-exchange",
    "kfca-cli",
    "listener",
    "gateway",
    "devportal",
    "portal",
];
/// Interval at which to look whether the services still run.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// End after the walk-through instead of running until Ctrl-C
    #[arg(long)]
    once: bool,
    /// A real service that the provider offers as well; it is built with Go, once
    #[arg(long, value_name = "SERVICE", value_parser = [cert_manager::NAME])]
    with: Vec<String>,
    #[command(flatten)]
    display: DisplayArgs,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<ExitCode> {
    let binaries = Binaries::build(&SERVICES, Profile::Ci)?;
    block_on(live(args, binaries))
}

async fn live(args: &Args, binaries: Binaries) -> Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    let display = Display::new(&args.display);
    let start =
        display.run("control planes of a provider and a consumer", Box::pin(Clusters::start(&display)));
    let Some(clusters) = interrupts.unless(start).await else { return Ok(interrupted(&display)) };
    let mut world = World::new(clusters?, binaries)?;
    let walked = interrupts.unless(walk::walk(&display, &mut world, &args.with)).await;
    let code = match walked {
        None => interrupted(&display),
        Some(passed) => {
            display.finish();
            if !args.once {
                stay(&world, passed, &mut interrupts).await?;
            }
            if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    };
    world.stop().await;
    Ok(code)
}

fn interrupted(display: &Display) -> ExitCode {
    display.finish();
    output::problem("interrupted: stopping everything");
    ExitCode::from(EXIT_INTERRUPTED)
}

/// Runs until Ctrl-C, also after a failure: the clusters are there to look at.
async fn stay(world: &World, passed: bool, interrupts: &mut Interrupts) -> Result<()> {
    output::line(hints::text(world, passed));
    let mut reported = Vec::new();
    while interrupts.unless(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        for (service, log) in world.ended() {
            if !reported.contains(&service) {
                output::problem(format_args!("{service} has ended; its log ends with:\n{log}"));
                reported.push(service);
            }
        }
    }
    output::problem("stopping everything");
    Ok(())
}
