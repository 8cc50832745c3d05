//! What is provable about llm-router from outside: the real binary, scripted upstreams, faults.
//!
//! ```no_run
//! # async fn story() -> anyhow::Result<()> {
//! use llm_router_testnet::{Node, Upstream, chat};
//!
//! let upstream = Upstream::start().await?;
//! let node = Node::start(&upstream.config("gpt", "")).await?;
//! let answer = node.http().chat(&chat("gpt", "hello")).await?;
//! assert_eq!(answer.status, 200);
//! # Ok(())
//! # }
//! ```

pub mod check;
pub mod client;
pub mod eventually;
pub mod node;
pub mod raw;
pub mod sse;
pub mod upstream;

pub use client::{Client, Reply, chat};
pub use eventually::eventually;
pub use node::{Node, Setup};
pub use upstream::Upstream;
