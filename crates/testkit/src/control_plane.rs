//! A real Kubernetes control plane as three child processes.
//!
//! Kubernetes itself decides what happens: CRDs and their CEL rules, RBAC, admission policies, token
//! requests and reviews, garbage collection by `OwnerReference`. There is no node, so no pod runs.

mod flags;
mod lifecycle;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client, Config};
use parking_lot::Mutex;

use crate::audit::{self, AuditLog};
use crate::binaries::{self, ControlPlaneBinaries};
use crate::kubeconfig::{self, Credentials};
use crate::pki::Authority;
pub use crate::pki::TokenKey;
use crate::ports::free_port;
use crate::process::ManagedProcess;
use crate::progress::PlainLines;
use crate::workdir::{Workdir, write_private};

pub use flags::AUDIT_POLICY;

const ADMIN_TOKEN: &str = "admin";
const MANAGER_TOKEN: &str = "controller-manager";
const ATTEMPTS: u32 = 3;

/// The parts to start.
#[derive(Clone, Debug)]
pub struct ControlPlaneOptions {
    /// Shown in errors and in the name of its directory.
    pub name: String,
    /// Run kube-controller-manager: garbage collection, namespace deletion, `default` `ServiceAccount`s, aggregated
    /// `ClusterRole`s.
    pub controllers: bool,
    /// The issuer of `ServiceAccount` tokens, and their default audience; the API server's URL when absent.
    pub issuer: Option<String>,
    /// The key that signs `ServiceAccount` tokens.
    pub token_key: TokenKey,
    /// More names and addresses of the API server, for its certificate.
    pub names: Vec<String>,
    /// More flags for kube-apiserver; a later flag wins.
    pub apiserver_args: Vec<String>,
    /// Paths of the programs; looked up when absent.
    pub binaries: Option<ControlPlaneBinaries>,
    /// Limit for the start.
    pub ready_within: Duration,
}

impl ControlPlaneOptions {
    /// The defaults, under a name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

impl Default for ControlPlaneOptions {
    fn default() -> Self {
        Self {
            name: "cluster".to_owned(),
            controllers: true,
            issuer: None,
            token_key: TokenKey::Rsa,
            names: Vec::new(),
            apiserver_args: Vec::new(),
            binaries: None,
            ready_within: Duration::from_mins(1),
        }
    }
}

/// A running control plane. Dropping it ends its processes and removes its directory.
///
/// It does not belong to a tokio runtime, so a `static` one can serve all tests of a binary.
#[derive(Debug)]
pub struct ControlPlane {
    options: ControlPlaneOptions,
    binaries: ControlPlaneBinaries,
    ports: Ports,
    authority: Authority,
    config: Config,
    audit: AuditLog,
    // The order of the fields is the order of the end: clients of a process before the process.
    controller_manager: Mutex<Option<ManagedProcess>>,
    apiserver: Mutex<Option<ManagedProcess>>,
    etcd: Mutex<Option<ManagedProcess>>,
    workdir: Workdir,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
}

impl Ports {
    fn pick() -> Result<Self> {
        Ok(Self { etcd: free_port()?, etcd_peer: free_port()?, apiserver: free_port()? })
    }

    fn apiserver_url(self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }
}

impl ControlPlane {
    /// Starts one and waits until `/readyz` is ok and, with controllers, until namespace `default` has its
    /// `default` `ServiceAccount`.
    pub async fn start(options: ControlPlaneOptions) -> Result<Self> {
        let binaries = match &options.binaries {
            Some(binaries) => binaries.clone(),
            None => binaries::locate(&PlainLines::new()).await?,
        };
        let mut attempt = 1;
        loop {
            let failure = match Self::start_once(options.clone(), binaries.clone()).await {
                Ok(started) => return Ok(started),
                Err(failure) => failure,
            };
            // Between picking a port and listening on it, somebody else may have taken it.
            let port_taken = format!("{failure:#}").contains("address already in use");
            if attempt == ATTEMPTS || !port_taken {
                return Err(failure.context(format!("control plane {} did not start", options.name)));
            }
            attempt += 1;
        }
    }

