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

pub mod backends;
pub mod chaos;
pub mod check;
pub mod choice;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod compose;
pub mod doors;
pub mod eventually;
pub mod faults;
pub mod fuzz;
pub mod listen;
pub mod load;
pub mod nemesis;
pub mod node;
pub mod openloop;
pub mod orders;
pub mod placement;
pub mod proxy;
pub mod raw;
pub mod relay;
pub mod report;
pub mod signal;
pub mod spans;
pub mod sse;
pub mod table;
pub mod upstream;
pub mod verifier;
pub mod wires;
pub mod witness;

pub use client::{Client, Reply, chat};
pub use cluster::Cluster;
pub use collector::Collector;
pub use eventually::eventually;
pub use node::{Node, Setup};
pub use report::say;
pub use upstream::Upstream;
pub use witness::Witness;
