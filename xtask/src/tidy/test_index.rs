//! Finds a test by its full name in the sources, without compiling anything.
//!
//! A full name is `<test target>::<path>` or `<package>::<path>`, such as `konnector::bundle::binds_every_export`
//! (in `tests/konnector/`) or `portolan-core::condition::tests::ready_is_first`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use cargo_metadata::Metadata;

use crate::workspace;

/// Result of the search for a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Runs,
    /// It is there, but the harness leaves it out.
    Ignored,
    Absent,
}

/// Root files of test targets and packages, by the first part of a test's full name.
pub(super) struct TestIndex(BTreeMap<String, Vec<PathBuf>>);

impl TestIndex {
    pub(super) fn new(graph: &Metadata) -> Self {
        let packages = graph.workspace_packages();
        let mut roots = BTreeMap::<String, Vec<PathBuf>>::new();
        for package in &packages {
            let own = package.targets.iter().filter(|target| target.is_lib() || target.is_bin());
            roots
                .entry(package.name.to_string())
                .or_default()
                .extend(own.map(|target| target.src_path.clone().into()));
        }
        for (name, file) in workspace::test_targets(packages) {
            roots.entry(name.to_owned()).or_default().push(file.to_path_buf());
        }
        Self(roots)
    }

    pub(super) fn find(&self, full_name: &str) -> Found {
        let mut parts: Vec<_> = full_name.split("::").collect();
        let function = parts.pop().unwrap_or_default();
        let Some((target, modules)) = parts.split_first() else { return Found::Absent };
        let roots = self.0.get(*target).into_iter().flatten();
        let found =
            roots.filter_map(|root| module_text(root, modules)).map(|text| find_test(&text, function));
        found.into_iter().find(|found| *found != Found::Absent).unwrap_or(Found::Absent)
    }
}

/// Text of the file that has the module: a file of its own, or that of the module around it.
fn module_text(root: &Path, modules: &[&str]) -> Option<String> {
    let mut text = fs::read_to_string(root).ok()?;
    let mut folder = root.parent()?.to_path_buf();
    for module in modules {
        folder.push(module);
        let files = [folder.with_extension("rs"), folder.join("mod.rs")];
        match files.iter().find_map(|file| fs::read_to_string(file).ok()) {
            Some(own) => text = own,
            None if text.contains(&format!("mod {module} {{")) => {}
            None => return None,
        }
    }
    Some(text)
}

/// Looks for a function with a test attribute.
fn find_test(text: &str, function: &str) -> Found {
    let mut attributes = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
        } else if !line.starts_with("//") && !line.is_empty() {
            if defines(line, function) && attributes.iter().any(|attribute| is_test(attribute)) {
                let ignored =
                    attributes.iter().any(|attribute| attribute.starts_with(concat!("#[", "ignore")));
                return if ignored { Found::Ignored } else { Found::Runs };
            }
            attributes.clear();
        }
    }
    Found::Absent
}

fn defines(line: &str, function: &str) -> bool {
    let Some((before, after)) = line.split_once("fn ") else { return false };
    let only_qualifiers = before.split_whitespace().all(|word| word == "async" || word.starts_with("pub"));
    only_qualifiers && after.split(['(', '<']).next() == Some(function)
}

/// `#[test]`, `#[tokio::test]`, `#[tokio::test(flavor = "..")]`
fn is_test(attribute: &str) -> bool {
    let path = attribute.trim_start_matches("#[").split(['(', ']']).next().unwrap_or_default();
    path.rsplit("::").next() == Some("test")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        fn helper() {}

        #[test]
        fn plain() {}

        #[tokio::test(flavor = \"multi_thread\")]
        /// Says why.
        async fn awaited() -> Result<()> {}

        #[test]
        #[should_panic]
        fn twice_marked() {}

        #[test]
        #@[ignore = \"slow\"]
        fn left_out() {}

        #[expect(dead_code, reason = \"a test_like name\")]
        fn marked_otherwise() {}

        // #[test] fn commented() {}
    ";

    #[test]
    fn functions() {
        let text = TEXT.replace('@', "");
        for (name, expected) in [
            ("plain", Found::Runs),
            ("awaited", Found::Runs),
            ("twice_marked", Found::Runs),
            ("left_out", Found::Ignored),
            ("helper", Found::Absent),
            ("marked_otherwise", Found::Absent),
            ("commented", Found::Absent),
            ("plai", Found::Absent),
        ] {
            assert_eq!(find_test(&text, name), expected, "{name}");
        }
    }

    #[test]
    fn full_names() {
        let source = PathBuf::from("src/main.rs");
        let index = TestIndex(BTreeMap::from([("xtask".to_owned(), vec![source])]));
        for (name, expected) in [
            ("xtask::tidy::test_index::tests::full_names", Found::Runs),
            ("xtask::tidy::licence::tests::expressions", Found::Runs),
            // Right function, wrong module.
            ("xtask::tidy::tests::full_names", Found::Absent),
            ("xtask::tidy::licence::tests::full_names", Found::Absent),
            ("xtask::tidy::test_index::other::full_names", Found::Absent),
            ("other::tidy::test_index::tests::full_names", Found::Absent),
            ("full_names", Found::Absent),
            ("", Found::Absent),
        ] {
            assert_eq!(index.find(name), expected, "{name}");
        }
    }
}
