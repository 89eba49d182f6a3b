//! Commands as people type them: our own binaries, kubectl, curl, and a shell around them.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use crate::{clients, control_plane::ControlPlane, service::program};

/// More than any of these commands takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The chart of a service in this repository, for Helm.
pub fn chart(service: &str) -> String {
    format!("{}/../../charts/{service}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs Helm as a cluster's administrator; `None` where there is no Go to build it with.
///
/// # Errors
/// When it cannot be built or started.
pub async fn helm(home: &Path, cluster: &ControlPlane, arguments: &str) -> Result<Option<Ran>> {
    let Some(program) = clients::helm()? else { return Ok(None) };
    let line = Line::script(home, cluster, &format!("{} {arguments}", program.display()))?;
    line.run().await.map(Some)
}

/// Installs the chart of a service, or upgrades it, as a cluster's administrator; `None` where there is no Go to build
/// Helm with. `more` are further arguments.
///
/// # Errors
/// When Helm cannot be built or started.
pub async fn install_chart(
    home: &Path,
    cluster: &ControlPlane,
    (release, service, namespace): (&str, &str, &str),
    more: &str,
) -> Result<Option<Ran>> {
    let chart = chart(service);
    let arguments =
        format!("upgrade --install {release} {chart} --namespace {namespace} --create-namespace {more}");
    helm(home, cluster, &arguments).await
}

/// Output and status of a command.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; -1 after a signal.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A command, and what it gets besides its arguments. Of our environment it has only what is given here.
#[derive(Debug)]
pub struct Line {
    command: Command,
    stdin: String,
}

impl Line {
    /// One of our own binaries, at home in `home`.
    pub fn binary<S: AsRef<OsStr>>(name: &str, home: &Path, arguments: &[S]) -> Result<Self> {
        let mut command = Command::new(program::find(name)?);
        command.args(arguments).env_clear().env("HOME", home);
        Ok(Self { command, stdin: String::new() })
    }

    /// A script for `sh -e`, with our binaries and the cluster's kubectl on its path, as the cluster's
    /// administrator.
    ///
    /// # Errors
    /// Where the cluster has no kubectl.
    pub fn script(home: &Path, cluster: &ControlPlane, script: &str) -> Result<Self> {
        let kubectl = cluster.kubectl().context("there is no kubectl: unset KUBEBUILDER_ASSETS")?;
        let kubeconfig = home.join(format!("{}.kubeconfig", cluster.name()));
        cluster.write_kubeconfig(&kubeconfig)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let ours = [program::directory()?, kubectl.parent().map(PathBuf::from).unwrap_or_default()];
        let path = std::env::join_paths(ours.into_iter().chain(std::env::split_paths(&path)))?;
        let mut command = Command::new("sh");
        command.args(["-ec", script]).env_clear();
        command.env("PATH", path).env("HOME", home).env("KUBECONFIG", kubeconfig);
        Ok(Self { command, stdin: String::new() })
    }

    /// With one more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With this text on its standard input, which is empty otherwise.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        text.clone_into(&mut self.stdin);
        self
    }

    /// Runs it. A failure of the command is no error: look at its code.
    pub async fn run(mut self) -> Result<Ran> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = self.command.spawn().context("cannot start the command")?;
        let mut stdin = child.stdin.take().context("it has no standard input")?;
        // Not everybody reads it.
        let _ = stdin.write_all(self.stdin.as_bytes()).await;
        drop(stdin);
        let output = timeout(TIMEOUT, child.wait_with_output()).await.context("it does not end")??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Ok(Ran { code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }
}
