//! Reads what the test harness prints: results, failed tests, and skips.
//!
//! A test that cannot run here prints `skipped: NAME: REASON` and returns.

use std::{collections::BTreeSet, fmt};

use crate::stages::Counts;

/// A test that did not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    name: String,
    reason: String,
}

impl Skip {
    fn parse(line: &str) -> Option<Self> {
        let (name, reason) = line.strip_prefix("skipped: ")?.split_once(": ")?;
        Some(Self { name: name.trim().to_owned(), reason: reason.trim().to_owned() })
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}: {}", self.name, self.reason)
    }
}

/// Position in the harness's output.
#[derive(Clone, Copy, Default, PartialEq)]
enum Section {
    #[default]
    Results,
    /// Output of passing tests.
    Successes,
    /// Output of failing tests.
    Failures,
}

/// The output that has been read so far.
#[derive(Default)]
pub struct Report {
    section: Section,
    results: Counts,
    failed: Vec<String>,
    skips: Vec<Skip>,
}

impl Report {
    /// Takes in a line; `true` when a person wants to see it.
    pub fn read(&mut self, line: &str) -> bool {
        if let Some(counts) = parse_result(line) {
            self.section = Section::Results;
            self.results.passed += counts.passed;
            self.results.failed += counts.failed;
            self.results.skipped += counts.skipped;
            return true;
        }
        match line {
            "successes:" => self.section = Section::Successes,
            "failures:" => self.section = Section::Failures,
            _ => {}
        }
        if self.section == Section::Results
            && let Some(name) = line.strip_prefix("test ").and_then(|test| test.strip_suffix(" ... FAILED"))
        {
            self.failed.push(name.to_owned());
        }
        // A test that first says that it is skipped and then fails, has failed.
        let skip = if self.section == Section::Failures { None } else { Skip::parse(line) };
        let shown = self.section != Section::Successes || skip.is_some();
        self.skips.extend(skip);
        shown
    }

    /// Passed, failed and skipped tests. The harness takes a skipped test for a passed one.
    pub fn counts(&self) -> Counts {
        Counts {
            passed: self.results.passed.saturating_sub(self.skips.len()),
            failed: self.results.failed,
            skipped: self.results.skipped + self.skips.len(),
        }
    }

    /// Names of the tests that failed.
    pub fn failed_tests(&self) -> impl Iterator<Item = &str> {
        self.failed.iter().map(String::as_str)
    }

    /// Skips that `allowed` does not name.
    pub fn refused_skips(&self, allowed: &BTreeSet<String>) -> Vec<&Skip> {
        self.skips.iter().filter(|skip| !allowed.contains(&skip.name)).collect()
    }
}

/// Names in the file of allowed skips: one a line, `#` starts a comment.
pub fn parse_allowed(text: &str) -> BTreeSet<String> {
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; ...`
fn parse_result(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = Counts::default();
    for part in numbers.split("; ") {
        match part.split_once(' ') {
            Some((number, "passed")) => counts.passed = number.parse().ok()?,
            Some((number, "failed")) => counts.failed = number.parse().ok()?,
            Some((number, "ignored")) => counts.skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
running 4 tests
test a ... ok
test m::b ... FAILED
test c ... ok
test d ... ignored

successes:

---- a stdout ----
noise
test x ... FAILED

---- c stdout ----
skipped: c: no browser here; run `cargo xtask deps`

successes:
    a
    c

failures:

---- m::b stdout ----
skipped: b: not any more
a panic

failures:
    m::b

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s

running 1 test
test e ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    fn read(text: &str) -> (Report, String) {
        let mut report = Report::default();
        let shown: Vec<_> = text.lines().filter(|line| report.read(line)).collect();
        (report, shown.join("\n"))
    }

    #[test]
    fn the_results_of_all_binaries_are_added_up() {
        let (report, _) = read(OUTPUT);
        assert_eq!(report.counts(), Counts { passed: 2, failed: 1, skipped: 2 });
        assert_eq!(report.failed_tests().collect::<Vec<_>>(), ["m::b"]);
    }

    #[test]
    fn what_passing_tests_print_is_hidden_but_for_skips() {
        let (_, shown) = read(OUTPUT);
        assert!(!shown.contains("noise"), "{shown}");
        assert!(shown.contains("skipped: c: no browser here"), "{shown}");
        assert!(shown.contains("a panic"), "{shown}");
        assert!(shown.contains("test e ... ok"), "{shown}");
    }

    #[test]
    fn only_allowed_skips_are_no_failure() {
        let (report, _) = read(OUTPUT);
        let cases = [("c", 0), ("# c", 1), ("c # for a reason", 0), ("other", 1), ("", 1)];
        for (allowed, refused) in cases {
            assert_eq!(report.refused_skips(&parse_allowed(allowed)).len(), refused, "{allowed:?}");
        }
    }

    #[test]
    fn lines_that_look_alike_are_neither_results_nor_skips() {
        for line in [
            "test result: ok",
            "test result",
            "skipped: ",
            "skipped: a",
            "  skipped: a: b",
            "was skipped: a: b",
        ] {
            let (report, _) = read(line);
            assert_eq!(report.counts(), Counts::default(), "{line:?}");
        }
    }
}
