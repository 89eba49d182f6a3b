//! Buildah, with everything that it keeps in a temporary directory: nothing remains, and no other storage is touched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::workdir::Workdir;

use super::origin::Origin;

/// Returns `true` if there is a buildah on the PATH.
pub(super) fn is_installed() -> bool {
    Command::new("buildah").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The result of a build.
#[derive(Debug)]
pub(super) struct Built {
    /// The digest of its manifest: what `image@sha256:...` names.
    pub(super) digest: String,
    /// Bytes of all its files.
    pub(super) size: u64,
}

/// A storage of its own.
pub(super) struct Buildah(Workdir);

impl Buildah {
    pub(super) fn new() -> Result<Self> {
        Workdir::new("buildah").map(Self)
    }

    /// Builds the target `name` of the Dockerfile from the files in `files/NAME`, into an OCI archive.
    pub(super) fn build(
        &self,
        root: &Path,
        name: &str,
        files: &Path,
        origin: &Origin,
        archive: &Path,
    ) -> Result<Built> {
        let tag = format!("portolan/{name}:{}", origin.version);
        let docker = root.join("docker");
        let mut build = self.command("bud");
        build.args(["--isolation", "chroot", "--pull-never", "--quiet", "--target", name, "--tag", &tag]);
        build.arg("--timestamp").arg(origin.seconds.to_string());
        build.arg("--build-context").arg(format!("files={}", files.display()));
        for (argument, value) in
            [("VERSION", &origin.version), ("REVISION", &origin.revision), ("CREATED", &origin.created()?)]
        {
            build.arg("--build-arg").arg(format!("{argument}={value}"));
        }
        run(build.arg("--file").arg(docker.join("Dockerfile")).arg(docker))?;
        let digest = self.0.path().join("digest");
        let mut push = self.command("push");
        push.args(["--quiet", "--digestfile"]).arg(&digest).arg(&tag);
        run(push.arg(format!("oci-archive:{}:{tag}", archive.display())))?;
        let digest = fs::read_to_string(&digest).context("the digest of the image")?.trim().to_owned();
        Ok(Built { digest, size: size(files.join(name))? })
    }

    /// Builds an image of one static program, as user 65532.
    pub(super) fn of_one_program(&self, program: &Path, tag: &str, archive: &Path) -> Result<()> {
        let context = self.0.path().join("context");
        fs::create_dir(&context)?;
        fs::copy(program, context.join("program")).context("the program of the image")?;
        let file = "FROM scratch\nCOPY program /program\nUSER 65532:65532\nENTRYPOINT [\"/program\"]\n";
        fs::write(context.join("Dockerfile"), file)?;
        let mut build = self.command("bud");
        build.args(["--isolation", "chroot", "--pull-never", "--quiet", "--tag", tag]);
        run(build.arg(&context))?;
        let mut push = self.command("push");
        push.args(["--quiet", tag]);
        run(push.arg(format!("oci-archive:{}:{tag}", archive.display())))
    }

    fn command(&self, verb: &str) -> Command {
        let home = self.0.path();
        let mut command = Command::new("buildah");
        command.args(["--storage-driver", "vfs", "--root"]).arg(home.join("storage"));
        command.arg("--runroot").arg(home.join("run")).arg(verb);
        // Otherwise root's list of known layers is kept under /var/lib.
        command.env("_CONTAINERS_ROOTLESS_UID", "65532");
        for place in ["HOME", "TMPDIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
            command.env(place, home);
        }
        command
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().context("starting buildah")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "buildah failed ({}): {}", output.status, said.trim());
    Ok(())
}

/// The sum over all files; a link counts with its own few bytes.
fn size(folder: PathBuf) -> Result<u64> {
    let (mut sum, mut open) = (0, vec![folder]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() { open.push(entry.path()) } else { sum += metadata.len() }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_all_folders_are_counted() {
        let home = Workdir::new("unit").unwrap();
        fs::create_dir_all(home.path().join("a/b")).unwrap();
        fs::write(home.path().join("a/b/x"), "123").unwrap();
        fs::write(home.path().join("y"), "45").unwrap();
        assert_eq!(size(home.path().to_owned()).unwrap(), 5);
    }
}
