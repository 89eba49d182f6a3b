//! A real API server accepts docs/examples and everything that the charts render: no field is unknown or misspelt.
//! And histories of the charts' CRDs under both versions of Helm.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "a test says so when it is skipped")]

mod examples;
mod histories;
mod rendered;
mod twice;

use std::path::Path;

use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, clients,
    command::{Line, Ran},
    workdir::Workdir,
};

/// A separate cluster for a test that changes CRDs.
async fn cluster(name: &str) -> ControlPlane {
    ControlPlane::start(ControlPlaneOptions::named(name)).await.unwrap()
}

/// kubectl as the cluster's administrator.
async fn kubectl(plane: &ControlPlane, home: &Workdir, arguments: &str, stdin: &str) -> Ran {
    let line = Line::script(home.path(), plane, &format!("kubectl {arguments}")).unwrap();
    line.stdin(stdin).run().await.unwrap()
}

/// Helm in a major version. None without Go to build it.
async fn helm(version: u8, plane: &ControlPlane, home: &Workdir, arguments: &str) -> Option<Ran> {
    let program = if version == 3 { clients::helm() } else { clients::helm4() };
    let program = program.unwrap()?;
    let line = Line::script(home.path(), plane, &format!("{} {arguments}", program.display())).unwrap();
    Some(line.run().await.unwrap())
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
