//! The processes of a node, and what they need of the kernel.

use std::{
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::{ControlPlane, node::NodeBinaries, process::ManagedProcess, workdir::Workdir};
use tokio::time::sleep;

use super::{ADDRESS, files};

/// Sets up a network with one address and a default route, so that packets to Service addresses are sent at all. Fixed
/// directories that these programs write to become private memory.
const PREPARE: &str = r#"set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
mkdir -p /run/lock
ip link set lo up
ip link add node0 type bridge
ip address add "$ADDRESS/24" dev node0
ip link set node0 up
ip route add default dev node0
echo 1 >/proc/sys/net/ipv4/ip_forward
for file in /proc/sys/net/bridge/bridge-nf-call-iptables; do [ ! -e "$file" ] || echo 1 >"$file"; done
hostname node
"#;
const RUNTIME_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

pub(super) fn prepare(home: &Path) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", PREPARE]).env("ADDRESS", ADDRESS).env("STATE", home);
    let output = shell.stdin(std::process::Stdio::null()).output().context("starting sh")?;
    ensure!(
        output.status.success(),
        "preparing network and mounts failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Starts a process with its log in the directory of the cluster.
fn begin(home: &Path, name: &str, program: &Path, arguments: &[String]) -> Result<ManagedProcess> {
    let mut command = Command::new(program);
    command.args(arguments);
    let (logs, log) = (Workdir::new(name)?, format!("{name}.log"));
    // The log outlives the node, to show why it ended.
    symlink(home.join(&log), logs.path().join(&log)).context("linking a log")?;
    let process = ManagedProcess::start(name, command, &logs)?;
    // The end of the namespace's first process ends this one, and the directory is removed after it.
    std::mem::forget(logs);
    Ok(process)
}

pub(super) fn containerd(home: &Path) -> Result<ManagedProcess> {
    let config = home.join(files::CONTAINERD).display().to_string();
    begin(home, "containerd", Path::new("containerd"), &["--config".to_owned(), config])
}

/// Starts what needs the API server. kubelet exits if it finds no container runtime, so waits for that first.
pub(super) async fn start(
    home: &Path,
    binaries: &NodeBinaries,
    cluster: &ControlPlane,
) -> Result<Vec<ManagedProcess>> {
    let account = |name: &str, user: &str, group: Option<&str>| {
        let kubeconfig = cluster.kubeconfig_for_certificate(user, group)?;
        files::private(home, name, &kubeconfig)
    };
    account("kubelet.kubeconfig", "system:node:node", Some("system:nodes"))?;
    account("kube-proxy.kubeconfig", "system:kube-proxy", None)?;
    account("kube-scheduler.kubeconfig", "system:kube-scheduler", None)?;
    account("coredns.kubeconfig", "coredns", Some("system:masters"))?;
    let socket = home.join(files::SOCKET);
    let deadline = Instant::now() + RUNTIME_WITHIN;
    while !socket.exists() {
        ensure!(Instant::now() < deadline, "containerd does not listen; see containerd.log");
        sleep(POLL).await;
    }
    let file = |flag: &str, name: &str| format!("--{flag}={}", home.join(name).display());
    let kubelet = [
        file("config", files::KUBELET),
        file("kubeconfig", "kubelet.kubeconfig"),
        file("root-dir", "kubelet"),
        "--hostname-override=node".to_owned(),
        format!("--node-ip={ADDRESS}"),
    ];
    let scheduler = [
        file("kubeconfig", "kube-scheduler.kubeconfig"),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
    ];
    let dns = ["-conf".to_owned(), home.join(files::COREFILE).display().to_string()];
    Ok(vec![
        begin(home, "kubelet", &binaries.kubelet, &kubelet)?,
        begin(home, "kube-proxy", &binaries.kube_proxy, &[file("config", files::PROXY)])?,
        begin(home, "kube-scheduler", &binaries.kube_scheduler, &scheduler)?,
        begin(home, "coredns", &binaries.coredns, &dns)?,
    ])
}
