//! What a leader decides without the log, and what it proposes to it.

pub mod judge;
mod latest;

pub use judge::Judge;
