//! The use case every door shares: plan → cache lookup → admit → attempt → cache insert → account.
//!
//! ```text
//! engine      the public handle: chat, explain, models, stats, apply
//! story       one request from beginning to end
//! candidates  walks the plan: tries, repeats, fails over
//! errand      what the walk asks of a model: an answer, or vectors
//! embedding   a request for vectors from beginning to end
//! hedge       a second attempt beside one that dawdles
//! outcome     reads what failed as one error
//! retry       backoff and budget
//! delivery    a stream on its way out: usage stripped, answer kept for the cache, end accounted
//! recovery    a stream whose upstream dies is carried on by another attempt
//! leading     a request that leads a flight: a task of its own reads the upstream for all of it
//! reading     one client's side of a flight
//! account     one record per request, written exactly once however it ends
//! shadow      checks a share of the semantic hits once their callers were answered
//! mirror      asks another model what callers ask, for the figures alone
//! counting    how many tokens a request has
//! opinion     a model asked whether two answers tell the same
//! state       one revision of the routing config, live
//! ```

mod account;
mod candidates;
mod counting;
mod delivery;
mod embedding;
mod engine;
mod errand;
mod hedge;
mod leading;
mod mirror;
mod opinion;
mod outcome;
mod reading;
mod recovery;
pub mod reply;
mod retry;
mod shadow;
mod state;
mod story;
#[cfg(test)]
mod testing;

pub use counting::Counted;
pub use embedding::EmbedReply;
pub use engine::{BreakerMode, Engine, Named, Parts, Source};
pub(crate) use reply::ESTIMATED;
pub use reply::{CacheStatus, Reply, ReplyBody, ReplyMeta, ReplyStream, StreamEnd};
pub(crate) use state::Deployment;
