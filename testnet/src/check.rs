//! Invariants, one file each. What a run has seen goes in, what is wrong with it comes out; nothing
//! here talks to a node.

pub mod breaker;
pub mod durable;
pub mod equal;
pub mod monotonic;
pub mod order;
pub mod seen;

pub use seen::{Operation, Outcome, What};

/// What one invariant says of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The promise, in words.
    pub promise: &'static str,
    /// How many observations it was held against.
    pub checked: usize,
    /// Where it was broken; the first few.
    pub violations: Vec<String>,
}

/// Violations told in full; more say no more.
const TOLD: usize = 10;

impl Verdict {
    /// A verdict; only the first few violations are kept.
    pub fn new(promise: &'static str, checked: usize, mut violations: Vec<String>) -> Self {
        let more = violations.len().saturating_sub(TOLD);
        violations.truncate(TOLD);
        if more > 0 {
            violations.push(format!("and {more} more"));
        }
        Verdict {
            promise,
            checked,
            violations,
        }
    }

    /// Nothing is wrong.
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}

#[cfg(test)]
mod tests;
