//! `cargo xtask deps`: what a machine needs before `cargo xtask test` can run, apart from crates and Go modules.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};

use crate::{output, workspace};

/// A program that is used, and the Debian package that brings it.
struct Program {
    name: &'static str,
    package: &'static str,
    /// The tests or commands that use it.
    used: &'static str,
}

const fn program(name: &'static str, package: &'static str, used: &'static str) -> Program {
    Program { name, package, used }
}

/// Programs that are used besides Rust and Go. Those that are missing are installed, and nothing is installed
/// anywhere else.
const PROGRAMS: [Program; 15] = [
    program("cc", "gcc", "the C and assembler in crates"),
    program("ar", "binutils", "the C and assembler in crates"),
    program("curl", "curl", "tests that do what documents say"),
    program("jq", "jq", "tests that do what documents say"),
    program("unshare", "util-linux", "tests in a network of their own"),
    program("mount", "mount", "tests in a network of their own"),
    program("ip", "iproute2", "tests in a network of their own"),
    program("chromium", "chromium", "tests of pages"),
    program("chromedriver", "chromium-driver", "tests of pages"),
    // Not a program: what is set in a font of the system looks the same in every picture.
    program(
        "/usr/share/fonts/truetype/liberation/LiberationMono-Regular.ttf",
        "fonts-liberation",
        "pictures of pages",
    ),
    program("buildah", "buildah", "images"),
    program("containerd", "containerd", "the cluster"),
    // Folders of daemons are on nobody's path but root's.
    program("/usr/sbin/runc", "runc", "the cluster"),
    program("/usr/sbin/iptables", "iptables", "the cluster"),
    program("/usr/lib/cni/bridge", "containernetworking-plugins", "the cluster"),
];

/// Without these, `tests/control-plane` is compiled, which takes Go.
const CONTROL_PLANE: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];
/// The command that tries namespaces as tests use them.
const NAMESPACES: [&str; 6] = ["--user", "--map-root-user", "--net", "--mount", "sh", "-c"];
const IN_NAMESPACES: &str = "ip link set lo up && mount --bind /etc/hosts /etc/hosts";

/// Runs the verb.
pub fn run() -> Result<ExitCode> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|program| !on_path(program.name)).collect();
    let installed = install(&missing);
    let root = workspace::root()?;
    let mut checks = vec![cargo(), go(&root), kubectl(&root), namespaces()];
    checks.extend(PROGRAMS.iter().map(found));
    checks.extend(installed.err().map(Err));
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

fn found(program: &Program) -> Result<String> {
    let Program { name, package, used } = program;
    ensure!(on_path(name), "{name}, for {used}: apt-get install {package}");
    Ok(format!("{name}, for {used}"))
}

fn install(missing: &[&Program]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
    output::line(format_args!("installing {}", packages.join(" ")));
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], &packages[..]].concat())
}

/// People and tests type it. It is built with the control planes, unless these are brought from elsewhere.
fn kubectl(root: &Path) -> Result<String> {
    if on_path("kubectl") {
        return Ok("kubectl is on the PATH".to_owned());
    }
    if let Some(folder) = assets() {
        ensure!(folder.join("kubectl").is_file(), "kubectl: put it into KUBEBUILDER_ASSETS, or on the PATH");
        return Ok("kubectl is in KUBEBUILDER_ASSETS".to_owned());
    }
    ensure!(provided().is_none(), "kubectl: put it on the PATH, where the control plane's programs are");
    let manifest = fs::read_to_string(root.join("tests/control-plane/go.mod"))?;
    ensure!(manifest.contains("cmd/kubectl"), "kubectl: tests/control-plane/go.mod does not name it");
    Ok("kubectl is built with the control planes".to_owned())
}

fn namespaces() -> Result<String> {
    let cure = "namespaces, for tests in a network of their own: sysctl kernel.unprivileged_userns_clone=1, \
                user.max_user_namespaces above 0, and no seccomp profile or AppArmor that forbids unshare";
    let tried = Command::new("unshare").args(NAMESPACES).arg(IN_NAMESPACES).output().context(cure)?;
    let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    ensure!(tried.status.success(), "{cure}; it says: {said}");
    Ok("namespaces, for tests in a network of their own".to_owned())
}

fn assets() -> Option<PathBuf> {
    env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()).map(PathBuf::from)
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
    let manifest = fs::read_to_string(root.join("tests/control-plane/go.mod"))?;
    let needed =
        manifest.lines().find_map(|line| line.strip_prefix("go ")).context("go.mod names no Go version")?;
    let found = version("go", "version")
        .and_then(|found| {
            ensure!(release(&found) >= release(needed), "this is {found}");
            Ok(found)
        })
        .with_context(|| {
            format!("go: control planes and clients of tests need Go {needed}, from https://go.dev/dl")
        });
    match (found, provided()) {
        (Ok(found), _) => Ok(found),
        (Err(_), Some(place)) => Ok(format!(
            "the control plane's programs are {place}; without Go {needed}, tests with clients in Go are skipped"
        )),
        (Err(error), None) => Err(error),
    }
}

/// Finds the control plane's programs that nobody has to build.
fn provided() -> Option<&'static str> {
    let in_assets =
        || assets().is_some_and(|folder| CONTROL_PLANE.iter().all(|name| folder.join(name).is_file()));
    if in_assets() {
        return Some("in KUBEBUILDER_ASSETS");
    }
    CONTROL_PLANE.iter().all(|program| on_path(program)).then_some("on the PATH")
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
