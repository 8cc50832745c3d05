//! One deployment at run time: its handle, its actor, its profile, and how one attempt is made.

mod actor;
mod attempt;
mod handle;
mod ping;
mod profile;
mod purse;
mod stream;
mod vectors;
mod verdict;
mod wallet;

pub(crate) use actor::{Arguments, Message as ModelMessage, ModelActor};
pub(crate) use attempt::{Attempt, AttemptError, Attempted, Refusal, Sent, Timing};
pub(crate) use handle::{ModelHandle, Prefill, Spec, VECTORS_ONLY};
pub(crate) use purse::Terms;
pub(crate) use vectors::Embedded;
