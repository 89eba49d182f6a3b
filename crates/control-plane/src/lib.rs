//! Finding the programs of a control plane: `KUBEBUILDER_ASSETS`, then `PATH`, then a build from Go
//! modules that is kept in the user's cache directory.
//!
//! It knows no async runtime: `cargo xtask` starts the build before anything else has been compiled.

mod build;
pub mod spawner;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use build::{Build, ENVIRONMENT, GoModule, PAUSE};

/// Builds the programs where nobody has them yet, and waits for that.
///
/// # Errors
/// When they cannot be built.
pub fn ensure_built(say: &mut dyn FnMut(&str)) -> Result<()> {
    if ControlPlaneBinaries::provided()?.is_none() {
        let mut build = Build::begin()?;
        while build.step(say)?.is_none() {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// The directory in which kubebuilder's users keep these programs.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The programs that a control plane is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneBinaries {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub kube_apiserver: PathBuf,
    /// kube-controller-manager.
    pub kube_controller_manager: PathBuf,
    /// kubectl, which nothing here needs, but a person may want.
    pub kubectl: Option<PathBuf>,
}

impl ControlPlaneBinaries {
    /// Finds the programs that somebody has provided, if anybody has.
    ///
    /// # Errors
    /// When `KUBEBUILDER_ASSETS` is set and lacks one of them.
    pub fn provided() -> Result<Option<Self>> {
        if let Some(assets) = env::var_os(ASSETS).filter(|assets| !assets.is_empty()) {
            let found = Self::in_directory(Path::new(&assets), "etcd");
            return found
                .with_context(|| format!("{ASSETS} is set; unset it to use PATH or to build them"))
                .map(Some);
        }
        Ok(Self::on_path())
    }

    /// Those of a directory that [`Build`] has made.
    ///
    /// # Errors
    /// When it lacks one of them.
    pub fn built(directory: &Path) -> Result<Self> {
        // `go build tool` names a program after its package, and etcd's ends in `server/v3`.
        Self::in_directory(directory, "server")
    }

    fn in_directory(directory: &Path, etcd: &str) -> Result<Self> {
        let optional = |name: &str| Some(directory.join(name)).filter(|path| path.is_file());
        let program = |name: &str| {
            optional(name).with_context(|| format!("there is no {name} in {}", directory.display()))
        };
        Ok(Self {
            etcd: program(etcd)?,
            kube_apiserver: program("kube-apiserver")?,
            kube_controller_manager: program("kube-controller-manager")?,
            kubectl: optional("kubectl"),
        })
    }

    fn on_path() -> Option<Self> {
        Some(Self {
            etcd: find_on_path("etcd")?,
            kube_apiserver: find_on_path("kube-apiserver")?,
            kube_controller_manager: find_on_path("kube-controller-manager")?,
            kubectl: find_on_path("kubectl"),
        })
    }
}

fn find_on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// A part of the user's cache directory, as freedesktop.org defines it.
///
/// # Errors
/// Where the environment names no directory.
pub fn user_cache(part: &str) -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    match absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache"))) {
        Some(directory) => Ok(directory.join("portolan").join(part)),
        None => bail!("neither XDG_CACHE_HOME nor HOME is set, so there is no place to keep the programs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_directory_must_hold_all_three_and_kubectl_is_optional() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd", "kube-apiserver"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let missing = ControlPlaneBinaries::in_directory(dir.path(), "etcd").unwrap_err().to_string();
        assert!(missing.starts_with("there is no kube-controller-manager in "), "{missing}");
        fs::write(dir.path().join("kube-controller-manager"), "").unwrap();
        let found = ControlPlaneBinaries::in_directory(dir.path(), "etcd").unwrap();
        assert_eq!(found.kubectl, None);
    }
}
