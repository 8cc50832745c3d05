//! What clients did to the agreed config and what they were told, and whether both fit one story.
//!
//! ```
//! # use std::time::Duration;
//! # use llm_router_testnet::check::history::{Answer, Call, Recorder};
//! let recorder = Recorder::default();
//! let at = Duration::from_millis;
//! let set = recorder.call(1, Call::Set { expected: Some(0), value: 77 }, at(10));
//! recorder.answer(set, Answer::Set { revision: 1 }, at(15));
//! let read = recorder.call(2, Call::Read, at(20));
//! recorder.answer(read, Answer::Read { revision: 1, value: 77 }, at(21));
//! assert_eq!(recorder.history().linearizable(), Ok(()));
//! ```

mod fate;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::linear::{self, Model, Verdict};

/// Steps after which a search is given up: a minute or so. A healthy history takes a few per
/// operation.
const MOST_STEPS: u64 = 500_000_000;

/// What a client asked for. Values are serial numbers, each written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Sets the config to a value no other call sets.
    Set {
        /// The revision it is made from; `None` overwrites.
        expected: Option<u64>,
        /// The serial number.
        value: u64,
    },
    /// A linearizable read.
    Read,
    /// A read of what one run of one node holds.
    ReadLocal {
        /// The node and which run of it: `n1/3`.
        run: String,
    },
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was set.
    Set {
        /// The revision now.
        revision: u64,
    },
    /// It was not, for another revision is in force.
    Stale {
        /// That one.
        current: u64,
    },
    /// What was read; both 0 where nothing was set yet.
    Read {
        /// The revision.
        revision: u64,
        /// The serial number.
        value: u64,
    },
    /// It was refused before anything could happen.
    Refused,
    /// Nothing is known: it may have happened, may yet, or never.
    Unknown,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Who called; one call at a time.
    pub client: u64,
    /// What.
    pub call: Call,
    /// When it was called.
    pub called: Duration,
    /// When its answer came.
    pub returned: Option<Duration>,
    /// The answer.
    pub answer: Answer,
}

/// Takes calls and answers down as they come. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    operations: Arc<Mutex<Vec<Operation>>>,
}

/// A call whose answer is to come.
#[derive(Debug)]
#[must_use = "a call without an answer counts as unknown"]
pub struct Ticket(usize);

impl Recorder {
    /// A call is made now.
    pub fn call(&self, client: u64, call: Call, now: Duration) -> Ticket {
        self.with(|operations| {
            operations.push(Operation {
                client,
                call,
                called: now,
                returned: None,
                answer: Answer::Unknown,
            });
            Ticket(operations.len() - 1)
        })
    }

    /// Its answer came now.
    pub fn answer(&self, ticket: Ticket, answer: Answer, now: Duration) {
        self.with(|operations| {
            let operation = &mut operations[ticket.0];
            // Without an answer the call stays open for ever: it may take effect at any time.
            operation.returned = (answer != Answer::Unknown).then_some(now);
            operation.answer = answer;
        });
    }

    /// Everything so far.
    pub fn history(&self) -> History {
        History {
            operations: self.with(|operations| operations.clone()),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Operation>) -> T) -> T {
        act(&mut self
            .operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

/// What happened, as the clients saw it.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In the order of the calls.
    pub operations: Vec<Operation>,
}

/// The config as a register with a revision, changed by compare-and-set.
#[derive(Clone, Copy, Debug)]
pub struct Register;

/// What the register holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Held {
    /// The revision.
    pub revision: u64,
    /// The serial number; 0 before the first.
    pub value: u64,
}

impl Model for Register {
    type State = Held;
    type Operation = (Call, Answer);

    fn initial(&self) -> Held {
        Held::default()
    }

    fn step(&self, held: &Held, (call, answer): &(Call, Answer)) -> Option<Held> {
        match call {
            Call::Set { expected, value } => set(held, *expected, *value, answer),
            Call::Read | Call::ReadLocal { .. } => match *answer {
                Answer::Read { revision, value } => {
                    (*held == Held { revision, value }).then_some(*held)
                }
                Answer::Unknown => Some(*held),
                Answer::Set { .. } | Answer::Stale { .. } | Answer::Refused => None,
            },
        }
    }
}

fn set(held: &Held, expected: Option<u64>, value: u64, answer: &Answer) -> Option<Held> {
    let fits = expected.is_none_or(|expected| expected == held.revision);
    let after = Held {
        revision: held.revision + 1,
        value,
    };
    match *answer {
        Answer::Set { revision } => (fits && revision == after.revision).then_some(after),
        Answer::Stale { current } => (!fits && current == held.revision).then_some(*held),
        Answer::Unknown => Some(if fits { after } else { *held }),
        Answer::Refused => Some(*held),
        Answer::Read { .. } => None,
    }
}

impl History {
    /// Sets and linearizable reads happened one at a time, each between its call and its answer.
    ///
    /// # Errors
    /// Where the search stuck, or that it was given up.
    pub fn linearizable(&self) -> Result<(), String> {
        let spans = fate::spans(&self.operations);
        match linear::check(&Register, &spans, MOST_STEPS) {
            Verdict::Linearizable => Ok(()),
            Verdict::Violated(where_) => Err(where_),
            Verdict::GaveUp => Err(format!("given up after {MOST_STEPS} steps")),
        }
    }

    /// What a run of a node showed never went back, and no revision ever held two values.
    ///
    /// # Errors
    /// The two reads that do not fit.
    pub fn monotonic(&self) -> Result<(), String> {
        let mut shown: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        let mut values = BTreeMap::new();
        for operation in &self.operations {
            let Answer::Read { revision, value } = operation.answer else {
                continue;
            };
            let known = *values.entry(revision).or_insert(value);
            if known != value {
                return Err(format!("revision {revision} held {known} and {value}"));
            }
            if let Call::ReadLocal { run } = &operation.call {
                shown.entry(run).or_default().push(operation);
            }
        }
        shown.values_mut().try_for_each(|reads| never_back(reads))
    }
}

/// A read that was called after another one returned shows no less.
fn never_back(reads: &mut [&Operation]) -> Result<(), String> {
    reads.sort_by_key(|read| read.returned);
    let mut calls: Vec<&Operation> = reads.to_vec();
    calls.sort_by_key(|read| read.called);
    let mut returned = reads.iter().peekable();
    let mut best: Option<&Operation> = None;
    for call in calls {
        while let Some(read) = returned.next_if(|read| read.returned < Some(call.called)) {
            if best.is_none_or(|best| revision(best) < revision(read)) {
                best = Some(read);
            }
        }
        if let Some(best) = best.filter(|best| revision(best) > revision(call)) {
            return Err(format!("{call:?} came after {best:?}"));
        }
    }
    Ok(())
}

fn revision(operation: &Operation) -> u64 {
    match operation.answer {
        Answer::Read { revision, .. } | Answer::Set { revision } => revision,
        Answer::Stale { .. } | Answer::Refused | Answer::Unknown => 0,
    }
}

#[cfg(test)]
mod tests;
