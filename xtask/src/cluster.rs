//! `cargo xtask cluster up|down`: a single-node Kubernetes on this machine with every chart installed, and the
//! walk-through inside it.
//!
//! The node has its own namespaces (`space`): when their first process ends, so does everything that the node has
//! created. `node` is what runs in there; `walk` is what a person would do from outside.

mod charts;
mod guests;
mod home;
mod images;
mod machine;
mod needs;
mod node;
mod operation;
mod scene;
mod site;
mod space;
mod walk;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_testkit::{binaries, node::NodeBinaries, workdir::Workdir};

pub use self::needs::lacking;
use self::{
    home::Home,
    node::NodeArgs,
    scene::Scene,
    space::{Doors, Space},
};
use crate::{
    display::{Display, DisplayArgs},
    interrupt::{self, EXIT_INTERRUPTED, Interrupts},
    output,
    services::{Binaries, Profile},
};

/// The images that the charts use.
const SERVICES: [&str; 8] = [
    "konnector",
    "provider",
    "token-service",
    "token-exchange",
    "listener",
    "gateway",
    "devportal",
    "portal",
];

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Turn this machine into a node, install every chart, and walk through what they do
    Up(UpArgs),
    /// Take the cluster down, and fail if it has left anything
    Down(DownArgs),
    /// The node itself; `up` starts it
    #[command(hide = true)]
    Node(NodeArgs),
}

#[derive(clap::Args)]
struct UpArgs {
    #[command(flatten)]
    place: DownArgs,
    /// Install the charts on this cluster instead of our own node; it must have the images, or be able to pull them.
    /// Needs no root; a cluster on this machine is left alone
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Registry from which that cluster pulls the images (`global.imageRegistry`)
    #[arg(long, value_name = "HOST", requires = "kubeconfig")]
    registry: Option<String>,
    /// Directory with the services' binaries, instead of building them
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Take the cluster down after the walk-through
    #[arg(long)]
    once: bool,
    /// Leave out what takes minutes: upgrades, evictions and kills under load
    #[arg(long)]
    short: bool,
    #[command(flatten)]
    display: DisplayArgs,
}

#[derive(clap::Args)]
struct DownArgs {
    /// Directory of the cluster
    #[arg(long, value_name = "DIR", default_value = home::DEFAULT)]
    state: PathBuf,
}

/// Host names of the token service.
fn hosts() -> Vec<String> {
    ["api.kube-fed", "api.app1.kube-fed"].iter().map(|name| format!("{name}.svc.cluster.local")).collect()
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.verb {
        Verb::Up(up) => self::up(up),
        Verb::Down(down) => self::down(down),
        Verb::Node(node) => node::run(node),
    }
}

fn down(args: &DownArgs) -> Result<ExitCode> {
    ensure!(needs::is_root(), "needs root, as `up` does: sudo -E cargo xtask cluster down");
    match Home::open(&args.state)?.clear()? {
        None => output::line("no cluster runs"),
        Some(left) => tell(&left)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(left: &[String]) -> Result<()> {
    ensure!(left.is_empty(), "the cluster has ended and has left: {}", left.join("; "));
    output::line("the cluster has ended and has left no process, mount, device, rule, cgroup or setting");
    Ok(())
}

/// What became of a walk-through that a signal may have ended.
type Done = Result<Option<Result<()>>>;

fn up(args: &UpArgs) -> Result<ExitCode> {
    if let Some(file) = &args.kubeconfig {
        return elsewhere(args, file);
    }
    needs::check()?;
    let display = Display::new(&args.display);
    let home = Home::open(&args.place.state)?;
    if let Some(left) = home.clear()? {
        display.line("an earlier cluster was still there; it has been ended");
        ensure!(left.is_empty(), "it has left: {}", left.join("; "));
    }
    let binaries = match &args.binaries {
        Some(folder) => Binaries::found_in(&folder.canonicalize().context("the folder of the binaries")?),
        None => Binaries::build(&[&SERVICES[..], &["kfca-cli"]].concat(), Profile::Ci)?,
    };
    let done = interrupt::block_on(async {
        let mut interrupts = Interrupts::listen()?;
        Ok(interrupts.unless(Box::pin(raise(args, &display, &home, &binaries))).await)
    });
    display.finish();
    conclude(args, &home, done)
}

/// Installs the charts on somebody else's cluster.
fn elsewhere(args: &UpArgs, file: &Path) -> Result<ExitCode> {
    let folder = Workdir::new("charts")?;
    let home = Home::open(folder.path())?;
    let display = Display::new(&args.display);
    let done = interrupt::block_on(async {
        let mut interrupts = Interrupts::listen()?;
        Ok(interrupts.unless(Box::pin(install(args, &display, &home, file))).await)
    });
    display.finish();
    code(done)
}

/// Takes the cluster down unless it is to stay.
fn conclude(args: &UpArgs, home: &Home, done: Done) -> Result<ExitCode> {
    let failed = !matches!(done, Ok(Some(Ok(()))));
    if !failed && !args.once {
        let path = home.file(node::KUBECONFIG);
        output::line(format_args!("export KUBECONFIG={}", path.display()));
        output::line("`cargo xtask cluster down` ends it");
        return Ok(ExitCode::SUCCESS);
    }
    let left = home.clear()?.unwrap_or_default();
    if !failed {
        tell(&left)?;
    }
    code(done)
}

fn code(done: Done) -> Result<ExitCode> {
    match done? {
        None => Ok(ExitCode::from(EXIT_INTERRUPTED)),
        Some(walked) => walked.map(|()| ExitCode::SUCCESS),
    }
}

async fn raise(args: &UpArgs, display: &Display, home: &Home, binaries: &Binaries) -> Result<()> {
    let scene = Box::pin(begin(display, home, binaries)).await?;
    Box::pin(walk::walk(display, &scene, args.short)).await
}

async fn install(args: &UpArgs, display: &Display, home: &Home, file: &Path) -> Result<()> {
    let scene = Box::pin(Scene::elsewhere(home, file, args.registry.clone())).await?;
    Box::pin(walk::walk(display, &scene, args.short)).await
}

/// Creates the node and waits until pods can run on it.
async fn begin(display: &Display, home: &Home, binaries: &Binaries) -> Result<Scene> {
    let control_plane = binaries::locate(display).await?;
    let programs = NodeBinaries::locate(display).await?;
    let images = display.run("images of the services", images::build(home, binaries, &programs)).await?;
    let doors = Doors::open()?;
    let port = |listener: &std::net::TcpListener| listener.local_addr().map(|address| address.port());
    let node = NodeArgs {
        state: home.path().to_owned(),
        port: port(&doors.cluster)?,
        provider_port: port(&doors.provider)?,
    };
    let mut space = Space::begin(home, doors, &node)?;
    display.run("control plane, kubelet, proxy, scheduler, DNS", until_published(&mut space, home)).await?;
    let scene = Scene::ours(home, binaries, control_plane.kubectl).await?;
    display.run("the node is Ready", scene.node_ready(&mut space)).await?;
    display.run("images are loaded", images::load(home, &images)).await?;
    Ok(scene)
}

async fn until_published(space: &mut Space, home: &Home) -> Result<()> {
    for _ in 0..600 {
        space.check()?;
        if home.file(node::KUBECONFIG).is_file() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    bail!("the parts of the node do not start; see {}", home.file("node.log").display())
}
