//! Cargo at work where there is no terminal: its lines, and one of our own when it has had none for a while.

use std::{
    io::{self, BufRead as _, BufReader},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::say;

/// The longest time without a line.
const SILENCE: Duration = Duration::from_secs(5);

/// A build under way.
pub struct Building {
    cargo: Child,
    lines: Receiver<String>,
    started: Instant,
    compiled: usize,
}

impl Building {
    pub fn start(mut command: Command) -> io::Result<Self> {
        let mut cargo = command.stderr(Stdio::piped()).spawn()?;
        let stderr = cargo.stderr.take().ok_or_else(|| io::Error::other("its output is piped"))?;
        Ok(Self { cargo, lines: read(stderr), started: Instant::now(), compiled: 0 })
    }

    /// Shows what it says until it ends, and whether it has worked.
    pub fn finish(mut self) -> io::Result<bool> {
        loop {
            match self.lines.recv_timeout(SILENCE) {
                Ok(line) => self.show(&line),
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.started.elapsed().as_secs();
                    say(&format!("    Building {seconds} s, {} crates begun", self.compiled));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(self.cargo.wait()?.success()),
            }
        }
    }

    fn show(&mut self, line: &str) {
        self.compiled += usize::from(line.trim_start().starts_with("Compiling "));
        if is_worth_showing(line) {
            say(line);
        }
    }
}

/// Everything but that nothing was to be done.
fn is_worth_showing(line: &str) -> bool {
    !line.trim_start().starts_with("Finished ")
}

fn read(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        // Its end is the end of the channel. Nobody listens any more when this process ends.
        BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Building {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Building::start(command).unwrap()
    }

    #[test]
    fn what_cargo_answers_is_what_counts() {
        assert!(shell("exit 0").finish().unwrap());
        assert!(!shell("echo 'error: could not compile' >&2; exit 101").finish().unwrap());
    }

    #[test]
    fn crates_are_counted_and_a_build_with_nothing_to_do_is_silent() {
        let mut building = shell("exit 0");
        building.show("   Compiling libc v0.2.180");
        building.show("    Finished `ci` profile [unoptimized + debuginfo] target(s) in 0.05s");
        assert_eq!(building.compiled, 1);
        for (line, expected) in [
            ("    Finished `ci` profile [unoptimized] target(s) in 0.05s", false),
            ("   Compiling libc v0.2.180", true),
            ("    Blocking waiting for file lock on build directory", true),
            ("error: it is Finished here", true),
            ("", true),
        ] {
            assert_eq!(is_worth_showing(line), expected, "{line:?}");
        }
    }
}
