//! The actor tree and its restart budget.
//!
//! ```text
//! NodeSupervisor                 gives up when a child keeps failing: the node drains, exit 70
//! ├─ Bridge                      tells each breaker what is agreed; in a cluster only
//! ├─ Pulse                       evidence and demand to the leader, shares back; in a cluster only
//! └─ ModelSupervisor             one child per model of the routing config
//!    └─ Model("gpu-fast")
//!       ├─ Queue("gpu-fast")
//!       └─ Breaker("gpu-fast")
//! ```
//!
//! One for one: a child that fails is started again alone, after a pause; its siblings notice
//! nothing. What must survive a restart (permits in use, the published state, the profile) lives
//! in the model's handle, not in the actors.

mod bridge;
mod fleet;
mod models;
mod node;
mod pulse;
pub(crate) mod restart;
#[cfg(test)]
mod testing;

pub(crate) use fleet::Fleet;
