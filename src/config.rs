//! The node's configuration: a node part, read once, and a routing part, live.
//!
//! One struct is parser, validator and schema. Both parts may stand in one file.
//!
//! Text becomes a [`document`] that remembers places, [`shape`] compares it with the [`schema`] of
//! [`file::File`], [`check`] looks at the rest, and [`problem`] shows everything wrong at once.
//! [`mod@load`] lays environment and flags over the file, [`detect`] fills in what nobody declared,
//! [`watch`] follows the file. [`canonical`] makes the routing part what nodes can agree on, secrets
//! covered by [`seal`]; [`difference`] tells two of them apart, [`replace`] puts one into a file.

pub mod ask;
pub mod canonical;
pub mod check;
pub mod detect;
pub mod difference;
pub mod document;
pub mod duration;
pub mod env;
pub mod file;
pub mod load;
pub mod node;
pub mod path;
pub mod presets;
pub mod problem;
pub mod replace;
pub mod routing;
pub mod schema;
pub mod seal;
pub mod secret;
pub mod shape;
pub mod snippet;
pub mod suggest;
pub mod watch;

pub use duration::{ByteSize, Span};
pub use file::{File, parse};
pub use load::{Flags, Loaded, load};
pub use node::NodeConfig;
pub use problem::{Problems, Warning};
pub use routing::RoutingConfig;
