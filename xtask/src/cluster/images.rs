//! Images for the node: built as users get them, and loaded into its container runtime.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use portolan_testkit::node::NodeBinaries;
use tokio::process::Command;

use super::{SERVICES, home::Home, node};
use crate::{images, services::Binaries};

/// An image archive, and the name that pods use.
#[derive(Clone, Debug)]
pub(super) struct Image {
    archive: PathBuf,
    name: String,
}

/// Builds the images of all services, and the one of the pause container and the clients.
pub(super) async fn build(home: &Home, binaries: &Binaries, programs: &NodeBinaries) -> Result<Vec<Image>> {
    let folder = home.file("images");
    fs::create_dir_all(&folder)?;
    let (services, guest) = (folder.clone(), programs.guest.clone());
    let from = binaries.path("");
    tokio::task::spawn_blocking(move || {
        images::build(&from, &services)?;
        images::of_one_program(&guest, node::GUEST_IMAGE, &services.join("guest.oci.tar"))
    })
    .await??;
    let version = env!("CARGO_PKG_VERSION");
    let of_service = |name: &&str| Image {
        archive: folder.join(format!("{name}.oci.tar")),
        name: format!("docker.io/portolan/{name}:{version}"),
    };
    let guest = Image { archive: folder.join("guest.oci.tar"), name: node::GUEST_IMAGE.to_owned() };
    Ok(SERVICES.iter().map(of_service).chain([guest]).collect())
}

/// Loads the images under the names that pods use.
pub(super) async fn load(home: &Home, images: &[Image]) -> Result<()> {
    let socket = home.file(node::SOCKET);
    for image in images {
        let archive = image.archive.display().to_string();
        let said = ctr(&socket, &["images", "import", "--index-name", &image.name, &archive]).await?;
        ensure!(!said.trim().is_empty(), "{archive} holds no image with a name");
    }
    Ok(())
}

async fn ctr(socket: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(socket).args(["--namespace", "k8s.io"]).args(arguments);
    let output = command.kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ctr {} failed: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
