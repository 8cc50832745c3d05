//! When a model is left alone, and who may probe it.
//!
//! [`machine::Machine`] is the whole decision, without clock or channel. In a cluster it holds what
//! the nodes agreed on too ([`overlay`]), which has the last word while a leader is heard of. Its
//! [`Snapshot`] is what others read, and answers for itself as time passes:
//!
//! ```
//! use llm_router::breaker::{Admission, Machine, Outcome, Settings, State};
//! use llm_router::types::Moment;
//!
//! let now = Moment::ZERO;
//! let mut machine = Machine::new(Settings { failure_threshold: 1, ..Settings::default() });
//! let (Admission::Pass(ticket), _) = machine.admit(now) else { panic!("a new breaker is closed") };
//! machine.record(Outcome::Hard, ticket, now, 0.0);
//! assert_eq!(machine.state(now), State::Open);
//! assert!(matches!(machine.admit(now), (Admission::Refuse(_), None)));
//! ```

mod actor;
pub mod admission;
mod goods;
mod handle;
pub mod machine;
pub mod outcome;
pub mod settings;
pub mod transition;

mod evidence;
pub mod overlay;
mod window;

pub(crate) use actor::{Arguments, BreakerActor};
pub use admission::{Admission, ProbeId, Reason, Refused, Snapshot, Ticket, Verdict};
pub(crate) use handle::{BreakerHandle, Denied};
pub(crate) use machine::GATE_SPREAD;
pub use machine::Machine;
pub use outcome::Outcome;
pub use overlay::Overlay;
pub use settings::Settings;
pub use transition::{Cause, Mode, State, Transition};
