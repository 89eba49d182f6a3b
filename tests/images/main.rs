//! The images as a node runs them: built twice, unpacked, and started as their user with a root that is read-only, in
//! a network of their own where a name is what a DNS server says, and a certificate is what the image's authorities
//! say.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod archive;
mod inside;
mod servers;

use std::{path::Path, process::Command};

use portolan_testkit::{service::program, workdir::Workdir};

const NAME: &str = "images::an_image_is_the_same_twice_and_runs_on_a_node";
/// The image whose binary is the smallest.
const IMAGE: &str = "provider";
/// The variable by which the test finds, when it runs again inside, the unpacked image.
const ROOT: &str = "PORTOLAN_IMAGE_ROOT";
/// A network and mounts of its own. The copy of the root is read-only, as the charts say; the way to it is the node's.
const SCRIPT: &str = r#"set -e
ip link set lo up
test -z "$(ip route show default)"
mount --bind "$PORTOLAN_IMAGE_ROOT/files" "$PORTOLAN_IMAGE_ROOT/mounted"
mount -o remount,bind,ro "$PORTOLAN_IMAGE_ROOT/mounted"
exec "$0" --exact inside::an_image_runs_on_a_node --nocapture
"#;

#[test]
fn an_image_is_the_same_twice_and_runs_on_a_node() {
    if let Some(why) = lacking() {
        return println!("skipped: {NAME}: {why}");
    }
    let home = Workdir::new("image").unwrap();
    let output = home.path().join("output");
    let said = build(&output);
    let files = home.path().join("files");
    let archive =
        archive::unpack(&output.join(format!("{IMAGE}.oci.tar")), &home.path().join("archive"), &files);
    assert!(said.contains(&archive.digest), "{said}");
    archive.is_as_promised(IMAGE);
    archive::bill_is_of(&output.join(format!("{IMAGE}.cdx.json")), &archive.digest);
    std::fs::create_dir(home.path().join("mounted")).unwrap();
    let seen = again(home.path());
    assert!(seen.contains("1 passed") && seen.contains("a name and a certificate"), "{seen}");
}

fn lacking() -> Option<&'static str> {
    let answers = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if answers("buildah", "--version").is_none() {
        return Some("no buildah: apt-get install buildah");
    }
    if answers("id", "-u").as_deref() != Some("0") {
        return Some("not root, who alone can be user 65532: sudo -E cargo test");
    }
    match answers("unshare", "--net") {
        Some(_) => None,
        None => Some("no namespaces: sysctl kernel.unprivileged_userns_clone=1"),
    }
}

/// Builds the image of the binary that this test was built with, twice.
fn build(output: &Path) -> String {
    let binary = program::find(IMAGE).unwrap();
    let mut command = Command::new(program::find("xtask").unwrap());
    command.args(["images", IMAGE, "--check", "--binaries"]).arg(binary.parent().unwrap());
    command.arg("--output").arg(output).current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = command.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    String::from_utf8(built.stdout).unwrap()
}

fn again(home: &Path) -> String {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", SCRIPT]).arg(std::env::current_exe().unwrap());
    let output = command.env(ROOT, home).output().unwrap();
    [output.stdout, output.stderr].map(|part| String::from_utf8_lossy(&part).into_owned()).concat()
}
