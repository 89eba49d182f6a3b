//! The node itself, within the namespaces that `up` has created: control plane, container runtime, kubelet, proxy,
//! scheduler and DNS, each as a child, and the API server of a second cluster that offers services to this one.

mod door;
mod files;
mod parts;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use portolan_testkit::{ControlPlane, ControlPlaneOptions, process::ManagedProcess, progress::PlainLines};
use tokio::time::sleep;

pub(super) use self::files::{GUEST_IMAGE, SOCKET};
use super::{charts, machine};
use crate::{interrupt, output};

/// The node's own address, which pods reach. No route leads out of the namespace.
pub(super) const ADDRESS: &str = "192.0.2.1";
/// The API server's URL within the cluster, and the issuer of its tokens.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// File with the kubeconfig, written once all parts run.
pub(super) const KUBECONFIG: &str = "kubeconfig";
/// The same for the second cluster.
pub(super) const PROVIDER_KUBECONFIG: &str = "provider.kubeconfig";
/// File with the URL of the second cluster's API server, as pods reach it.
pub(super) const PROVIDER_URL: &str = "provider.url";

/// Arguments of the hidden verb.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct NodeArgs {
    /// The directory of the cluster
    #[arg(long, value_name = "DIR")]
    pub(super) state: PathBuf,
    /// Port of the API server on the machine's loopback
    #[arg(long)]
    pub(super) port: u16,
    /// The same for the second cluster
    #[arg(long)]
    pub(super) provider_port: u16,
}

impl NodeArgs {
    pub(super) fn arguments(&self) -> [String; 6] {
        let state = self.state.display().to_string();
        [
            "--state".to_owned(),
            state,
            "--port".to_owned(),
            self.port.to_string(),
            "--provider-port".to_owned(),
            self.provider_port.to_string(),
        ]
    }
}

/// Runs the node until one of its parts ends.
pub(super) fn run(args: &NodeArgs) -> Result<ExitCode> {
    files::write(&args.state)?;
    parts::prepare(&args.state)?;
    machine::make_cgroup()?;
    interrupt::block_on(live(args))
}

async fn live(args: &NodeArgs) -> Result<ExitCode> {
    let binaries = portolan_testkit::node::NodeBinaries::locate(&PlainLines::new()).await?;
    let containerd = parts::containerd(&args.state)?;
    let (cluster, provider) = tokio::try_join!(
        ControlPlane::start(options("node", ISSUER)),
        ControlPlane::start(ControlPlaneOptions { issuer: None, ..options("provider", "") })
    )?;
    let (one, two) = door::both()?;
    let _doors = (door::serve(one, cluster.server_url()), door::serve(two, provider.server_url()));
    let mut parts = vec![containerd];
    parts.extend(parts::start(&args.state, &binaries, &cluster).await?);
    publish(args, &cluster, &provider)?;
    output::problem("the parts of the node run");
    watch(&parts).await
}

fn options(name: &str, issuer: &str) -> ControlPlaneOptions {
    let names = [ADDRESS, "kubernetes.default.svc.cluster.local"].map(str::to_owned).to_vec();
    let flags = [
        "--bind-address=0.0.0.0".to_owned(),
        format!("--advertise-address={ADDRESS}"),
        "--endpoint-reconciler-type=lease".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--allow-privileged=true".to_owned(),
    ];
    // Discovery then names a URL of the keys that pods can reach.
    let keys = (!issuer.is_empty()).then(|| format!("--service-account-jwks-uri={ISSUER}/openid/v1/jwks"));
    ControlPlaneOptions {
        issuer: Some(issuer.to_owned()),
        names,
        apiserver_args: flags.into_iter().chain(keys).collect(),
        ..ControlPlaneOptions::named(name)
    }
}

/// Writes how the clusters are reached: from the machine through their doors, from pods at the node's address.
fn publish(args: &NodeArgs, cluster: &ControlPlane, provider: &ControlPlane) -> Result<()> {
    let through = |plane: &ControlPlane, port: u16| {
        plane.kubeconfig().replace(&plane.server_url(), &format!("https://127.0.0.1:{port}"))
    };
    let for_pods = provider.server_url().replace("127.0.0.1", ADDRESS);
    let names: Vec<_> = super::hosts().into_iter().chain([charts::LISTENER_HOST.to_owned()]).collect();
    let (certificate, key) = cluster.serving_certificate(&names)?;
    files::private(&args.state, "hosts.crt", &certificate)?;
    files::private(&args.state, "hosts.key", &key)?;
    files::private(&args.state, "ca.crt", &cluster.ca_pem())?;
    files::private(&args.state, PROVIDER_URL, &for_pods)?;
    files::private(&args.state, PROVIDER_KUBECONFIG, &through(provider, args.provider_port))?;
    files::private(&args.state, KUBECONFIG, &through(cluster, args.port))
}

/// Fails as soon as one part ends, since the node needs all of them.
async fn watch(parts: &[ManagedProcess]) -> Result<ExitCode> {
    loop {
        if let Some((part, status)) = parts.iter().find_map(|part| Some((part, part.exited()?))) {
            bail!("{} ended ({status}):\n{}", part.name(), part.log_tail(15));
        }
        sleep(Duration::from_millis(500)).await;
    }
}
