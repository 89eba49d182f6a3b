//! Stages of a long command: each is announced, timed and counted, and written to a file as it goes.
//!
//! The file lets `.ci/run` say where the time went even when it had to stop this program.

use std::{fmt, fs, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};

use crate::output;

/// Number of a stage's parts by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Counts {
    /// A stage that counts as one.
    pub fn one(passed: bool) -> Self {
        Self { passed: usize::from(passed), failed: usize::from(!passed), skipped: 0 }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

struct Row {
    name: &'static str,
    status: &'static str,
    seconds: f64,
    counts: Counts,
}

/// The stages so far.
pub struct Stages {
    rows: Vec<Row>,
    file: PathBuf,
}

impl Stages {
    /// No stage yet; what a former run wrote to `file` is gone.
    pub fn new(file: PathBuf) -> Result<Self> {
        let stages = Self { rows: Vec::new(), file };
        stages.write()?;
        Ok(stages)
    }

    /// Runs a stage to its end. `false` when a part of it failed.
    pub fn run(&mut self, name: &'static str, work: impl FnOnce() -> Result<Counts>) -> Result<bool> {
        output::line(format_args!("==> {name}"));
        self.rows.push(Row { name, status: "running", seconds: 0.0, counts: Counts::default() });
        self.write()?;
        let start = Instant::now();
        let counts = work().unwrap_or_else(|error| {
            output::problem(format_args!("error: {error:#}"));
            Counts::one(false)
        });
        let (seconds, passed) = (start.elapsed().as_secs_f64(), counts.failed == 0);
        self.rows.pop();
        self.rows.push(Row { name, status: if passed { "ok" } else { "failed" }, seconds, counts });
        output::line(format_args!("<== {name} {} in {seconds:.1} s", if passed { "ok" } else { "FAILED" }));
        self.write()?;
        Ok(passed)
    }

    /// Records a stage that cannot run.
    pub fn skip(&mut self, name: &'static str, why: &str) -> Result<()> {
        output::line(format_args!("==> {name} not run: {why}"));
        let counts = Counts { skipped: 1, ..Counts::default() };
        self.rows.push(Row { name, status: "not run", seconds: 0.0, counts });
        self.write()
    }

    /// The sum over all stages.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.rows.iter().for_each(|row| total.add(row.counts));
        total
    }

    /// Name, status, seconds, passed, failed, skipped. Rewritten whenever a stage starts, so that the time since
    /// its last change is how long the running stage has taken.
    fn write(&self) -> Result<()> {
        let row = |row: &Row| {
            let Counts { passed, failed, skipped } = row.counts;
            format!("{}\t{}\t{:.1}\t{passed}\t{failed}\t{skipped}\n", row.name, row.status, row.seconds)
        };
        let text: String = self.rows.iter().map(row).collect();
        fs::create_dir_all(self.file.parent().context("a file has a folder")?)?;
        fs::write(&self.file, text).with_context(|| self.file.display().to_string())
    }
}
