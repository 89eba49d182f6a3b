//! The command lines and configuration files of the three processes.

use std::path::Path;
use std::process::Command;

use super::{ControlPlaneOptions, Ports};

/// Metadata of everything that a test may want to count; not the steady reading and leasing of Kubernetes'
/// own controllers, nor the health probes.
pub const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
- level: None
  users: ["system:apiserver", "system:kube-controller-manager"]
  verbs: [get, list, watch]
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
  verbs: [get, list, watch]
- level: None
  users: ["system:apiserver", "system:kube-controller-manager"]
  resources: [{group: coordination.k8s.io, resources: [leases]}]
- level: Metadata
"#;

pub(super) fn etcd(program: &Path, dir: &Path, ports: Ports) -> Command {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(dir.join("etcd"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    // The data lives as long as a test does: losing it with the machine's power is fine. Few snapshots and
    // large requests keep it steady when tests write a lot.
    command.args(["--unsafe-no-fsync", "--log-level=warn", "--snapshot-count=100000"]);
    command.args(["--max-request-bytes=10485760", "--quota-backend-bytes=4294967296"]);
    command
}

pub(super) fn apiserver(program: &Path, dir: &Path, ports: Ports, options: &ControlPlaneOptions) -> Command {
    let url = ports.apiserver_url();
    let issuer = options.issuer.as_deref().unwrap_or(&url);
    let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
    let mut command = Command::new(program);
    command.args([
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        format!("--secure-port={}", ports.apiserver),
        format!("--service-account-issuer={issuer}"),
        format!("--api-audiences={issuer}"),
        // Without it the discovery document names another address of this machine, where nobody listens.
        format!("--service-account-jwks-uri={url}/openid/v1/jwks"),
        file("cert-dir", "certs"),
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("client-ca-file", "ca.crt"),
        file("service-account-key-file", "sa.pub"),
        file("service-account-signing-key-file", "sa.key"),
        file("token-auth-file", "tokens.csv"),
        file("audit-policy-file", "audit-policy.yaml"),
        file("audit-log-path", "audit.log"),
    ]);
    command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
    // Nobody looks for the API server through the `kubernetes` Service, and its endpoint may not be loopback.
    command.args(["--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/24"]);
    command.args(["--authorization-mode=RBAC,Node", "--profiling=false"]);
    // Never rotated (the size is in MB): the reader follows one file.
    command.args(["--audit-log-mode=blocking", "--audit-log-maxsize=100000"]);
    // Benches and many watches in one test must not be throttled by the yardstick.
    command.args(["--max-requests-inflight=3000", "--max-mutating-requests-inflight=2000"]);
    command.args(&options.apiserver_args);
    command
}

pub(super) fn controller_manager(program: &Path, dir: &Path) -> Command {
    let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
    let mut command = Command::new(program);
    command.args([
        file("kubeconfig", "controller-manager.kubeconfig"),
        file("service-account-private-key-file", "sa.key"),
        file("root-ca-file", "ca.crt"),
    ]);
    // Port 0: it serves nothing, and so cannot collide with another one.
    command.args(["--secure-port=0", "--leader-elect=false", "--controllers=*"]);
    command.args(["--use-service-account-credentials=true", "--profiling=false"]);
    command.args(["--kube-api-qps=500", "--kube-api-burst=1000"]);
    command
}
