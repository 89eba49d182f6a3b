//! The services' own binaries: built by Cargo, started with the rights of their charts.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::{ControlPlane, ServiceAccountSetup, ServiceOptions, ServiceProcess, service};

use crate::workspace;

/// The namespace that all services run in, as their charts would be installed.
pub const RELEASE: &str = "kube-bind";
/// Limit for a service to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Limit for a command of a service.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);

/// The profile that builds binaries.
#[derive(Clone, Copy, Debug)]
pub enum Profile {
    /// As tests are.
    Ci,
    /// As users get them.
    Release,
}

fn packages(services: &[&str]) -> impl Iterator<Item = String> {
    services.iter().flat_map(|service| ["--package".to_owned(), format!("portolan-{service}")])
}

/// A folder with binaries of services.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// Builds the binaries of `services`; Cargo shows its own progress.
    pub fn build(services: &[&str], profile: Profile) -> Result<Self> {
        let mut packages: Vec<_> = packages(services).collect();
        if matches!(profile, Profile::Ci) {
            // With xtask among the packages, foreign crates have the features of a build of the whole workspace.
            packages.extend(["--package".to_owned(), "xtask".to_owned()]);
        }
        Self::cargo(&packages, profile)
    }

    /// Builds the binaries of `services` and their examples, which are at `examples/NAME`.
    pub fn build_with_examples(services: &[&str], profile: Profile) -> Result<Self> {
        let packages = packages(services).chain(["--bins", "--examples"].map(str::to_owned));
        Self::cargo(&packages.collect::<Vec<_>>(), profile)
    }

    /// Those that are there already.
    pub fn found_in(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn cargo(arguments: &[String], profile: Profile) -> Result<Self> {
        let metadata = workspace::members()?;
        let name = match profile {
            Profile::Ci => "ci",
            Profile::Release => "release",
        };
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--profile", name]).args(arguments).current_dir(&metadata.workspace_root);
        let status = cargo.status().context("starting cargo")?;
        ensure!(status.success(), "the services do not build");
        Ok(Self(metadata.target_directory.join(name).into()))
    }

    /// Path of a binary, or of an example of a service (`examples/NAME`).
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn options(&self, service: &str, kubeconfig: String) -> ServiceOptions {
        let mut options = ServiceOptions::new(service, kubeconfig);
        options.program = Some(self.0.join(service));
        RELEASE.clone_into(&mut options.pod_namespace);
        options
    }

    /// Starts a service on a cluster, as a ServiceAccount with exactly the rights of its chart, and waits
    /// until it is ready.
    pub async fn start(
        &self,
        service: &str,
        cluster: &ControlPlane,
        arguments: &[String],
    ) -> Result<ServiceProcess> {
        let mut setup = ServiceAccountSetup::new(service, RELEASE);
        setup.secret_namespaces.push("default".to_owned());
        let kubeconfig = setup.create(cluster).await?;
        let mut options = self.options(service, kubeconfig).args(arguments);
        options.ready_within = Some(READY_WITHIN);
        ServiceProcess::start(options).await
    }

    /// Starts a service with the kubeconfig of an account, and does not wait until it is ready.
    pub async fn start_as(
        &self,
        service: &str,
        kubeconfig: &str,
        arguments: &[String],
    ) -> Result<ServiceProcess> {
        let mut options = self.options(service, kubeconfig.to_owned()).args(arguments);
        options.ready_within = None;
        ServiceProcess::start(options).await
    }

    /// Runs a command of a service as the administrator of a cluster, and gives what it prints.
    pub async fn run(&self, service: &str, cluster: &ControlPlane, arguments: &[&str]) -> Result<String> {
        let options = self.options(service, cluster.kubeconfig()).args(arguments.iter().copied());
        let output = service::run(&options, COMMAND_WITHIN).await?;
        let line = format!("{service} {}", arguments.join(" "));
        ensure!(output.status.success(), "`{line}` failed ({}): {}", output.status, output.stderr.trim());
        Ok(output.stdout)
    }
}
