//! `cargo xtask console [--check]`: the bundles of the gateway's console and of the portal's pages, built from their
//! sources with npm.
//!
//! The bundles are committed, so that nothing but this verb needs Node.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use portolan_testkit::{
    clients::{self, Toolchain},
    workdir::Workdir,
};

use crate::{output, workspace};

/// A front end.
struct Console {
    /// Its sources.
    sources: &'static str,
    /// The name under which its packages are cached.
    packages: &'static str,
    /// The style sheet that alone may have colours and sizes, if there is such a rule.
    tokens: Option<&'static str>,
}

const CONSOLES: [Console; 2] = [
    Console { sources: "crates/gateway/console", packages: "gateway-console", tokens: None },
    Console { sources: "crates/portal/console", packages: "portal-pages", tokens: Some("tokens.css") },
];

/// What is made of the sources, beside them.
const BUNDLE: &str = "dist";

/// Arguments of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; name the files that differ and fail if there are any
    #[arg(long)]
    check: bool,
}

type Files = BTreeMap<String, Vec<u8>>;

/// Runs the verb.
pub fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root()?;
    let mut is_current = true;
    for console in &CONSOLES {
        let wanted = console.built(&root)?.context(Toolchain::Node.absence())?;
        let folder = root.join(console.sources).join(BUNDLE);
        let differing = console.compare(&wanted, &files(&folder)?);
        is_current &= differing.is_empty();
        if args.check {
            differing.iter().for_each(output::problem);
        } else {
            write(&folder, &wanted)?;
            let changed = differing.len();
            output::line(format_args!("{}: {} files, {changed} changed", console.sources, wanted.len()));
        }
    }
    Ok(if args.check && !is_current { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn write(folder: &Path, wanted: &Files) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, content) in wanted {
        fs::write(folder.join(name), content)?;
    }
    Ok(())
}

/// Lists the files that are not what the sources make, with the cure, and styles with figures of their own. The first
/// is left out where there is no npm.
pub fn problems(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for console in &CONSOLES {
        found.extend(console.literals(root)?);
        let Some(wanted) = console.built(root)? else { continue };
        found.extend(console.compare(&wanted, &files(&root.join(console.sources).join(BUNDLE))?));
    }
    Ok(found)
}

impl Console {
    fn compare(&self, wanted: &Files, present: &Files) -> Vec<String> {
        let differs = |name: &&String| wanted.get(*name) != present.get(*name);
        let names: BTreeSet<_> = wanted.keys().chain(present.keys()).collect();
        let told = |name: &String| {
            format!(
                "{}/{BUNDLE}/{name} is not what its sources make: run `cargo xtask console`",
                self.sources
            )
        };
        names.into_iter().filter(differs).map(told).collect()
    }

    /// Checks the types, runs the tests if there are any, and builds the bundle in a folder of its own, with the
    /// packages of the lock file.
    fn built(&self, root: &Path) -> Result<Option<Files>> {
        let sources = root.join(self.sources);
        let Some(packages) = clients::build_from(&sources, self.packages, Toolchain::Node)? else {
            return Ok(None);
        };
        let place = Workdir::new("console")?;
        for (name, content) in files(&sources)? {
            fs::write(place.path().join(name), content)?;
        }
        for folder in ["src", "test"] {
            let copied = place.path().join(folder);
            fs::create_dir(&copied)?;
            for (name, content) in files(&sources.join(folder))? {
                fs::write(copied.join(name), content)?;
            }
        }
        symlink(packages.join("node_modules"), place.path().join("node_modules"))?;
        let node = |words: &[&str]| say(Command::new("node").args(words).current_dir(place.path()));
        node(&["node_modules/typescript/bin/tsc"])?;
        if place.path().join("test.mjs").exists() {
            node(&["test.mjs"])?;
        }
        node(&["build.mjs", BUNDLE])?;
        files(&place.path().join(BUNDLE)).map(Some)
    }

    /// Lists colours and sizes outside the tokens.
    fn literals(&self, root: &Path) -> Result<Vec<String>> {
        let Some(tokens) = self.tokens else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for (name, content) in files(&root.join(self.sources).join("src"))? {
            if Path::new(&name).extension().is_none_or(|end| end != "css") || name == tokens {
                continue;
            }
            for (index, line) in String::from_utf8_lossy(&content).lines().enumerate() {
                if let Some(word) = line.split([' ', ';', '(', ')', ',']).find(|word| is_literal(word)) {
                    let place = format!("{}/src/{name}:{}", self.sources, index + 1);
                    found.push(format!("{place}: `{word}` belongs into {tokens}, under a name"));
                }
            }
        }
        Ok(found)
    }
}

/// Whether a word of a style sheet is a colour, or a size with an absolute unit.
fn is_literal(word: &str) -> bool {
    let is_colour = word.strip_prefix('#').is_some_and(|digits| {
        matches!(digits.len(), 3 | 4 | 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let is_function = matches!(word, "rgb" | "rgba" | "hsl" | "hsla" | "oklch" | "oklab" | "lab" | "lch");
    let is_size = ["px", "rem", "pt"].iter().any(|unit| {
        word.strip_suffix(unit).is_some_and(|number| number.parse::<f32>().is_ok_and(|number| number != 0.0))
    });
    is_colour || is_function || is_size
}

fn say(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&said));
    Ok(())
}

/// The files in a folder, without folders in it; a folder that is absent has none.
fn files(folder: &Path) -> Result<Files> {
    if !folder.exists() {
        return Ok(Files::new());
    }
    let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let read = |path: PathBuf| {
        let name = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        Ok((name, fs::read(&path).with_context(|| path.display().to_string())?))
    };
    paths.into_iter().filter(|path| path.is_file()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let files = |entries: &[(&str, &str)]| -> Files {
            entries.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let wanted = files(&[("same", "1"), ("changed", "2"), ("new", "3")]);
        let present = files(&[("same", "1"), ("changed", "1"), ("old", "4")]);
        let found = CONSOLES[0].compare(&wanted, &present);
        assert_eq!(found.len(), 3, "{found:?}");
        for (line, name) in found.iter().zip(["changed", "new", "old"]) {
            assert!(line.starts_with(&format!("{}/{BUNDLE}/{name} ", CONSOLES[0].sources)), "{line}");
        }
    }

    #[test]
    fn colours_and_sizes_are_found() {
        for word in ["#fff", "#11223344", "1px", "-0.5rem", "12pt", "rgb"] {
            assert!(is_literal(word), "{word}");
        }
        for word in ["#main", "0", "0px", "100%", "1fr", "var", "--space-1", "0.12s", "1.5", "2em", "#count"]
        {
            assert!(!is_literal(word), "{word}");
        }
    }
}
