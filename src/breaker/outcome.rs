//! One word on how an attempt ended.

use std::time::Duration;

use crate::provider::Class;

/// What the breaker hears of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer.
    Ok,
    /// A whole answer that took too long to begin. Nodes of a cluster count it, an embedded engine
    /// takes it as [`Outcome::Ok`].
    Slow,
    /// The upstream is broken or unreachable. The only outcome that counts as a failure.
    Hard,
    /// The upstream asks for patience.
    Gate {
        /// How long; `None` when it did not say.
        retry_after: Option<Duration>,
    },
    /// The upstream does not take our credential.
    Credential,
    /// The request was at fault.
    Caller,
    /// The client went away, so nothing is known.
    Cancelled,
}

impl Outcome {
    /// A whole answer came.
    pub const fn is_answer(self) -> bool {
        matches!(self, Outcome::Ok | Outcome::Slow)
    }
}

impl From<Class> for Outcome {
    fn from(class: Class) -> Self {
        match class {
            Class::Hard => Outcome::Hard,
            Class::Gate { retry_after } => Outcome::Gate { retry_after },
            Class::Credential => Outcome::Credential,
            Class::Caller => Outcome::Caller,
        }
    }
}
