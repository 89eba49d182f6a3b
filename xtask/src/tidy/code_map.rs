//! The code map in `docs/ARCHITECTURE.md`: every crate has a section, every top module a place in its table, and no row
//! names a module that does not exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use anyhow::{Context as _, Result};

use super::Project;
use crate::workspace;

const PAGE: &str = "docs/ARCHITECTURE.md";

/// The table of a section: names in its first column, and in all columns.
#[derive(Default)]
struct Table<'a> {
    rows: BTreeSet<&'a str>,
    all: BTreeSet<&'a str>,
}

/// Names what the map lacks, and what it has too much.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let text = fs::read_to_string(project.root.join(PAGE)).context(PAGE)?;
    Ok(faults(&top_modules(&workspace::rust_files(&project.root)?), &text))
}

/// The top modules of each folder of `crates/`.
fn top_modules(files: &[PathBuf]) -> BTreeMap<String, BTreeSet<String>> {
    let mut crates = BTreeMap::<String, BTreeSet<String>>::new();
    for file in files {
        let parts: Vec<_> = file.iter().filter_map(|part| part.to_str()).collect();
        let ["crates", name, "src", top, ..] = parts[..] else { continue };
        let module = top.strip_suffix(".rs").unwrap_or(top);
        if !["lib", "main", "bin"].contains(&module) {
            crates.entry(name.to_owned()).or_default().insert(module.to_owned());
        }
    }
    crates
}

fn faults(crates: &BTreeMap<String, BTreeSet<String>>, text: &str) -> Vec<String> {
    let tables = tables(text);
    let mut found = Vec::new();
    for (name, modules) in crates {
        let Some(table) = tables.get(name.as_str()) else {
            found.push(format!("{PAGE}: write a section ### `crates/{name}` with a table of its modules"));
            continue;
        };
        let missing = modules.iter().filter(|module| !table.all.contains(module.as_str()));
        found.extend(missing.map(|module| format!("{PAGE}: `crates/{name}` lacks the module `{module}`")));
        let surplus = table.rows.iter().filter(|row| !modules.contains(**row));
        found.extend(surplus.map(|row| format!("{PAGE}: `crates/{name}` has no module `{row}`: remove it")));
    }
    let gone = tables.keys().filter(|name| !crates.contains_key(**name));
    found.extend(gone.map(|name| format!("{PAGE}: `crates/{name}` does not exist: remove its section")));
    found
}

/// The tables of the sections about crates, by the name of the folder.
fn tables(text: &str) -> BTreeMap<&str, Table<'_>> {
    let mut tables = BTreeMap::<&str, Table<'_>>::new();
    let mut section = None;
    for line in text.lines() {
        if line.starts_with('#') {
            let rest = line.strip_prefix("### `crates/").and_then(|rest| rest.split_once('`'));
            section = rest.map(|(name, _)| name);
        }
        if let (Some(name), Some(row)) = (section, line.strip_prefix('|')) {
            let table = tables.entry(name).or_default();
            table.rows.extend(quoted(row.split('|').next().unwrap_or_default()));
            table.all.extend(quoted(row));
        }
    }
    tables
}

/// The texts between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "## Code map\n\n### `crates/a`\n\n| module | does |\n|---|---|\n| `one`, `two` | `three` helps |\n\n\
                       *Invariant:* no `four`.\n\n### `crates/b`, `tests`\n\n| module | does |\n|---|---|\n| `five` | |\n";

    fn crates(files: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        top_modules(&files.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_map_names_what_there_is_and_nothing_else() {
        let all =
            ["crates/a/src/one.rs", "crates/a/src/two/x.rs", "crates/a/src/three.rs", "crates/b/src/five.rs"];
        let cases: [(&[&str], &str); 6] = [
            (&["crates/a/src/lib.rs", "crates/a/src/main.rs", "crates/b/src/bin/x.rs", "xtask/src/y.rs"], ""),
            (&["crates/a/src/four.rs"], "`crates/a` lacks the module `four`"),
            (&["crates/b/src/one.rs"], "`crates/b` lacks the module `one`"),
            (&["crates/c/src/six.rs"], "write a section ### `crates/c`"),
            (&["crates/a/src/two.rs"], ""),
            (&["crates/a/src/one/four.rs"], ""),
        ];
        for (more, expected) in cases {
            let found = faults(&crates(&[&all[..], more].concat()), MAP);
            assert_eq!(found.len(), usize::from(!expected.is_empty()), "{expected}: {found:?}");
            assert!(found.iter().all(|fault| fault.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn what_is_gone_leaves_the_map() {
        let found = faults(&crates(&["crates/a/src/one.rs", "crates/a/src/three.rs"]), MAP);
        assert_eq!(
            found,
            [
                format!("{PAGE}: `crates/a` has no module `two`: remove it"),
                format!("{PAGE}: `crates/b` does not exist: remove its section"),
            ]
        );
    }
}
