//! The doors: HTTP and gRPC, one use case behind both.

mod credential;
mod details;
pub mod grpc;
pub mod http;
pub mod options;
pub mod status;
