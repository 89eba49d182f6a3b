//! Lines by which long-running steps tell a person that they are still at work.

use std::time::Instant;

/// Receives one line for every step; a terminal front end may draw it instead.
pub trait Progress: Send + Sync {
    /// Says what is going on now.
    fn step(&self, text: &str);
}

/// One line per step on stderr, each with the seconds since the start: for logs and CI.
#[derive(Debug)]
pub struct PlainLines {
    started: Instant,
}

impl PlainLines {
    /// Starts the clock.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for PlainLines {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for PlainLines {
    #[expect(clippy::print_stderr, reason = "showing progress to the person at the terminal is its only job")]
    fn step(&self, text: &str) {
        eprintln!("[{:>6.1}s] {text}", self.started.elapsed().as_secs_f64());
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _text: &str) {}
}
