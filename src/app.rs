//! Composition root: builds every part of a node once, in order, and stops them in reverse.

pub mod agreed;
mod banner;
mod deploy;
mod identity;
mod node;
mod serve;

pub use agreed::{Agreed, author};
pub use node::Node;
pub use serve::{Say, ServeOptions, serve};
