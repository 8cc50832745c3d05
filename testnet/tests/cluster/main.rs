//! Stories about several real nodes that agree, with a proxy on each link between them.
//!
//! Bounds here are generous, for a busy machine; `make bench ARGS="--only consensus"` prints the
//! figures.

mod agreement;
mod breaker;
mod cache;
mod chaos;
mod damage;
mod file;
mod keys;
mod leader;
mod limits;
mod members;
mod orders;
mod partition;
mod refusal;
mod secure;
mod tracing;
