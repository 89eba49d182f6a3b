//! Requirements of a node, each with its cure.

use std::{env, fs, path::Path};

use anyhow::{Result, ensure};

/// A program of a Debian package that a node needs.
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: [Need; 10] = [
    Need { program: "containerd", package: "containerd" },
    Need { program: "ctr", package: "containerd" },
    Need { program: "runc", package: "runc" },
    Need { program: "/usr/lib/cni/bridge", package: "containernetworking-plugins" },
    Need { program: "iptables", package: "iptables" },
    Need { program: "ip", package: "iproute2" },
    Need { program: "unshare", package: "util-linux" },
    Need { program: "nsenter", package: "util-linux" },
    Need { program: "mount", package: "mount" },
    Need { program: "buildah", package: "buildah" },
];

/// The reason why no node can run here, in one line.
pub fn lacking() -> Option<String> {
    let found: Vec<_> = NEEDS.iter().filter(|need| is_there(need.program)).map(|need| need.program).collect();
    reason(is_root(), &found)
}

/// Fails with [`lacking`].
pub(super) fn check() -> Result<()> {
    let lacking = lacking();
    ensure!(lacking.is_none(), "{}", lacking.unwrap_or_default());
    Ok(())
}

fn reason(is_root: bool, found: &[&str]) -> Option<String> {
    if !is_root {
        return Some(
            "needs root, since kubelet mounts, makes network devices and cgroups: sudo -E cargo xtask cluster up"
                .to_owned(),
        );
    }
    let mut packages: Vec<_> =
        NEEDS.iter().filter(|need| !found.contains(&need.program)).map(|need| need.package).collect();
    packages.dedup();
    (!packages.is_empty())
        .then(|| format!("lacks {}: apt-get install {}", packages.join(", "), packages.join(" ")))
}

/// Returns `true` if this process runs as root.
pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

fn is_there(program: &str) -> bool {
    // As daemons look them up; sbin is not on everybody's PATH.
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(Into::into));
    program.starts_with('/') && Path::new(program).is_file()
        || folders.into_iter().any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_told_with_its_cure_and_once() {
        let all: Vec<_> = NEEDS.iter().map(|need| need.program).collect();
        assert_eq!(reason(true, &all), None);
        assert!(reason(false, &all).unwrap().starts_with("needs root, since "));
        let without: Vec<_> =
            all.iter().copied().filter(|name| !["containerd", "ctr", "runc"].contains(name)).collect();
        assert_eq!(
            reason(true, &without).unwrap(),
            "lacks containerd, runc: apt-get install containerd runc"
        );
    }
}
