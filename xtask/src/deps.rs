//! `cargo xtask deps`: what a machine needs before `cargo xtask test` can run, apart from crates and Go modules.

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};

use crate::{output, workspace};

/// A Debian package and the program it brings.
struct Package {
    name: &'static str,
    program: &'static str,
}

/// The Debian packages that tests need. The only place where this program installs something.
const PACKAGES: [Package; 0] = [];

/// Without these, `tests/control-plane` is compiled, which takes Go.
const CONTROL_PLANE: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

/// Runs the verb.
pub(crate) fn run() -> Result<ExitCode> {
    install(&missing(&PACKAGES))?;
    let checks = [cargo(), go(&workspace::root()?)];
    let mut code = ExitCode::SUCCESS;
    for check in checks {
        match check {
            Ok(found) => output::line(format_args!("ok    {found}")),
            Err(error) => {
                output::problem(format_args!("FAIL  {error:#}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn missing(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| !on_path(package.program)).map(|package| package.name).collect()
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        output::line("ok    no Debian package to install");
        return Ok(());
    }
    output::line(format_args!("installing {}", packages.join(" ")));
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("apt-get does not start; install the packages by other means")?;
    ensure!(status.success(), "apt-get {} failed; as another user than root, use sudo", arguments.join(" "));
    Ok(())
}

fn cargo() -> Result<String> {
    version("cargo", "--version").context("cargo: install Rust from https://rustup.rs")
}

fn go(root: &Path) -> Result<String> {
    if let Some(folder) = env::var_os("KUBEBUILDER_ASSETS")
        && CONTROL_PLANE.iter().all(|program| Path::new(&folder).join(program).is_file())
    {
        return Ok("the control plane's programs are in KUBEBUILDER_ASSETS".to_owned());
    }
    if CONTROL_PLANE.iter().all(|program| on_path(program)) {
        return Ok("the control plane's programs are on the PATH".to_owned());
    }
    let manifest = fs::read_to_string(root.join("tests/control-plane/go.mod"))?;
    let needed =
        manifest.lines().find_map(|line| line.strip_prefix("go ")).context("go.mod names no Go version")?;
    let cure = || format!("go: the control planes of the tests need Go {needed}, from https://go.dev/dl");
    let found = version("go", "version").with_context(cure)?;
    ensure!(release(&found) >= release(needed), "{}; this is {found}", cure());
    Ok(found)
}

/// Major and minor number of the first word with a number, such as `go1.26.8` or `1.26`.
fn release(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches("go").split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

fn version(program: &str, argument: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(argument)
        .output()
        .with_context(|| format!("{program} is not on the PATH"))?;
    ensure!(output.status.success(), "{program} {argument} failed");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_as_numbers() {
        let found = release("go version go1.26.8 linux/amd64");
        assert_eq!(found, Some((1, 26)));
        assert!(release("1.9") < found);
        assert!(release("1.27.1") > found);
        assert_eq!(release("no number"), None);
    }
}
