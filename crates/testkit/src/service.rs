//! One of our own binaries as a child process, with the rights of its chart and nothing more.

pub mod program;
mod rbac;
mod setup;

pub use rbac::{NamespaceRules, Rbac, Rule};
pub use setup::ServiceAccountSetup;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::http::HttpClient;
use crate::ports::free_port;
use crate::process::ManagedProcess;
use crate::workdir::Workdir;

const POLL: Duration = Duration::from_millis(10);
const TAIL: usize = 30;
/// Interval at which a service that is kept is looked at.
const KEEP: Duration = Duration::from_millis(500);
const LEASE_LOST: &str = "lost the lease";

/// The service to run.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// The name of the service, which is that of its binary, for instance `konnector`.
    pub service: String,
    /// Arguments, passed as they are.
    pub args: Vec<String>,
    /// More environment variables. Of our own environment the service sees only `PATH`.
    pub env: Vec<(String, String)>,
    /// The kubeconfig that it finds under `KUBECONFIG`.
    pub kubeconfig: String,
    /// The value of `POD_NAME`.
    pub pod_name: String,
    /// The value of `POD_NAMESPACE`.
    pub pod_namespace: String,
    /// Path of the binary; next to the running program when absent.
    pub program: Option<PathBuf>,
    /// Time that a start waits for `/readyz`; not at all when absent.
    pub ready_within: Option<Duration>,
}

impl ServiceOptions {
    /// `service` with a kubeconfig, no arguments, and 30 seconds to become ready.
    pub fn new(service: &str, kubeconfig: impl Into<String>) -> Self {
        Self {
            service: service.to_owned(),
            args: Vec::new(),
            // No Service in front of it has to learn of its end.
            env: vec![(drain_delay(service), "0".to_owned())],
            kubeconfig: kubeconfig.into(),
            pod_name: format!("{service}-0"),
            pod_namespace: "portolan".to_owned(),
            program: None,
            ready_within: Some(Duration::from_secs(30)),
        }
    }

    /// Appends these arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    fn command(&self, workdir: &Workdir) -> Result<Command> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => program::find(&self.service)?,
        };
        let kubeconfig = workdir.write_private("kubeconfig", &self.kubeconfig)?;
        let mut command = Command::new(program);
        // The person's own KUBECONFIG, proxies and flags must not decide what a test sees.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("KUBECONFIG", kubeconfig).env("RUST_BACKTRACE", "1").env("HOME", workdir.path());
        command.env("POD_NAME", &self.pod_name).env("POD_NAMESPACE", &self.pod_namespace);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).current_dir(workdir.path());
        Ok(command)
    }

    fn serving(&self, workdir: &Workdir, admin_port: u16) -> Result<Command> {
        let mut command = self.command(workdir)?;
        command.args(&self.args).arg("--admin-address").arg(format!("127.0.0.1:{admin_port}"));
        Ok(command)
    }
}

/// The environment name of the flag `--drain-delay`. The exchange reads the names of the token service.
fn drain_delay(service: &str) -> String {
    let reads = if service == "token-exchange" { "token-service" } else { service };
    format!("PORTOLAN_{}_DRAIN_DELAY", reads.to_uppercase().replace('-', "_"))
}

/// A running service. Dropping it kills it and removes its directory.
#[derive(Debug)]
pub struct ServiceProcess {
    process: ManagedProcess,
    options: ServiceOptions,
    admin_port: u16,
    is_kept: AtomicBool,
    // After the process, which logs into it.
    workdir: Workdir,
}

impl ServiceProcess {
    /// Starts the service with `--admin-address` on a free port and waits until it is ready.
    pub async fn start(options: ServiceOptions) -> Result<Self> {
        let workdir = Workdir::new(&options.service)?;
        let admin_port = free_port()?;
        let command = options.serving(&workdir, admin_port)?;
        let process = ManagedProcess::start(&options.service, command, &workdir)?;
        let service = Self { process, options, admin_port, is_kept: AtomicBool::new(false), workdir };
        if let Some(timeout) = service.options.ready_within {
            service.wait_ready(timeout).await?;
        }
        Ok(service)
    }

    /// Starts it again, as kubelet does, whenever it has ended because its lease was lost: a machine whose disk
    /// stalls for seconds must not fail every test that comes after. Any other end stays one.
    pub fn keep(&'static self) {
        if !self.is_kept.swap(true, Ordering::Relaxed) {
            std::thread::spawn(|| {
                let mut lost = 0;
                while let Ok(again) = self.start_again(lost) {
                    lost = again;
                    std::thread::sleep(KEEP);
                }
            });
        }
    }

