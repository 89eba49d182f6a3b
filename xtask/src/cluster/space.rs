//! The namespaces of a cluster: its own processes, mounts and network. When their first process ends, the kernel ends
//! all others and removes every mount, device and rule.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    home::{Home, Record, Who},
    machine::Machine,
    node::NodeArgs,
};
use crate::workspace;

/// The first process in there: it reaps orphans, and ends when the node does.
const FIRST: &str = r#"exec 3<&0
"$@" <&3 3<&- &
wait "$!""#;
const STARTED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

/// The doors of the API servers on the machine's own loopback. Their sockets belong to the machine's network and are
/// inherited by the node, which accepts on them: no device and no route leads in or out.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) cluster: TcpListener,
    pub(super) provider: TcpListener,
}

impl Doors {
    pub(super) fn open() -> Result<Self> {
        let open = || TcpListener::bind("127.0.0.1:0").context("listening on loopback");
        Ok(Self { cluster: open()?, provider: open()? })
    }
}

/// A running node.
#[derive(Debug)]
pub(super) struct Space {
    child: Child,
    log: PathBuf,
}

impl Space {
    /// Starts the node in its own namespaces. It goes on when this process ends.
    pub(super) fn begin(home: &Home, doors: Doors, node: &NodeArgs) -> Result<Self> {
        let before = Machine::look(home.path())?;
        home.write(&Record { before: before.clone(), processes: Vec::new() })?;
        let log = File::create(home.file("node.log")).context("creating the log of the node")?;
        let mut command = Command::new("unshare");
        command.args([
            "--fork",
            "--kill-child",
            "--pid",
            "--mount-proc",
            "--mount",
            "--net",
            "--uts",
            "--ipc",
        ]);
        command.args(["--propagation", "private", "sh", "-c", FIRST, "node"]);
        command.arg(workspace::own_program()?);
        command.args(["cluster", "node"]).args(node.arguments());
        // Standard input and output are the two doors, since inherited sockets need no name.
        command.stdin(OwnedFd::from(doors.cluster)).stdout(OwnedFd::from(doors.provider)).stderr(log);
        let tmp = home.file("tmp");
        fs::create_dir_all(&tmp)?;
        command.env("TMPDIR", tmp).current_dir("/");
        command.process_group(0);
        let child = command.spawn().context("starting unshare")?;
        let outer = Who::of(child.id()).context("unshare ended at once")?;
        home.write(&Record { before: before.clone(), processes: vec![outer.clone()] })?;
        let mut space = Self { child, log: home.file("node.log") };
        let first = space.first_process()?;
        home.write(&Record { before, processes: vec![first, outer] })?;
        Ok(space)
    }

    fn first_process(&mut self) -> Result<Who> {
        let id = self.child.id();
        let deadline = Instant::now() + STARTED_WITHIN;
        loop {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            let first = children.split_whitespace().next().and_then(|word| word.parse().ok());
            if let Some(who) = first.and_then(Who::of) {
                return Ok(who);
            }
            if self.child.try_wait()?.is_some() || Instant::now() >= deadline {
                bail!("no namespaces: unshare has made no process; see node.log");
            }
            sleep(POLL);
        }
    }

    /// Fails when the node has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            bail!("the node has ended ({status}):\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        Ok(())
    }
}