    async fn start_once(options: ControlPlaneOptions, binaries: ControlPlaneBinaries) -> Result<Self> {
        let workdir = Workdir::new(&options.name)?;
        let ports = Ports::pick()?;
        let etcd = flags::etcd(&binaries.etcd, workdir.path(), ports);
        let etcd = ManagedProcess::start("etcd", etcd, &workdir)?;
        let authority = Authority::create(&options.name, options.token_key, &options.names, &workdir)?;
        let (url, ca) = (ports.apiserver_url(), authority.pem());
        write_configuration(&workdir, &url, &ca)?;
        audit::keep_elsewhere(&workdir.path().join("audit.log"), &options.name)?;
        let admin = kubeconfig::render(&url, &ca, Credentials::Token(ADMIN_TOKEN), "default");
        let control_plane = Self {
            config: kubeconfig::config(&admin).await?,
            audit: AuditLog::new(workdir.path().join("audit.log")),
            controller_manager: Mutex::default(),
            apiserver: Mutex::default(),
            etcd: Mutex::new(Some(etcd)),
            options,
            binaries,
            ports,
            authority,
            workdir,
        };
        control_plane.start_apiserver().await?;
        control_plane.wait_default_service_account().await?;
        Ok(control_plane)
    }

    /// The name it was started with.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// A client with every right (user `admin`, group `system:masters`), without a rate limit of its own.
    ///
    /// It belongs to the tokio runtime that it is made on: call this in each test.
    ///
    /// # Panics
    /// Never: the same configuration made a client at the start.
    pub fn client(&self) -> Client {
        Client::try_from(self.config.clone()).expect("this configuration made a client at the start")
    }

    /// The kubeconfig of user `admin`, with the CA in it.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_for_token(ADMIN_TOKEN, "default")
    }

    /// Writes [`Self::kubeconfig`] with mode 0600.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<()> {
        write_private(path, &self.kubeconfig())
    }

    /// A kubeconfig that presents `token`, with `namespace` in its context.
    pub fn kubeconfig_for_token(&self, token: &str, namespace: &str) -> String {
        kubeconfig::render(&self.server_url(), &self.ca_pem(), Credentials::Token(token), namespace)
    }

    /// A kubeconfig with a new client certificate for `user`, a member of `group` where one is given.
    pub fn kubeconfig_for_certificate(&self, user: &str, group: Option<&str>) -> Result<String> {
        let identity = self.authority.client(user, group)?;
        let (certificate, key) = (identity.certificate.as_str(), identity.key.as_str());
        let credentials = Credentials::Certificate { certificate, key };
        Ok(kubeconfig::render(&self.server_url(), &self.ca_pem(), credentials, "default"))
    }

    /// A certificate of its CA for a server with these names and addresses, and its key, both PEM.
    pub fn serving_certificate(&self, names: &[String]) -> Result<(String, String)> {
        let identity = self.authority.server(names)?;
        Ok((identity.certificate, identity.key))
    }

    /// URL of the API server, without a slash at the end. It is also the issuer of its tokens.
    pub fn server_url(&self) -> String {
        self.ports.apiserver_url()
    }

    /// The CA that signed the API server's certificate.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// Audit log of the API server so far.
    pub fn audit(&self) -> AuditLog {
        self.audit.clone()
    }

    /// Everything that belongs to it: logs, keys, data. It is removed with it.
    pub fn dir(&self) -> &Path {
        self.workdir.path()
    }

    /// The kubectl that belongs to it, where there is one.
    pub fn kubectl(&self) -> Option<&PathBuf> {
        self.binaries.kubectl.as_ref()
    }

    /// A token of a `ServiceAccount`. No audiences means the API server's own.
    pub async fn token_for(
        &self,
        namespace: &str,
        service_account: &str,
        audiences: &[&str],
        seconds: i64,
    ) -> Result<String> {
        let audiences = audiences.iter().map(|&audience| audience.to_owned()).collect();
        let spec = TokenRequestSpec { audiences, expiration_seconds: Some(seconds), ..Default::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let answer = accounts.create_token_request(service_account, &PostParams::default(), &request).await;
        let answer = answer.with_context(|| format!("no token for {namespace}/{service_account}"))?;
        Ok(answer.status.context("the TokenRequest was answered without a status")?.token)
    }
}

/// Writes what the processes read besides keys and certificates.
fn write_configuration(workdir: &Workdir, url: &str, ca_pem: &str) -> Result<()> {
    // kube-controller-manager has a name of its own, so that the audit log tells it from a test's admin.
    let tokens = format!(
        "{ADMIN_TOKEN},admin,admin,system:masters\n\
         {MANAGER_TOKEN},system:kube-controller-manager,manager,system:masters\n"
    );
    let manager = kubeconfig::render(url, ca_pem, Credentials::Token(MANAGER_TOKEN), "default");
    workdir.write_private("tokens.csv", &tokens)?;
    workdir.write_private("controller-manager.kubeconfig", &manager)?;
    workdir.write_private("audit-policy.yaml", flags::AUDIT_POLICY)?;
    Ok(())
}
