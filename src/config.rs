//! The node's configuration: a node part, read once, and a routing part, live.
//!
//! One struct is parser, validator and schema. Both parts may stand in one file.

pub mod duration;
pub mod node;
pub mod routing;

pub use duration::{ByteSize, Span};
pub use node::NodeConfig;
pub use routing::RoutingConfig;
