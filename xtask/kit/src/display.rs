//! Display of work under way: a spinner on a terminal, plain lines with seconds elsewhere.

use std::{
    fmt,
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::builder::FalseyValueParser;
use indicatif::{ProgressBar, ProgressStyle};
use portolan_testkit::Progress;

use crate::output;

/// Interval of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// Arguments of a verb that takes a while.
#[derive(clap::Args)]
pub struct DisplayArgs {
    /// Plain lines, as without a terminal
    #[arg(long = "plain", env = "CI", value_parser = FalseyValueParser::new())]
    plain: bool,
}

/// The display of steps that are under way. It goes to standard error: results have standard output.
pub struct Display {
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Display {
    /// A display as these arguments ask for.
    pub fn new(args: &DisplayArgs) -> Self {
        let spinner = (!args.plain && stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { started: Instant::now(), spinner }
    }

    /// Does a piece of work and says how long it took.
    pub async fn run<T>(&self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        self.begin(name);
        let outcome = work.await;
        let mark = if outcome.is_ok() { "ok  " } else { "FAIL" };
        self.line(format_args!("{mark}  {name:<58} {:>6.2} s", started.elapsed().as_secs_f64()));
        outcome
    }

    /// A line that stays.
    pub fn line(&self, text: impl fmt::Display) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| output::problem(&text)),
            None => {
                output::problem(format_args!("[{:>6.1}s] {text}", self.started.elapsed().as_secs_f64()));
            }
        }
    }

    /// Shows the detail of a piece of work: only for whoever looks at a terminal.
    pub fn detail(&self, text: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(text.to_owned());
        }
    }

    fn begin(&self, name: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.reset_elapsed();
            spinner.set_message(name.to_owned());
            spinner.enable_steady_tick(TICK);
        }
    }

    /// Ends the spinner: what follows is printed to a quiet terminal.
    pub fn finish(&self) {
        self.spinner.iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Progress for Display {
    fn step(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(text.to_owned()),
            None => self.line(text),
        }
    }
}
