//! `tests/ledger.toml`: which test shows that a promise is kept, for every id in `tests/ledger-ids.toml`.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Project,
    test_index::{Found, TestIndex},
};

const LEDGER: &str = "tests/ledger.toml";
const IDS: &str = "tests/ledger-ids.toml";

/// Ids by the document they come from and the list in it.
type IdSets = BTreeMap<String, BTreeMap<String, Vec<String>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    issue: Vec<Issue>,
}

/// A piece of work and the ids that it answers for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Issue {
    name: String,
    finished: bool,
    ids: BTreeMap<String, Proof>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a test's full name, a list of them, { not_applicable = \"why\" } or { open = \"later work\" }"
)]
enum Proof {
    Test(String),
    Tests(Vec<String>),
    NotApplicable { not_applicable: String },
    Open { open: String },
}

/// Names ids without proof and proofs that are none.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let sets = load(&project.root.join(IDS)).context(IDS)?;
    let ledger = load(&project.root.join(LEDGER)).context(LEDGER)?;
    let index = TestIndex::new(&project.graph);
    Ok(faults(&sets, &ledger, &|name| index.find(name)))
}

fn load<T: DeserializeOwned>(file: &Path) -> Result<T> {
    Ok(toml::from_str(&fs::read_to_string(file)?)?)
}

fn faults(sets: &IdSets, ledger: &Ledger, find: &dyn Fn(&str) -> Found) -> Vec<String> {
    let mut found = unanswered(sets, ledger);
    for issue in &ledger.issue {
        for (id, proof) in &issue.ids {
            let wrong = proof_faults(issue, proof, find);
            found.extend(wrong.into_iter().map(|wrong| format!("{}: {id}: {wrong}", issue.name)));
        }
    }
    found
}

/// Every listed id has exactly one entry, and every entry is of a listed id.
fn unanswered(sets: &IdSets, ledger: &Ledger) -> Vec<String> {
    let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
    ledger
        .issue
        .iter()
        .flat_map(|issue| issue.ids.keys())
        .for_each(|id| *entries.entry(id).or_default() += 1);
    let mut found = Vec::new();
    for (document, lists) in sets {
        for (list, id) in lists.iter().flat_map(|(list, ids)| ids.iter().map(move |id| (list, id))) {
            match entries.remove(id.as_str()) {
                Some(1) => {}
                None => found.push(format!("{id} of {document}.{list} is missing: add it to {LEDGER}")),
                Some(_) => found.push(format!("{id} of {document}.{list} has several entries: leave one")),
            }
        }
    }
    found.extend(entries.keys().map(|id| format!("{id} is not in {IDS}, or twice: correct its name")));
    found
}

fn proof_faults(issue: &Issue, proof: &Proof, find: &dyn Fn(&str) -> Found) -> Vec<String> {
    let one = |fault: &str| vec![fault.to_owned()];
    match proof {
        Proof::Test(name) => test_fault(name, find).into_iter().collect(),
        Proof::Tests(names) if names.is_empty() => one("names no test"),
        Proof::Tests(names) => names.iter().filter_map(|name| test_fault(name, find)).collect(),
        Proof::NotApplicable { not_applicable: text } | Proof::Open { open: text }
            if text.trim().is_empty() =>
        {
            one("say why")
        }
        Proof::Open { open } if issue.finished => one(&format!("open ({open}) in an issue that is finished")),
        Proof::NotApplicable { .. } | Proof::Open { .. } => Vec::new(),
    }
}

fn test_fault(name: &str, find: &dyn Fn(&str) -> Found) -> Option<String> {
    match find(name) {
        Found::Runs => None,
        Found::Ignored => Some(format!("the test {name} is ignored: make it run")),
        Found::Absent => Some(format!("there is no test {name}: correct the name or write it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(finished: bool, entries: &str) -> Vec<String> {
        let sets = toml::from_str("[doc]\nlist = [\"A/1\", \"A/2\"]").unwrap();
        let issue = format!("[[issue]]\nname = \"x\"\nfinished = {finished}\n[issue.ids]\n{entries}");
        let find = |name: &str| match name {
            "t::runs" => Found::Runs,
            "t::ignored" => Found::Ignored,
            _ => Found::Absent,
        };
        faults(&sets, &toml::from_str(&issue).unwrap(), &find)
    }

    #[test]
    fn entries() {
        let rest = "\"A/2\" = { not_applicable = \"of no use here\" }\n";
        let cases = [
            (true, "'A/1' = 't::runs'", 0),
            (true, "'A/1' = ['t::runs', 't::runs']", 0),
            (true, "'A/1' = ['t::runs', 't::absent']", 1),
            (true, "'A/1' = []", 1),
            (true, "'A/1' = 't::ignored'", 1),
            (false, "'A/1' = 't::absent'", 1),
            (true, "'A/1' = { not_applicable = ' ' }", 1),
            (true, "'A/1' = { open = 'with the charts' }", 1),
            (false, "'A/1' = { open = 'with the charts' }", 0),
            (false, "'A/1' = { open = '' }", 1),
            (false, "", 1),
            (true, "'A/1' = 't::runs'\n'A/3' = 't::runs'", 1),
        ];
        for (finished, entry, expected) in cases {
            let found = found(finished, &format!("{rest}{entry}"));
            assert_eq!(found.len(), expected, "{entry}: {found:?}");
        }
    }

    #[test]
    fn an_id_has_one_entry_over_all_issues() {
        let again = "\n[[issue]]\nname = \"y\"\nfinished = false\n[issue.ids]\n'A/1' = 't::runs'";
        let found = found(true, &format!("'A/1' = 't::runs'\n'A/2' = 't::runs'{again}"));
        assert_eq!(found, ["A/1 of doc.list has several entries: leave one"]);
    }

    #[test]
    fn anything_else_is_refused() {
        for entry in ["1", "true", "{ opened = 'x' }"] {
            let text = format!("[[issue]]\nname = 'x'\nfinished = false\nids.a = {entry}");
            assert!(toml::from_str::<Ledger>(&text).is_err(), "{entry}");
        }
    }
}
