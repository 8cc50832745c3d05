//! What the tool says: its report on stdout, everything else on stderr.

use std::io::{self, Write as _};

/// Whoever read the report reads no more: `… | head` has seen enough.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the report any more")]
pub struct ReaderLeft;

/// Writes one piece of a report to stdout.
///
/// # Errors
/// [`ReaderLeft`] once nobody reads it; otherwise when stdout cannot be written.
pub fn tell(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            ReaderLeft.into()
        } else {
            error.into()
        }
    })
}

/// Says one line aloud, where a captured test would hide it: what was skipped, and why.
pub fn say(line: &str) {
    // Nobody is left to tell that stderr is gone.
    let _ = writeln!(io::stderr(), "{line}");
}
