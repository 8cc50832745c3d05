//! Makes the weights of the cache's pair verifier.

pub mod grammar;
pub mod measured;
pub mod recipe;
mod train;
