//! The configuration files of a node's programs.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};

use super::{super::machine::CGROUP, ADDRESS};

pub(super) const CONTAINERD: &str = "containerd.toml";
pub(super) const KUBELET: &str = "kubelet.yaml";
pub(super) const PROXY: &str = "kube-proxy.yaml";
pub(super) const COREFILE: &str = "Corefile";
/// The socket of the container runtime.
pub(in super::super) const SOCKET: &str = "containerd.sock";
/// The image of the pause container; the same program is the client.
pub(in super::super) const GUEST_IMAGE: &str = "docker.io/portolan/guest:1";

/// The configuration of containerd. OOM scores, hugepages and `AppArmor` are off, since not every machine allows them.
const CONTAINERD_TOML: &str = r#"version = 2
root = "STATE/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "STATE/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "GUEST"
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "STATE/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#;

const CNI: &str = r#"{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam",
            "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
"#;

const KUBELET_YAML: &str = "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ADDRESS
healthzPort: 0
readOnlyPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /CGROUP
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
containerRuntimeEndpoint: unix://STATE/containerd.sock
clusterDomain: cluster.local
clusterDNS: [ADDRESS]
resolvConf: ''
podLogsDir: STATE/pod-logs
staticPodPath: ''
syncFrequency: 5s
nodeStatusUpdateFrequency: 5s
imageGCHighThresholdPercent: 100
imageMinimumGCAge: 24h
evictionHard: {memory.available: 50Mi}
registerNode: true
makeIPTablesUtilChains: true
";

const PROXY_YAML: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: STATE/kube-proxy.kubeconfig}
hostnameOverride: node
mode: iptables
clusterCIDR: 10.244.0.0/24
conntrack: {maxPerCore: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
iptables: {minSyncPeriod: 0s, syncPeriod: 30s}
healthzBindAddress: ''
metricsBindAddress: 127.0.0.1:10249
";

const COREFILE_TEXT: &str = "cluster.local:53 {
    bind ADDRESS
    errors
    kubernetes cluster.local {
        kubeconfig STATE/coredns.kubeconfig portolan
        ttl 1
    }
}
";

/// Writes all of them.
pub(super) fn write(home: &Path) -> Result<()> {
    for (name, template) in [
        (CONTAINERD, CONTAINERD_TOML),
        ("cni/10-pods.conflist", CNI),
        (KUBELET, KUBELET_YAML),
        (PROXY, PROXY_YAML),
        (COREFILE, COREFILE_TEXT),
    ] {
        let state = home.display().to_string();
        let text = template.replace("STATE", &state).replace("ADDRESS", ADDRESS);
        let text = text.replace("GUEST", GUEST_IMAGE).replace("CGROUP", CGROUP);
        private(home, name, &text)?;
    }
    Ok(())
}

/// Writes a file that only its owner can read, atomically.
pub(super) fn private(home: &Path, name: &str, text: &str) -> Result<()> {
    let path = home.join(name);
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(home))?;
        let aside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?
            .write_all(text.as_bytes())?;
        fs::rename(&aside, &path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
