//! Stories about the real binary in its own process, against scripted upstreams.

mod bad_input;
mod cache;
mod chat;
mod connections;
mod disconnect;
mod failover;
mod faults;
mod flights;
mod fuzz;
mod grpc;
mod plugin;
mod priority;
mod reload;
mod tracing;
mod wires;
