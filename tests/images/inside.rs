//! The program of an image in the network of the test: as its user, with the image's root and nothing else.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    IMAGE, ROOT,
    servers::{self, Authority, HOST, SHORT, Seen},
};

const RESOLV: &str = "nameserver 127.0.0.1\n\
                      search portolan.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";

#[test]
fn an_image_runs_on_a_node() {
    let Some(home) = std::env::var_os(ROOT).map(PathBuf::from) else { return };
    let (files, mounted) = (home.join("files"), home.join("mounted"));
    fs::write(files.join("etc/resolv.conf"), RESOLV).unwrap();
    assert!(fs::write(mounted.join("written"), "").is_err(), "its root is read-only");
    let version = wait(program(&mounted, &["--version"]));
    let expected = format!("{IMAGE} {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected, "{version:?}");

    servers::dns();
    let authority = Authority::new();
    assert_eq!(asked(&authority, &files, &mounted, HOST), Seen::Unknown, "nobody has signed for it");
    let bundle = files.join("etc/ssl/certs/ca-certificates.crt");
    let mut bundle = OpenOptions::new().append(true).open(bundle).unwrap();
    bundle.write_all(authority.pem.as_bytes()).unwrap();
    for host in [HOST, SHORT] {
        let seen = asked(&authority, &files, &mounted, host);
        let Seen::Asked(request) = &seen else { panic!("{host}: {seen:?}") };
        assert!(request.contains(&format!("host: {host}:")), "{request}");
    }
    println!("a name and a certificate of {HOST} are checked");
}

/// Asks the program to find the server under this name, and returns the server's view. Its kubeconfig names no
/// authority: those of the image count.
fn asked(authority: &Authority, files: &Path, mounted: &Path, host: &str) -> Seen {
    let server = authority.serve();
    let kubeconfig = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, users: [{{name: u, user: {{token: t}}}}],\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}],\n\
         clusters: [{{name: c, cluster: {{server: 'https://{host}:{}'}}}}]}}\n",
        server.port
    );
    fs::write(files.join("etc/kubeconfig"), kubeconfig).unwrap();
    let mut child = program(mounted, &["check", "--kubeconfig", "/etc/kubeconfig"]).spawn().unwrap();
    let seen = server.seen();
    child.kill().unwrap();
    child.wait().unwrap();
    seen
}

fn program(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("chroot");
    command.arg("--userspec=65532:65532").arg(root).arg(format!("/usr/bin/{IMAGE}")).args(arguments);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn wait(mut command: Command) -> Output {
    command.output().unwrap()
}
