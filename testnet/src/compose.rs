//! The cluster as its users meet it: containers with addresses of their own, made by Docker Compose.
//!
//! ```text
//!            127.0.0.1:18081      127.0.0.1:18082      127.0.0.1:18083      published on loopback
//!                  │                    │                    │
//!   ┌──────────────┼────────── outside ─┼────────────────────┼─────────────┐
//!   │  fast  slow  flaky  collector    n1        n2          n3            │
//!   └──────────────────────────────────┬┬────────┬┬──────────┬┬────────────┘
//!                                      │└ link12 ┘└─ link23 ─┘│   node to node, mTLS
//!                                      └────────  link13  ────┘
//! ```
//!
//! Every pair of nodes has a network of its own, so that one link can be cut and the others stay. What
//! is made (the compose file, the nodes' files, certificates) lies in one folder in the user's cache
//! directory, and goes with [`down`](verbs::Verb::Down).

pub mod chaos;
mod disk;
pub mod doctor;
pub mod engine;
mod figures;
mod file;
mod image;
mod launch;
pub mod plan;
mod pressure;
mod scale;
mod settings;
mod snippets;
mod status;
pub mod verbs;

pub use engine::Engine;
pub use plan::Plan;
