//! Starting, stopping and pausing the parts of a running control plane.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::{ControlPlane, flags};
use crate::process::ManagedProcess;

const POLL: Duration = Duration::from_millis(50);

impl ControlPlane {
    /// Ends kube-apiserver at once: its clients see broken connections, then refused ones.
    pub fn stop_apiserver(&self) {
        self.apiserver.lock().take();
    }

    /// Starts kube-apiserver on the same port with the same keys, and waits for `/readyz`.
    /// kube-controller-manager is started with it where it does not run.
    pub async fn start_apiserver(&self) -> Result<()> {
        start_in(&self.apiserver, || {
            let program = &self.binaries.kube_apiserver;
            let command = flags::apiserver(program, self.dir(), self.ports, &self.options);
            ManagedProcess::start("kube-apiserver", command, &self.workdir)
        })?;
        let client = self.client();
        self.wait("/readyz", async || is_ready(&client).await).await?;
        self.start_controller_manager()
    }

    /// Processor time that kube-apiserver has used so far, in seconds.
    pub fn apiserver_cpu_seconds(&self) -> Result<f64> {
        self.apiserver.lock().as_ref().context("kube-apiserver does not run")?.cpu_seconds()
    }

    /// Ends etcd at once. The API server stays up and answers errors.
    pub fn stop_etcd(&self) {
        self.etcd.lock().take();
    }

    /// Starts etcd again on the same data, and waits until the API server is ready.
    pub async fn start_etcd(&self) -> Result<()> {
        start_in(&self.etcd, || {
            let command = flags::etcd(&self.binaries.etcd, self.dir(), self.ports);
            ManagedProcess::start("etcd", command, &self.workdir)
        })?;
        let client = self.client();
        self.wait("/readyz", async || is_ready(&client).await).await
    }

    /// Copies all that etcd has into `directory`, which is made: a backup. etcd stands still meanwhile, so that the
    /// copy is what a machine without power would have left.
    pub fn back_up(&self, directory: &Path) -> Result<()> {
        let etcd = self.etcd.lock();
        etcd.as_ref().inspect(|process| process.pause());
        let copied = copy(&self.dir().join("etcd"), directory);
        etcd.as_ref().inspect(|process| process.resume());
        copied
    }

    /// Ends API server and etcd, puts a backup in the place of the data, and starts them again: versions of objects
    /// run backwards.
    pub async fn restore(&self, directory: &Path) -> Result<()> {
        self.stop_apiserver();
        self.stop_etcd();
        let data = self.dir().join("etcd");
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
        copy(directory, &data)?;
        start_in(&self.etcd, || {
            let command = flags::etcd(&self.binaries.etcd, self.dir(), self.ports);
            ManagedProcess::start("etcd", command, &self.workdir)
        })?;
        self.start_apiserver().await
    }

    /// Freezes kube-apiserver: connections stay open and nothing is answered.
    pub fn pause_apiserver(&self) {
        self.apiserver.lock().as_ref().inspect(|process| process.pause());
    }

    /// Lets a paused kube-apiserver go on.
    pub fn resume_apiserver(&self) {
        self.apiserver.lock().as_ref().inspect(|process| process.resume());
    }

    /// The process ids of what runs now.
    pub fn pids(&self) -> Vec<u32> {
        let processes = [&self.etcd, &self.apiserver, &self.controller_manager];
        processes.iter().filter_map(|process| process.lock().as_ref().map(ManagedProcess::pid)).collect()
    }

    /// Resident memory of all its processes in MiB.
    pub fn rss_mb(&self) -> Result<f64> {
        let processes = [&self.etcd, &self.apiserver, &self.controller_manager];
        processes.iter().filter_map(|process| process.lock().as_ref().map(ManagedProcess::rss_mb)).sum()
    }

    pub(super) fn start_controller_manager(&self) -> Result<()> {
        if !self.options.controllers {
            return Ok(());
        }
        start_in(&self.controller_manager, || {
            let command = flags::controller_manager(&self.binaries.kube_controller_manager, self.dir());
            ManagedProcess::start("kube-controller-manager", command, &self.workdir)
        })
    }

    /// Its controllers run when this exists, and pods and tokens of namespace `default` are possible.
    pub(super) async fn wait_default_service_account(&self) -> Result<()> {
        if !self.options.controllers {
            return Ok(());
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), "default");
        let exists = async || accounts.get_opt("default").await.is_ok_and(|account| account.is_some());
        self.wait("the default ServiceAccount", exists).await
    }

    async fn wait(&self, what: &str, done: impl AsyncFn() -> bool) -> Result<()> {
        let limit = self.options.ready_within;
        let deadline = Instant::now() + limit;
        while !done().await {
            self.check_alive()?;
            if Instant::now() >= deadline {
                bail!("{what} of {} not there after {limit:?}\n{}", self.name(), self.log_tails());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn check_alive(&self) -> Result<()> {
        for process in [&self.etcd, &self.apiserver, &self.controller_manager] {
            let process = process.lock();
            let ended = process.as_ref().and_then(|process| Some((process, process.exited()?)));
            if let Some((process, status)) = ended {
                bail!("{} ended ({status}); its log ends with:\n{}", process.name(), process.log_tail(15));
            }
        }
        Ok(())
    }

    fn log_tails(&self) -> String {
        let processes = [&self.etcd, &self.apiserver, &self.controller_manager];
        let tail = |process: &ManagedProcess| format!("--- {}:\n{}\n", process.name(), process.log_tail(15));
        processes.iter().filter_map(|process| process.lock().as_ref().map(tail)).collect()
    }
}

/// Fills `slot` unless what is in it still runs.
fn start_in(
    slot: &Mutex<Option<ManagedProcess>>,
    start: impl FnOnce() -> Result<ManagedProcess>,
) -> Result<()> {
    let mut slot = slot.lock();
    if slot.as_ref().is_none_or(|process| process.exited().is_some()) {
        *slot = Some(start()?);
    }
    Ok(())
}

/// Copies a directory with everything in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&path, &place)?;
        } else {
            fs::copy(&path, &place).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

async fn is_ready(client: &Client) -> bool {
    let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else { return false };
    client.request_text(request).await.is_ok_and(|answer| answer == "ok")
}
