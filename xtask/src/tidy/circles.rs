//! Circles of imports: modules of a crate that cannot be understood one without the other.
//!
//! An import counts for the module that defines what is imported, whoever hands it on. The root of a crate, and test
//! modules, may import everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};

use super::Project;
use crate::workspace;

/// Limit on the modules of a crate in circles.
const MAX: usize = 5;

/// The place of a module in its crate; that of the root is empty.
type Module = Vec<String>;

/// Names the modules of every crate with too many of them.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let mut crates: BTreeMap<String, BTreeMap<Module, String>> = BTreeMap::new();
    for file in workspace::rust_files(&project.root)? {
        if let Some((name, module)) = place(&file) {
            let text =
                fs::read_to_string(project.root.join(&file)).with_context(|| file.display().to_string())?;
            crates.entry(name).or_default().insert(module, text);
        }
    }
    let too_many = crates.iter().filter_map(|(name, modules)| {
        let found = in_circles(modules);
        (found.len() > MAX).then(|| {
            let names: Vec<_> = found.iter().map(|module| module.join("::")).collect();
            format!(
                "{name}: {} modules import each other in circles, at most {MAX} may: move what they share to a module \
                 that imports none of them: {}",
                names.len(),
                names.join(", ")
            )
        })
    });
    Ok(too_many.collect())
}

/// The crate and the module of a file: `crates/NAME/src/a/b.rs` is `a::b` of `crates/NAME`.
fn place(file: &Path) -> Option<(String, Module)> {
    let parts: Vec<_> = file.iter().filter_map(|part| part.to_str()).collect();
    let ["crates", name, "src", ref inner @ .., last] = parts[..] else { return None };
    let stem = last.strip_suffix(".rs").filter(|stem| *stem != "tests" && !inner.contains(&"bin"))?;
    let mut module: Module = inner.iter().map(|&part| part.to_owned()).collect();
    if !["mod", "lib", "main"].contains(&stem) {
        module.push(stem.to_owned());
    }
    Some((format!("crates/{name}"), module))
}

/// The modules that import themselves by way of others.
fn in_circles(modules: &BTreeMap<Module, String>) -> Vec<&Module> {
    let source = Source::of(modules);
    let imports: BTreeMap<&Module, BTreeSet<Module>> =
        modules.keys().map(|module| (module, source.imports(module))).collect();
    let reaches_itself = |start: &&Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*start]);
        while let Some(module) = open.pop() {
            for next in imports.get(module).into_iter().flatten() {
                if next == *start {
                    return true;
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        false
    };
    modules.keys().filter(reaches_itself).collect()
}

/// The paths that the modules of a crate name.
struct Source {
    modules: BTreeSet<Module>,
    paths: BTreeMap<Module, Vec<Module>>,
    /// Names that a module hands on, each with its origin.
    handed_on: BTreeMap<(Module, String), Module>,
}

impl Source {
    fn of(texts: &BTreeMap<Module, String>) -> Self {
        let mut source = Self {
            modules: texts.keys().cloned().collect(),
            paths: BTreeMap::new(),
            handed_on: BTreeMap::new(),
        };
        for (module, text) in texts {
            let code = code(text);
            for (is_public, path) in used(&code).chain(named(&code)) {
                let Some(path) = source.absolute(module, &path) else { continue };
                if let Some(name) = path.last().filter(|_| is_public) {
                    source.handed_on.insert((module.clone(), name.clone()), path.clone());
                }
                source.paths.entry(module.clone()).or_default().push(path);
            }
        }
        source
    }

    /// The path from the root of the crate; `None` for what another crate has.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut base = match path.first()?.as_str() {
            "crate" => Module::new(),
            "self" | "super" => module.clone(),
            first => {
                let child = [module.as_slice(), &[first.to_owned()]].concat();
                return self.modules.contains(&child).then(|| [module.as_slice(), path].concat());
            }
        };
        let mut rest = path;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" | "self" => {}
                "super" => drop(base.pop()),
                _ => break,
            }
            rest = others;
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The modules, other than itself and the root, whose definitions a module uses.
    fn imports(&self, module: &Module) -> BTreeSet<Module> {
        let paths = self.paths.get(module).into_iter().flatten();
        paths.map(|path| self.home(path)).filter(|home| home != module && !home.is_empty()).collect()
    }

    /// The module that defines what a path leads to.
    fn home(&self, path: &Module) -> Module {
        let mut path = path.clone();
        // Names that are handed on in a ring do not compile; this ends all the same.
        for _ in 0..self.modules.len() {
            let length = (0..=path.len()).rev().find(|&length| self.modules.contains(&path[..length]));
            let (module, rest) = path.split_at(length.unwrap_or_default());
            let Some(name) = rest.first() else { return module.to_vec() };
            match self.handed_on.get(&(module.to_vec(), name.clone())) {
                Some(target) if *target != path => path = [target.as_slice(), &rest[1..]].concat(),
                _ => return module.to_vec(),
            }
        }
        path
    }
}

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let bare = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    bare.collect::<Vec<_>>().join("\n")
}

