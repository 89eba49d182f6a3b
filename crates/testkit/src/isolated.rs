//! A test that asks addresses which must never be asked from a test machine: it runs again inside a network
//! namespace of its own. There the addresses are that machine's, names are what its own /etc/hosts says, and
//! no packet has a way out.

use std::{env, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::workdir::Workdir;

const INSIDE: &str = "PORTOLAN_ISOLATED";
const SCRIPT: &str = r#"set -e
mount --bind "$HOSTS" /etc/hosts
ip link set lo up
for a in $ADDRESSES; do
    case $a in *:*) m=128 ;; *) m=32 ;; esac
    ip addr add "$a/$m" dev lo
done
test -z "$(ip route show default)"
exec "$0" --exact "$TEST" --nocapture
"#;

/// Returns `true` if this process is the one inside.
pub fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs the test of this name inside, with these addresses and these lines in /etc/hosts, and returns what it
/// prints. None where this machine has no namespaces for us.
pub fn again(name: &str, addresses: &[&str], hosts: &str) -> Result<Option<String>> {
    let home = Workdir::new("isolated")?;
    let hosts = home.write_private("hosts", &format!("127.0.0.1 localhost\n{hosts}"))?;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", SCRIPT]);
    command.arg(env::current_exe().context("cannot tell which program is running")?);
    command.env(INSIDE, "1").env("HOSTS", hosts).env("ADDRESSES", addresses.join(" ")).env("TEST", name);
    let Ok(output) = command.output() else { return Ok(None) };
    let text =
        [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned()).concat();
    if text.contains("unshare: ") || text.contains("Operation not permitted") {
        return Ok(None);
    }
    if !output.status.success() || !text.contains("1 passed") {
        bail!("inside the namespace:\n{text}");
    }
    Ok(Some(text))
}
