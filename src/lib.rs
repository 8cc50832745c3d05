//! One node of llm-router: everything between an application and its LLM providers.
//!
//! A request comes in through a door ([`api`]), is answered from the cache ([`cache`]) or planned
//! ([`routing`]), admitted ([`queue`]), tried ([`provider`]) under a breaker ([`breaker`]), streamed
//! back and accounted for. [`inference`] tells that story in one place.

pub mod api;
pub mod app;
pub mod breaker;
pub mod cache;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod error;
pub mod inference;
pub mod provider;
pub mod queue;
pub mod telemetry;
pub mod types;

pub use error::{Error, Kind};
pub use types::{CacheMode, Priority, Request};
