//! What a client of the agreed configuration did and saw.
//!
//! Every configuration a writer proposes carries a serial of its own, so that a read tells which
//! write it sees.

use std::time::Duration;

/// One operation, from its call to its end. Times count from the start of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked; one client asks one thing at a time.
    pub client: usize,
    /// The node that was asked.
    pub node: usize,
    /// Which run of the node: it grows with every restart.
    pub boot: usize,
    /// When it was called.
    pub called: Duration,
    /// When its end was known.
    pub ended: Duration,
    /// What was asked.
    pub what: What,
    /// What came of it.
    pub outcome: Outcome,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Write this serial if the revision is still `expected`.
    Write {
        /// The revision it was made from.
        expected: u64,
        /// What is written.
        serial: String,
    },
    /// Read what the node has.
    ReadHere,
    /// Read so that nothing acknowledged before is missing.
    ReadLatest,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A write took effect as this revision.
    Written(u64),
    /// A read saw this revision with this serial.
    Seen(u64, String),
    /// Nothing was changed or read: it lost a race.
    Stale,
    /// Nothing was changed or read: it was refused.
    Refused(u16),
    /// Nobody knows: a write may have taken effect, now or at any time later.
    Unknown,
}

impl Operation {
    /// The write that was acknowledged: serial, expected revision, revision.
    pub fn acknowledged(&self) -> Option<(&str, u64, u64)> {
        match (&self.what, &self.outcome) {
            (What::Write { expected, serial }, Outcome::Written(revision)) => {
                Some((serial, *expected, *revision))
            }
            _ => None,
        }
    }

    /// The revision and serial this operation proves to have been in force.
    pub fn proves(&self) -> Option<(u64, &str)> {
        match (&self.what, &self.outcome) {
            (What::Write { serial, .. }, Outcome::Written(revision)) => Some((*revision, serial)),
            (_, Outcome::Seen(revision, serial)) => Some((*revision, serial)),
            _ => None,
        }
    }
}
