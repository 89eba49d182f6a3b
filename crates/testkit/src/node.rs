//! The programs that make a node of a machine, and the DNS server of its cluster: built with Go, and kept in the user's
//! cache.

use std::path::PathBuf;

use anyhow::Result;
use portolan_control_plane::GoModule;

use crate::{binaries::cached, progress::Progress};

static NODE: GoModule = GoModule {
    what: "kubelet, kube-proxy and kube-scheduler",
    name: "node",
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/node"),
    target: "tool",
    files: &[],
    cgo: true,
    seconds: 300,
    complete: |_| Ok(()),
};

static DNS: GoModule = GoModule {
    what: "CoreDNS",
    name: "coredns",
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/coredns"),
    target: ".",
    files: &["main.go"],
    cgo: true,
    seconds: 120,
    complete: |_| Ok(()),
};

static GUEST: GoModule = GoModule {
    what: "the client of a cluster's pods",
    name: "guest",
    path: concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guest"),
    target: ".",
    files: &["main.go", "load.go"],
    cgo: false,
    seconds: 20,
    complete: |_| Ok(()),
};

/// Where the programs of a node are.
#[derive(Clone, Debug)]
pub struct NodeBinaries {
    /// kubelet.
    pub kubelet: PathBuf,
    /// kube-proxy.
    pub kube_proxy: PathBuf,
    /// kube-scheduler.
    pub kube_scheduler: PathBuf,
    /// `CoreDNS`.
    pub coredns: PathBuf,
    /// A static program for pods: pauses, asks and makes load.
    pub guest: PathBuf,
}

impl NodeBinaries {
    /// Finds them in the user's cache, and builds them where they are not there: some minutes, once.
    ///
    /// # Errors
    /// When they cannot be built.
    pub async fn locate(progress: &dyn Progress) -> Result<Self> {
        let node = cached(&NODE, progress).await?;
        Ok(Self {
            kubelet: node.join("kubelet"),
            kube_proxy: node.join("kube-proxy"),
            kube_scheduler: node.join("kube-scheduler"),
            coredns: cached(&DNS, progress).await?.join("coredns"),
            guest: cached(&GUEST, progress).await?.join("guest"),
        })
    }
}
