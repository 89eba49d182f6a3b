//! Rules for Rust files that neither rustfmt nor clippy has.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::Project;
use crate::workspace;

/// Longest file, not counting the tests at its end.
const MAX_LINES: usize = 500;
/// Longest `main.rs` of a service: a binary only hands its arguments to its library.
const MAX_MAIN_LINES: usize = 25;

/// Forbidden text in a line, and the replacement. In two pieces, or this file would break its own rule.
const FORBIDDEN: [(&str, &str); 6] = [
    (concat!("#[", "allow("), "use #[expect(.., reason = \"..\")]"),
    (concat!("#![", "allow("), "use #![expect(.., reason = \"..\")]"),
    (concat!("#[", "ignore"), "a test that cannot run prints `skipped: NAME: REASON` and returns"),
    (concat!("TO", "DO"), "do it, or open an issue"),
    (concat!("FIX", "ME"), "fix it, or open an issue"),
    ("\t", "indent with spaces, write \\t in strings"),
];

/// Names every broken rule with its place.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in workspace::rust_files(&project.root)? {
        let text =
            fs::read_to_string(project.root.join(&file)).with_context(|| file.display().to_string())?;
        found.extend(faults(&file, &text));
    }
    Ok(found)
}

fn faults(file: &Path, text: &str) -> Vec<String> {
    let name = file.display();
    let mut found: Vec<_> =
        text.lines().enumerate().flat_map(|(number, line)| line_faults(&name, number + 1, line)).collect();
    if !text.starts_with("//!") {
        found.push(format!("{name}:1: begin with a `//!` line that says what the file is for"));
    }
    if !text.ends_with('\n') {
        found.push(format!("{name}: end with a line break"));
    }
    let lines = code_lines(file, text);
    if lines > MAX_LINES {
        found.push(format!("{name}: {lines} lines; split it below {MAX_LINES}"));
    }
    if is_service_main(file) && text.lines().count() > MAX_MAIN_LINES {
        found.push(format!("{name}: move code to the library until {MAX_MAIN_LINES} lines are left"));
    }
    found
}

fn line_faults(name: &impl std::fmt::Display, number: usize, line: &str) -> Vec<String> {
    let forbidden = FORBIDDEN.iter().filter(|(text, _)| line.contains(text));
    let mut found: Vec<_> =
        forbidden.map(|(text, cure)| format!("{name}:{number}: {text:?}: {cure}")).collect();
    if line.ends_with(char::is_whitespace) {
        found.push(format!("{name}:{number}: remove the white space at the end"));
    }
    found
}

/// Lines that are not tests: none of a test file, otherwise those before the test module.
fn code_lines(file: &Path, text: &str) -> usize {
    let is_test = file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests");
    if is_test { 0 } else { text.lines().take_while(|line| *line != "#[cfg(test)]").count() }
}

/// `crates/*/src/main.rs`
fn is_service_main(file: &Path) -> bool {
    let parts: Vec<_> = file.iter().filter_map(|part| part.to_str()).collect();
    matches!(parts[..], ["crates", _, "src", "main.rs"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let long = |lines: usize| format!("//! x\n{}", "a\n".repeat(lines - 1));
        let cases = [
            ("crates/a/src/lib.rs", "//! x\nfn a() {}\n".to_owned(), 0),
            ("crates/a/src/lib.rs", "fn a() {}\n".to_owned(), 1),
            ("crates/a/src/lib.rs", "//! x".to_owned(), 1),
            ("crates/a/src/lib.rs", "//! x \n".to_owned(), 1),
            ("crates/a/src/lib.rs", "//! x\n\tfn a() {}\n".to_owned(), 1),
            ("crates/a/src/lib.rs", format!("//! x\n{}dead_code)]\n", FORBIDDEN[0].0), 1),
            ("crates/a/src/lib.rs", format!("//! x\n{} = \"slow\"]\n", FORBIDDEN[2].0), 1),
            ("crates/a/src/lib.rs", format!("//! x\n// {}: later\n", FORBIDDEN[3].0), 1),
            ("crates/a/src/lib.rs", long(MAX_LINES), 0),
            ("crates/a/src/lib.rs", long(MAX_LINES + 1), 1),
            ("crates/a/src/lib.rs", format!("{}#[cfg(test)]\n{}", long(MAX_LINES), long(9)), 0),
            ("crates/a/src/a/tests.rs", long(MAX_LINES + 1), 0),
            ("tests/konnector/main.rs", long(MAX_LINES + 1), 0),
            ("crates/a/src/main.rs", long(MAX_MAIN_LINES), 0),
            ("crates/a/src/main.rs", long(MAX_MAIN_LINES + 1), 1),
            ("xtask/src/main.rs", long(MAX_MAIN_LINES + 1), 0),
        ];
        for (file, text, expected) in cases {
            let found = faults(Path::new(file), &text);
            assert_eq!(found.len(), expected, "{file}: {found:?}");
        }
    }
}
