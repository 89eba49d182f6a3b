//! Reasons of conditions and Events: each is named by a test, or `tests/unnamed-reasons.toml` says why not.
//!
//! Reasons are found by their shape: a string of several words written as one (`KubeconfigSecretInvalid`), the first
//! string after `.warn(` or `.inform(`, and what the tables of the documents list under `reason`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Project;
use crate::workspace;

const LIST: &str = "tests/unnamed-reasons.toml";
/// Crates that give reasons. The gateway is not among them: it writes no status and no Event.
const SERVICES: [&str; 7] = [
    "crates/devportal/src",
    "crates/konnector/src",
    "crates/listener/src",
    "crates/portal/src",
    "crates/provider/src",
    "crates/token-exchange/src",
    "crates/token-service/src",
];
const DOCUMENTS: [&str; 7] = [
    "docs/devportal.md",
    "docs/konnector.md",
    "docs/listener.md",
    "docs/portal.md",
    "docs/provider.md",
    "docs/token-exchange.md",
    "docs/token-service.md",
];
/// Distance behind the name of a function within which its arguments are looked at.
const ARGUMENTS: usize = 200;

/// Words that need no test, each with why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unnamed {
    /// Words of that shape that are none: kinds, fields, states.
    not_reasons: BTreeMap<String, String>,
    /// Reasons that no test names.
    unnamed: BTreeMap<String, String>,
}

/// Names reasons without a test, and entries of the list that are not needed.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let list = fs::read_to_string(project.root.join(LIST)).context(LIST)?;
    let list: Unnamed = toml::from_str(&list).context(LIST)?;
    let (mut reasons, mut tested) = (BTreeSet::new(), Vec::new());
    for file in workspace::rust_files(&project.root)? {
        let text = fs::read_to_string(project.root.join(&file))?;
        let (code, tests) = halves(&file, &text);
        tested.extend(strings(tests).map(str::to_owned));
        if SERVICES.iter().any(|folder| file.starts_with(folder)) {
            reasons.extend(in_code(code));
        }
    }
    for document in DOCUMENTS {
        reasons.extend(in_document(&fs::read_to_string(project.root.join(document)).context(document)?));
    }
    Ok(faults(&reasons, &words(&tested.join("\n")), &list))
}

fn faults(reasons: &BTreeSet<String>, tested: &BTreeSet<&str>, list: &Unnamed) -> Vec<String> {
    let is_known = |reason: &str| list.not_reasons.contains_key(reason) || list.unnamed.contains_key(reason);
    let untested = reasons.iter().filter(|reason| !tested.contains(reason.as_str()) && !is_known(reason));
    let mut found: Vec<_> = untested
        .map(|reason| format!("no test names {reason}: write one, or say in {LIST} why there is none"))
        .collect();
    for (word, why) in list.unnamed.iter().chain(&list.not_reasons) {
        if why.trim().is_empty() {
            found.push(format!("{LIST}: say why {word} is in it"));
        }
        if !reasons.contains(word) {
            found.push(format!("{LIST}: nothing uses {word} any more: remove it"));
        }
    }
    let now = list.unnamed.keys().filter(|reason| tested.contains(reason.as_str()));
    found.extend(now.map(|reason| format!("{LIST}: a test names {reason} now: remove it")));
    found
}

/// Splits a file into the code and its tests.
fn halves<'a>(file: &Path, text: &'a str) -> (&'a str, &'a str) {
    let only_tests = file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests");
    match text.find("#[cfg(test)]") {
        // The tests of this file are about other reasons.
        _ if file.starts_with("xtask") => ("", ""),
        _ if only_tests => ("", text),
        Some(place) => text.split_at(place),
        None => (text, ""),
    }
}

fn in_code(code: &str) -> BTreeSet<String> {
    let several = strings(code).filter(|text| has_several_words(text));
    let told = [".warn(", ".inform("].into_iter().flat_map(|call| code.split(call).skip(1));
    let first = told.filter_map(|rest| {
        let end = rest.char_indices().nth(ARGUMENTS).map_or(rest.len(), |(place, _)| place);
        strings(&rest[..end]).next().filter(|text| is_word(text))
    });
    several.chain(first).map(str::to_owned).collect()
}

