//! Log lines on their way to standard error: collected by those who log, written by one thread, so that nobody
//! waits for a system call per line. Nothing is lost: [`flush`] writes what is left before the process ends.

use std::{
    io::{self, Write},
    sync::LazyLock,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Time that the writer rests after it has written: lines that come meanwhile are written together. A thread that is
/// woken for each line costs more than the line.
const GATHER: Duration = Duration::from_millis(5);
/// When this much waits, who logs writes it: a slow reader of the log slows us down, and costs no memory.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

static LOG: LazyLock<Buffered> = LazyLock::new(Buffered::default);

/// The lines that wait, and the right to write.
#[derive(Debug, Default)]
struct Buffered {
    waiting: Mutex<Vec<u8>>,
    some: Condvar,
    /// Taken before the lines are, so that they stay in order. Holds the buffer that is not in use.
    writing: Mutex<Vec<u8>>,
}

impl Buffered {
    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        let first = waiting.is_empty();
        waiting.extend_from_slice(line);
        let many = waiting.len() > MAX_WAITING_BYTES;
        drop(waiting);
        if many {
            self.write_to(&mut io::stderr());
        } else if first {
            self.some.notify_one();
        }
    }

    fn write_to(&self, output: &mut impl Write) {
        let mut spare = self.writing.lock();
        std::mem::swap(&mut *self.waiting.lock(), &mut *spare);
        // Whoever reads the log has gone; there is nobody to tell.
        let _ = output.write_all(&spare);
        spare.clear();
    }

    fn write_forever(&self) {
        loop {
            self.some.wait_while(&mut self.waiting.lock(), |waiting| waiting.is_empty());
            self.write_to(&mut io::stderr());
            thread::sleep(GATHER);
        }
    }
}

/// Writes what waits.
pub(crate) fn flush() {
    LOG.write_to(&mut io::stderr());
}

/// The subscriber's writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ToLog;

impl ToLog {
    /// Starts the thread that writes.
    pub(super) fn start() -> io::Result<Self> {
        let writer = thread::Builder::new().name("log".to_owned());
        writer.spawn(|| LOG.write_forever())?;
        Ok(Self)
    }
}

impl MakeWriter<'_> for ToLog {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

impl Write for ToLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOG.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_once_and_in_their_order() {
        let log = Buffered::default();
        let mut out = Vec::new();
        for line in ["a\n", "b\n"] {
            log.add(line.as_bytes());
        }
        log.write_to(&mut out);
        log.add(b"c\n");
        log.write_to(&mut out);
        log.write_to(&mut out);
        assert_eq!(out, b"a\nb\nc\n");
    }
}
