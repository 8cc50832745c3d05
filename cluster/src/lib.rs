//! What the nodes of a cluster agree on, and the names they know each other by.
//!
//! This crate knows no HTTP, no OpenAI and no actors.

pub mod identity;

pub use identity::{NodeId, Revision};