/// First cells of tables whose head is `reason`.
fn in_document(text: &str) -> BTreeSet<String> {
    let (mut found, mut listed) = (BTreeSet::new(), false);
    for line in text.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            listed &= line.starts_with("|-");
            continue;
        };
        let cell = row.split('|').next().unwrap_or_default();
        listed |= cell.trim() == "reason";
        if listed {
            found.extend(cell.split('`').filter(|word| is_word(word)).map(str::to_owned));
        }
    }
    found
}

/// The texts between quotation marks, without those of escapes: reasons have none.
fn strings(code: &str) -> impl Iterator<Item = &str> {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2))
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_word(word)).collect()
}

fn is_word(text: &str) -> bool {
    text.len() > 2
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
        && text.contains(|c: char| c.is_ascii_lowercase())
}

fn has_several_words(text: &str) -> bool {
    let pairs = text.as_bytes().windows(2);
    is_word(text)
        && pairs.into_iter().any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn reasons_are_found_in_code() {
        let code = r#"
            Verdict::error("SecretInvalid", format!("Secret {name} is {SecretInvalid}"));
            // Not "InComments".
            context.reporter.warn(&reference, "Taken", "Sync", note).await;
            reporter
                .inform(&bundle.object_ref(&()), "Bound", "Bind", &note)
                .await;
            warn(reason, "Other"); "Plain"; "with blank"; "ALLCAPS"; "snake_case"
        "#;
        assert_eq!(in_code(code), set(&["SecretInvalid", "Taken", "Bound"]));
    }

    #[test]
    fn reasons_are_found_in_tables() {
        let document = "\
| flag | meaning |
|---|---|
| `--CamelCase` | `NotThis` |

| reason | on | cure |
|---|---|---|
| `Pending` | CRD | `NotThat` |
| `Some`, `More` | CRD | wait |

| word | `NotThese` |
";
        assert_eq!(in_document(document), set(&["Pending", "Some", "More"]));
    }

    #[test]
    fn what_is_tested_is_not_what_runs() {
        let text = "code\n#[cfg(test)]\nmod tests {}";
        assert_eq!(halves(Path::new("crates/a/src/b.rs"), text).0, "code\n");
        for file in ["crates/a/src/b/tests.rs", "tests/konnector/flow.rs", "crates/a/tests/b.rs"] {
            assert_eq!(halves(Path::new(file), text), ("", text), "{file}");
        }
        assert_eq!(halves(Path::new("xtask/src/tidy.rs"), text), ("", ""));
    }

    #[test]
    fn each_reason_has_a_test_or_an_entry_and_no_entry_is_left_over() {
        let list = |text: &str| toml::from_str::<Unnamed>(text).unwrap();
        let empty = "not_reasons = {}\nunnamed = {}";
        let cases = [
            ("InformerLost", "InformerLost", empty, 0),
            ("InformerLost", "InformerLostToo", empty, 1),
            ("InformerLost", "", "not_reasons = {}\nunnamed.InformerLost = 'cannot be made to happen'", 0),
            ("InformerLost", "", "not_reasons = {}\nunnamed.InformerLost = ' '", 1),
            ("InformerLost", "InformerLost", "not_reasons = {}\nunnamed.InformerLost = 'later'", 1),
            ("ClusterRole", "ClusterRole", "not_reasons.ClusterRole = 'a kind'\nunnamed = {}", 0),
            ("", "", "not_reasons.ClusterRole = 'a kind'\nunnamed = {}", 1),
        ];
        for (reason, tested, text, expected) in cases {
            let reasons = if reason.is_empty() { BTreeSet::new() } else { set(&[reason]) };
            let found = faults(&reasons, &words(tested), &list(text));
            assert_eq!(found.len(), expected, "{reason} {tested} {text}: {found:?}");
        }
    }
}
