//! One node of llm-router: everything between an application and its LLM providers.
//!
//! A request comes in through a door ([`api`]), is answered from the cache ([`cache`]) or planned
//! ([`routing`]), admitted ([`queue`]), tried ([`provider`]) under a breaker ([`breaker`]), streamed
//! back and accounted for. [`inference`] tells that story in one place; [`Router`] is the same
//! engine without any door, for applications that embed it:
//!
//! ```
//! use llm_router::{Request, Router, provider::Demo};
//!
//! # async fn example() -> Result<(), llm_router::Error> {
//! let router = Router::builder().model("local", Demo::new("echo")).build().await?;
//! let answer = router.generate(Request::prompt("hello")).await?;
//! assert_eq!(answer.content, "hello");
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! Invariants: the request path waits for nothing but the cache, its queue and its upstream;
//! [`routing`], the queue's buffer and the breaker's machine do no I/O; every queue, map, buffer and
//! wait has a bound; generated types stay under `api/grpc`.

pub mod api;
pub mod app;
pub mod breaker;
pub mod bridge;
pub mod cache;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod error;
pub mod guide;
pub mod inference;
pub mod ledger;
pub mod library;
mod mailbox;
mod model;
pub mod provider;
pub mod queue;
pub mod routing;
mod supervisor;
pub mod telemetry;
pub mod tenancy;
pub mod types;

pub use error::{Error, Kind};
pub use library::{Answer, Cache, Router};
pub use provider::{Demo, Gemini, Ollama, OpenAi};
pub use types::{CacheMode, Priority, Request};
