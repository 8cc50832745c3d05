//! Composition root: builds every part of a node once, in order, and stops them in reverse.

pub mod agreed;
mod agreeing;
mod banner;
mod clustering;
mod deploy;
mod doors;
mod exposure;
pub mod file;
mod follow;
mod identity;
pub mod in_step;
mod lifeline;
mod node;
mod partition;
mod serve;

pub use agreed::{Agreed, author};
pub use node::Node;
pub use serve::{Say, ServeOptions, serve};
