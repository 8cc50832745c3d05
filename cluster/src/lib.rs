//! What the nodes of a cluster agree on, and how.
//!
//! [`State`] is everything agreed; [`Command`]s change it, in the order the Raft log gives them.
//! [`Handle`] is the one way in from the node: propose, read, watch, membership. [`pulse`] carries
//! what need not be agreed: evidence, demand and shares. [`placement`] says which nodes keep an entry
//! of the cache.
//!
//! This crate knows no HTTP, no OpenAI and no actors. openraft's types stay inside it.

pub mod certs;
mod clock;
pub mod command;
pub mod coordinate;
pub mod error;
pub mod handle;
pub mod identity;
mod inside;
pub mod placement;
pub mod policy;
pub mod pulse;
mod raft;
pub mod start;
pub mod state;
pub mod status;
mod store;
mod tls;
pub mod trace;
mod transport;
mod watchdog;
mod wire;

pub use command::{Command, Done, Outcome, Rejected};
pub use error::Error;
pub use handle::{Author, Consistency, Handle, Order};
pub use identity::{BootId, ClusterId, MemberId, NodeId, Revision};
pub use policy::Policy;
pub use raft::{Peer, TypeConfig};
pub use start::{Options, start};
pub use state::State;
pub use status::Status;
pub use transport::{Guest, Line, Visitor};
