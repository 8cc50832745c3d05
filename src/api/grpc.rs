//! The same use cases over gRPC: package `llm_router.v1`.
//!
//! A call passes `identify` (an id and the node's name), `deadline` (`grpc-timeout`, head and
//! body), then a service that converts, asks the `use_case` and converts back. Nothing is spawned
//! on the way: a client that leaves drops the handler's future, and with it the upstream's.
//!
//! Generated types stay in this folder; `convert` is where they turn into ours.

mod admin;
mod authorize;
mod connection;
mod convert;
mod deadline;
mod health;
mod identify;
mod metadata;
mod router;
mod server;
mod stats;
mod status;
mod stream;
#[cfg(test)]
mod tests;
mod trace;
mod use_case;

pub use health::Health;
pub use server::{GrpcDoor, ServeError};