/// The paths of `use` declarations, and whether they are handed on.
fn used(code: &str) -> impl Iterator<Item = (bool, Vec<String>)> {
    let mut found = Vec::new();
    for statement in code.split(';') {
        let Some((before, tree)) = statement.rsplit_once("use ") else { continue };
        let before = before.rsplit(['}', '\n']).next().unwrap_or_default().trim();
        if before.is_empty() || before.starts_with("pub") {
            let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
            leaves(&tree, &[], &mut |path| found.push((before.starts_with("pub"), path)));
        }
    }
    found.into_iter()
}

/// Calls `on` with each path of a tree such as `a::{b, c::{self, d as e}}`.
fn leaves(tree: &str, before: &[String], on: &mut impl FnMut(Vec<String>)) {
    let (path, group) =
        tree.split_once('{').map_or((tree, None), |(path, rest)| (path, rest.rsplit_once('}')));
    let steps = path.split("::").map(|step| step.split(" as ").next().unwrap_or_default().trim());
    let mut path = before.to_vec();
    path.extend(steps.filter(|step| !step.is_empty()).map(str::to_owned));
    let Some((group, _)) = group else {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        return on(path);
    };
    let (mut depth, mut start) = (0_u32, 0);
    for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = group[start..at].trim();
                if !part.is_empty() {
                    leaves(part, &path, on);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The paths that code names in full, from the root of the crate or from the module above.
fn named(code: &str) -> impl Iterator<Item = (bool, Vec<String>)> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let words = code.split(move |letter| !is_word(letter));
    let is_path = |word: &&str| word.starts_with("crate::") || word.starts_with("super::");
    // What ends in a group is a `use` declaration.
    let paths = words.filter(is_path).filter(|word| !word.ends_with("::"));
    let steps = |word: &str| word.split("::").filter(|step| !step.is_empty()).map(str::to_owned).collect();
    paths.map(move |word| (false, steps(word))).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Modules with their text, and those of them that stand in circles.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let module =
            |path: &str| path.split("::").filter(|step| !step.is_empty()).map(str::to_owned).collect();
        let modules = files.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect();
        in_circles(&modules).into_iter().map(|module| module.join("::")).collect()
    }

    #[test]
    fn who_imports_himself_by_way_of_others_stands_in_a_circle() {
        let table: [Row<'_>; 7] = [
            (&[("a", "use crate::b::B;"), ("b", "use crate::a::A;"), ("c", "use crate::a::A;")], &["a", "b"]),
            (&[("a", "use crate::b::B;"), ("b", ""), ("c", "use crate::a::A;")], &[]),
            (
                &[
                    ("a", "use crate::{\n    b::{B, C},\n    c,\n};"),
                    ("b", ""),
                    ("c", "fn f() { crate::a::g(); }"),
                ],
                &["a", "c"],
            ),
            (
                &[
                    ("a", "use crate::b::B;"),
                    ("b", "// use crate::a::A;\n#[cfg(test)]\nmod tests { use crate::a::A; }"),
                ],
                &[],
            ),
            (
                &[("a", "mod b;\npub use b::B;"), ("a::b", "use crate::c::C;"), ("c", "use crate::a::B;")],
                &["a::b", "c"],
            ),
            (&[("a", "mod b;\nuse self::b::B;"), ("a::b", "use super::A;")], &["a", "a::b"]),
            (&[("", "mod a;\nuse a::A;"), ("a", "use crate::Root;"), ("b", "use std::fmt;")], &[]),
        ];
        for (files, expected) in table {
            assert_eq!(circles(files), expected, "{files:?}");
        }
    }

    #[test]
    fn a_file_is_a_module_of_its_crate() {
        let module = |file: &str| place(Path::new(file)).map(|(name, module)| (name, module.join("::")));
        let of = |name: &str, module: &str| Some((name.to_owned(), module.to_owned()));
        assert_eq!(module("crates/core/src/api/mod.rs"), of("crates/core", "api"));
        assert_eq!(module("crates/core/src/lib.rs"), of("crates/core", ""));
        assert_eq!(module("crates/core/src/a/b.rs"), of("crates/core", "a::b"));
        for other in [
            "crates/core/src/a/tests.rs",
            "crates/core/tests/a.rs",
            "xtask/src/main.rs",
            "crates/x/src/bin/a.rs",
        ] {
            assert_eq!(module(other), None, "{other}");
        }
    }
}
