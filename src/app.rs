//! Composition root: builds every part of a node once, in order, and stops them in reverse.

pub mod agreed;
mod agreeing;
mod author;
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
pub mod partition;
mod serve;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use agreed::Agreed;
pub use author::author;
pub use node::Node;
pub use serve::{Say, ServeOptions, serve};