    /// The same for as long as `work` takes.
    pub async fn kept<T>(&self, work: impl Future<Output = T>) -> T {
        let keeping = async {
            let mut lost = 0;
            while let Ok(again) = self.start_again(lost) {
                lost = again;
                tokio::time::sleep(KEEP).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            done = work => done,
            done = keeping => done,
        }
    }

    /// `lost` is how often the lease had been lost when it was looked at last. Gives how often that is now.
    fn start_again(&self, lost: usize) -> Result<usize> {
        let Some(status) = self.exited() else { return Ok(lost) };
        let now = self.log_tail(usize::MAX).matches(LEASE_LOST).count();
        let name = self.process.name();
        ensure!(now > lost, "{name} ended by itself ({status})");
        // Not with the macro: a test that has ended has taken its output with it.
        writeln!(std::io::stderr(), "{name} ended ({status}) since its lease was lost: starting it again")?;
        self.process.restart(self.options.serving(&self.workdir, self.admin_port)?, &self.workdir)?;
        Ok(now)
    }

    /// Waits until `/readyz` answers 200. Fails at once when the process ends.
    pub async fn wait_ready(&self, timeout: Duration) -> Result<()> {
        let (http, url) = (HttpClient::new(), format!("{}/readyz?verbose", self.admin_url()));
        let deadline = Instant::now() + timeout;
        loop {
            let seen = match http.get(&url).await {
                Ok((status, _)) if status.is_success() => return Ok(()),
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => format!("{error:#}"),
            };
            let name = self.process.name();
            if let Some(status) = self.process.exited() {
                bail!("{name} ended before it was ready ({status}); its log:\n{}", self.log_tail(TAIL));
            }
            if Instant::now() >= deadline {
                let log = self.log_tail(TAIL);
                bail!("{name} not ready within {timeout:?}; /readyz said: {seen}\nits log ends with:\n{log}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// URL of its admin port, without a slash at the end.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// The status and text of a path of the admin port, for instance `/readyz?verbose`.
    pub async fn admin_get(&self, path: &str) -> Result<(u16, String)> {
        let answer = HttpClient::new().get(&format!("{}{path}", self.admin_url())).await;
        let (status, body) = answer.with_context(|| format!("log:\n{}", self.log_tail(TAIL)))?;
        Ok((status.as_u16(), body))
    }

    /// Its metrics, in the text format of Prometheus.
    pub async fn metrics(&self) -> Result<String> {
        let (status, body) = self.admin_get("/metrics").await?;
        ensure!(status == 200, "/metrics answered {status}: {body}");
        Ok(body)
    }

    /// Resident memory in MiB.
    pub fn rss_mb(&self) -> Result<f64> {
        self.process.rss_mb()
    }

    /// The most that was ever resident, in MiB.
    pub fn peak_rss_mb(&self) -> Result<f64> {
        self.process.peak_rss_mb()
    }

    /// Processor time that it has used so far, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        self.process.cpu_seconds()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it at once, as a node that loses power does.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Asks it to end, as Kubernetes does, and waits for that.
    pub async fn terminate(&self, timeout: Duration) -> Result<ExitStatus> {
        self.process.terminate(timeout).await
    }

    /// Waits until it has ended by itself.
    pub async fn wait_exit(&self, timeout: Duration) -> Result<ExitStatus> {
        self.process.wait_exit(timeout).await
    }

    /// Status with which it ended, if it has.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.process.exited()
    }

    /// Freezes it; the world goes on without it.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Lets a paused service go on.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// The last `lines` lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        self.process.log_tail(lines)
    }
}

/// Output and status of a service's command.
#[derive(Clone, Debug)]
pub struct CommandOutput {
    /// Status with which it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a binary that ends by itself, such as `provider kubeconfig` or `check`, with exactly the given
/// arguments. A failure of the command is no error here: look at the status.
pub async fn run(options: &ServiceOptions, timeout: Duration) -> Result<CommandOutput> {
    let workdir = Workdir::new(&options.service)?;
    let mut command = options.command(&workdir)?;
    command.args(&options.args);
    let out = workdir.path().join("stdout");
    let stdout = File::create(&out).context("cannot create the file for stdout")?;
    let process = ManagedProcess::start_with_stdout(&options.service, command, &workdir, Some(stdout))?;
    let status = process.wait_exit(timeout).await?;
    let stdout = fs::read_to_string(out).context("stdout is not text")?;
    Ok(CommandOutput { status, stdout, stderr: process.log_tail(usize::MAX) })
}
