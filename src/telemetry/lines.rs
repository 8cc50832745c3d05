//! Log lines on their way to standard error, written in batches.
//!
//! A request must not pay for a system call per line, and must not wait for whoever reads the log.
//! Lines are gathered and written by a thread of their own every few milliseconds. When the reader
//! falls behind by [`MAX_PENDING`] bytes, writers wait for it: a log with silent gaps is worse.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes that may wait before writers do.
const MAX_PENDING: usize = 1 << 20;
/// How long a flush waits for the thread.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Pending {
    text: Vec<u8>,
    /// A batch has been taken and is not out yet.
    writing: bool,
}

/// The way to standard error. Cheap to clone; all clones are the same way.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    shared: Arc<Shared>,
    threaded: bool,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// Wakes the thread when lines came after a quiet time.
    arrived: Condvar,
    /// Wakes writers and flushers when everything pending has been taken.
    taken: Condvar,
}

impl Lines {
    /// Starts the thread. Should that fail, lines are written as they come.
    pub(super) fn start() -> Self {
        let mut lines = Lines::default();
        let shared = Arc::clone(&lines.shared);
        let thread = std::thread::Builder::new().name("log".to_owned());
        lines.threaded = thread.spawn(move || shared.run()).is_ok();
        lines
    }

    /// Waits, at most a second, until everything written so far is out.
    pub(super) fn flush(&self) {
        let mut pending = self.shared.pending.lock();
        let mut left = 50;
        while left > 0 && (pending.writing || !pending.text.is_empty()) {
            self.shared.arrived.notify_one();
            self.shared.taken.wait_for(&mut pending, FLUSH / 50);
            left -= 1;
        }
    }
}

impl Shared {
    /// Ends with the process.
    fn run(&self) {
        let mut batch = Vec::new();
        loop {
            {
                let mut pending = self.pending.lock();
                while pending.text.is_empty() {
                    self.arrived.wait(&mut pending);
                }
                // let a batch gather; a flush cuts this short
                self.arrived.wait_for(&mut pending, PAUSE);
                std::mem::swap(&mut batch, &mut pending.text);
                pending.writing = true;
            }
            // a closed standard error leaves nobody to tell
            let _ = io::stderr().lock().write_all(&batch);
            batch.clear();
            self.pending.lock().writing = false;
            self.taken.notify_all();
        }
    }
}

/// One line being written.
#[derive(Debug)]
pub(super) struct Line<'a> {
    lines: &'a Lines,
}

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if !self.lines.threaded {
            return io::stderr().write(text);
        }
        let shared = &self.lines.shared;
        let mut pending = shared.pending.lock();
        while pending.text.len() > MAX_PENDING {
            shared.taken.wait_for(&mut pending, PAUSE);
        }
        let quiet = pending.text.is_empty();
        pending.text.extend_from_slice(text);
        if quiet {
            shared.arrived.notify_one();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;
    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self }
    }
}
