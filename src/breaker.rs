//! When a model is left alone, and who may probe it.
//!
//! [`Machine`] is the whole decision, without clock or channel. The actor around it publishes its
//! snapshot, so that while a breaker is closed asking it costs one atomic read.

mod actor;
pub mod admission;
mod handle;
pub mod machine;
pub mod outcome;
pub mod settings;
mod window;

pub(crate) use actor::{Arguments, BreakerActor};
pub use admission::{Admission, Snapshot, Ticket};
pub(crate) use handle::{BreakerHandle, Refused};
pub use machine::{Machine, Mode};
pub use outcome::Outcome;
pub use settings::Settings;
