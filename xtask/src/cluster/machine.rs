//! Everything on a machine that a node could leave behind: recorded before `up`, and compared after `down`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Kernel settings that kubelet changes for the whole machine.
const SETTINGS: [&str; 3] = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"];
/// Directory of the cgroup hierarchies.
const CGROUPS: &str = "/sys/fs/cgroup";
/// The parent of the cgroups of all pods.
pub(super) const CGROUP: &str = "portolan-cluster";

/// The current state, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    kinds: BTreeMap<String, BTreeSet<String>>,
    settings: BTreeMap<String, String>,
}

impl Machine {
    /// Records the state. Processes are those that have to do with `home`.
    pub(super) fn look(home: &Path) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading the mounts")?;
        // The mount point identifies a mount well enough.
        let mounts = mounts.lines().filter_map(|line| line.split_whitespace().nth(4).map(str::to_owned));
        let kinds = [
            ("mount", mounts.collect()),
            ("network device", lines("ip", &["-brief", "link"], first_word)),
            ("network namespace", lines("ip", &["netns", "list"], first_word)),
            ("iptables rule", lines("iptables-save", &[], rule)),
            ("ip6tables rule", lines("ip6tables-save", &[], rule)),
            ("cgroup", cgroups().into_iter().collect()),
            ("process", processes(home)),
        ];
        let kinds = kinds.into_iter().map(|(kind, found)| (kind.to_owned(), found)).collect();
        let settings = SETTINGS.iter().map(|name| ((*name).to_owned(), setting(name))).collect();
        Ok(Self { kinds, settings })
    }

    /// Names everything that was not there before.
    pub(super) fn since(&self, before: &Self) -> Vec<String> {
        let old = |kind: &str| before.kinds.get(kind).cloned().unwrap_or_default();
        let more = |(kind, now): (&String, &BTreeSet<String>)| {
            now.difference(&old(kind)).map(|one| format!("{kind} {one}")).collect::<Vec<_>>()
        };
        let changed = self.settings.iter().filter(|(name, value)| before.settings.get(*name) != Some(value));
        let changed = changed.map(|(name, value)| format!("setting {name} = {value}"));
        self.kinds.iter().flat_map(more).chain(changed).collect()
    }

    /// Restores the kernel settings, and removes the cgroups of the pods.
    pub(super) fn restore(&self) {
        for (name, value) in self.settings.iter().filter(|(name, value)| setting(name) != **value) {
            // The comparison finds what cannot be restored.
            let _ = fs::write(Path::new("/proc/sys").join(name), value);
        }
        cgroups().iter().rev().for_each(|group| drop(fs::remove_dir(group)));
    }
}

/// Creates the parent of the cgroups of all pods in each hierarchy, as kubelet expects.
pub(super) fn make_cgroup() -> Result<()> {
    for hierarchy in hierarchies() {
        fs::create_dir_all(hierarchy.join(CGROUP)).with_context(|| hierarchy.display().to_string())?;
        copy_cpus(&hierarchy);
    }
    Ok(())
}

/// Fills a new cpuset: it is empty, and nothing could run in it.
fn copy_cpus(hierarchy: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read(hierarchy.join(file)) {
            // Version 2 does not need this, and refuses it.
            let _ = fs::write(hierarchy.join(CGROUP).join(file), value);
        }
    }
}

fn hierarchies() -> Vec<std::path::PathBuf> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.controllers").is_file() {
        return vec![root.to_owned()];
    }
    let folders = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    // Links are aliases of a hierarchy.
    folders.filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

/// Our cgroups, parents first.
fn cgroups() -> Vec<String> {
    let mut open: Vec<_> =
        hierarchies().iter().map(|root| root.join(CGROUP)).filter(|path| path.is_dir()).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        let inner = fs::read_dir(&folder).into_iter().flatten().flatten();
        open.extend(inner.map(|entry| entry.path()).filter(|path| path.is_dir()));
        found.push(folder.display().to_string());
    }
    found.sort();
    found
}

fn setting(name: &str) -> String {
    fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default().trim().to_owned()
}

/// The output of a program. Nothing if it is missing, since then it has created nothing either.
fn lines(program: &str, arguments: &[&str], of: fn(&str) -> Option<String>) -> BTreeSet<String> {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter_map(of).collect()
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(str::to_owned)
}

/// A rule or a chain, without its counters.
fn rule(line: &str) -> Option<String> {
    let is_one = line.starts_with('-') || line.starts_with(':');
    is_one.then(|| line.split(" [").next().unwrap_or_default().to_owned())
}

/// Processes whose command line names `home`, except this one and its parents.
fn processes(home: &Path) -> BTreeSet<String> {
    let home = home.display().to_string();
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let line = |id: u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        // `up` and `down` may name it as an argument.
        (line.contains(&home) && !line.contains("xtask cluster ")).then(|| format!("{id} {line}"))
    };
    ids.filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(kinds: &[(&str, &[&str])], setting: &str) -> Machine {
        let set = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Machine {
            kinds: kinds.iter().map(|(kind, all)| ((*kind).to_owned(), set(all))).collect(),
            settings: BTreeMap::from([("x".to_owned(), setting.to_owned())]),
        }
    }

    #[test]
    fn what_is_left_is_named_and_what_went_is_not() {
        let before = machine(&[("mount", &["/a", "/b"])], "0");
        let after = machine(&[("mount", &["/a", "/c"]), ("process", &["7 runc"])], "1");
        assert_eq!(after.since(&before), ["mount /c", "process 7 runc", "setting x = 1"]);
        assert!(before.since(&before).is_empty());
    }

    #[test]
    fn counters_are_no_part_of_a_rule() {
        assert_eq!(rule(":INPUT ACCEPT [12:345]").as_deref(), Some(":INPUT ACCEPT"));
        assert_eq!(rule("# comment"), None);
        assert_eq!(rule("-A X -j Y").as_deref(), Some("-A X -j Y"));
    }
}
