//! `cargo xtask images [NAME...]`: an OCI archive and an SBOM for each service, built without pulling anything.
//!
//! What goes into an image is laid out by `docker/assemble` and put together by `docker/Dockerfile`, as anywhere else.

mod buildah;
mod origin;
mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_testkit::workdir::Workdir;

use self::{
    buildah::{Buildah, Built},
    origin::Origin,
    sbom::Subject,
};
use crate::{
    output,
    services::{Binaries, Profile},
    workspace,
};

/// The images, each of the binary with its name, which is in the package `portolan-NAME`.
const NAMES: [&str; 8] = [
    "konnector",
    "provider",
    "token-service",
    "token-exchange",
    "listener",
    "gateway",
    "devportal",
    "portal",
];
/// Limit on the files of an image in all, in bytes.
const LIMIT: u64 = 25_000_000;
/// `EX_USAGE`: something must be installed first.
const NOT_INSTALLED: u8 = 64;

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Images to build; none for all
    #[arg(value_name = "NAME", value_parser = NAMES)]
    names: Vec<String>,
    /// Directory for archives and SBOMs; `images` in the target directory when absent
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Take the binaries from here instead of building them; their images may have any size
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Build each image twice and fail when the digests differ
    #[arg(long)]
    check: bool,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<ExitCode> {
    if !buildah::is_installed() {
        output::problem("there is no buildah: apt-get install buildah");
        return Ok(ExitCode::from(NOT_INSTALLED));
    }
    let metadata = workspace::members()?;
    let output = args.output.clone().unwrap_or_else(|| metadata.target_directory.join("images").into());
    fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
    let names = chosen(&args.names);
    let binaries = match &args.binaries {
        Some(folder) => Binaries::found_in(&folder.canonicalize().context("the folder of the binaries")?),
        None => Binaries::build(&names, Profile::Release)?,
    };
    let root = metadata.workspace_root.into_std_path_buf();
    let yard = Yard { origin: Origin::of(&root)?, root, binaries, output: output.canonicalize()? };
    let mut too_large = Vec::new();
    for name in names {
        let size = yard.image(name, args.check)?;
        if size > LIMIT && args.binaries.is_none() {
            too_large.push(format!(
                "{name} has {}, which is more than {}",
                megabytes(size),
                megabytes(LIMIT)
            ));
        }
    }
    ensure!(too_large.is_empty(), "{}", too_large.join("; "));
    Ok(ExitCode::SUCCESS)
}

/// Builds the images of all services from binaries that are there.
pub fn build(binaries: &Path, output: &Path) -> Result<()> {
    let args = Args {
        names: Vec::new(),
        output: Some(output.to_owned()),
        binaries: Some(binaries.to_owned()),
        check: false,
    };
    ensure!(run(&args)? == ExitCode::SUCCESS, "the images cannot be built");
    Ok(())
}

/// Builds an image of one static program and nothing else.
pub fn of_one_program(program: &Path, tag: &str, archive: &Path) -> Result<()> {
    Buildah::new()?.of_one_program(program, tag, archive)
}

fn chosen(names: &[String]) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| names.is_empty() || names.iter().any(|chosen| chosen == name)).collect()
}

/// The directories in which images are built.
struct Yard {
    root: PathBuf,
    origin: Origin,
    binaries: Binaries,
    output: PathBuf,
}

impl Yard {
    /// Builds an image and says what came out. Gives the size of its files.
    fn image(&self, name: &'static str, check: bool) -> Result<u64> {
        let start = Instant::now();
        let archive = self.output.join(format!("{name}.oci.tar"));
        let (built, files) = self.build(name, &archive)?;
        let subject = Subject { name, digest: &built.digest, origin: &self.origin, files: files.path() };
        let bill = serde_json::to_string_pretty(&sbom::write(&workspace::linked()?, &subject)?)?;
        fs::write(self.output.join(format!("{name}.cdx.json")), bill + "\n").context("writing the SBOM")?;
        if check {
            self.compare(name, &built)?;
        }
        let packed = fs::metadata(&archive)?.len();
        output::line(format_args!(
            "{name:<16} {} ({} packed)  {}  {:.1} s",
            megabytes(built.size),
            megabytes(packed),
            built.digest,
            start.elapsed().as_secs_f64()
        ));
        Ok(built.size)
    }

    /// One build that shares nothing with any other. The folder has the files of the image.
    fn build(&self, name: &str, archive: &Path) -> Result<(Built, Workdir)> {
        let files = Workdir::new("images")?;
        let program = self.binaries.path(name);
        let from = program.parent().context("a binary is in a folder")?;
        ensure!(program.is_file(), "there is no {name} in {}", from.display());
        let assemble = Command::new(self.root.join("docker/assemble"))
            .args([from, files.path(), Path::new(name)])
            .current_dir(&self.root)
            .env("SOURCE_DATE_EPOCH", self.origin.seconds.to_string())
            .status()
            .context("starting docker/assemble")?;
        ensure!(assemble.success(), "docker/assemble failed for {name}");
        let built = Buildah::new()?.build(&self.root, name, files.path(), &self.origin, archive)?;
        Ok((built, files))
    }

    fn compare(&self, name: &str, first: &Built) -> Result<()> {
        let aside = Workdir::new("images-again")?;
        let (second, _) = self.build(name, &aside.path().join("image.tar"))?;
        if first.digest != second.digest {
            bail!("{name} built twice has two digests: {} and {}", first.digest, second.digest);
        }
        Ok(())
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{Cli, Command as Verb};

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        match Cli::try_parse_from([&["xtask", "images"], arguments].concat())?.command {
            Verb::Images(args) => Ok(args),
            _ => unreachable!("the verb is images"),
        }
    }

    #[test]
    fn images_are_chosen_by_name() {
        assert_eq!(chosen(&parse(&[]).unwrap().names), NAMES);
        let args = parse(&["token-service", "konnector", "--check", "--output", "out"]).unwrap();
        assert_eq!(chosen(&args.names), ["konnector", "token-service"]);
        assert!(args.check && args.binaries.is_none() && args.output.is_some());
        let error = parse(&["konektor"]).map(|_| ()).unwrap_err().to_string();
        assert!(
            error
                .contains("konnector, provider, token-service, token-exchange, listener, gateway, devportal"),
            "{error}"
        );
    }

    #[test]
    fn sizes_are_in_megabytes() {
        assert_eq!(megabytes(LIMIT), "25.0 MB");
        assert_eq!(megabytes(999_999), "0.9 MB");
    }

    /// Elsewhere the file is used without us, so it repeats what Cargo knows.
    #[test]
    fn the_dockerfile_has_a_target_for_each_image_and_says_what_cargo_does() {
        let metadata = workspace::members().unwrap();
        let file = fs::read_to_string(metadata.workspace_root.join("docker/Dockerfile")).unwrap();
        for name in NAMES {
            for needed in [
                format!("FROM common AS {name}\nLABEL org.opencontainers.image.title=\"{name}\""),
                format!("COPY --from=files /{name}/ /\nENTRYPOINT [\"/usr/bin/{name}\"]"),
                format!("--package portolan-{name}"),
            ] {
                assert!(file.contains(&needed), "{needed}");
            }
            let package = metadata.packages.iter().find(|p| p.name.as_str() == format!("portolan-{name}"));
            if let Some(package) = package {
                let version = format!("ARG VERSION={}\n", package.version);
                assert!(file.contains(&version), "{version}");
                let description = package.description.clone().unwrap();
                assert!(file.contains(&format!("image.description=\"{description}\"")), "{description}");
            }
        }
    }
}
