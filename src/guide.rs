//! The guide: how a node behaves and why it was built so.
//!
//! - [`figures`]: what was measured, with the commands that measure it again.
//! - [`consensus`]: what the nodes agree on, what they do when they cannot, how to mend them.
//! - [`operating`]: a cluster from its first node to its last backup; what to watch.
//! - [`failures`]: what goes wrong, and what the caller and the operator see.
//! - [`dialects`]: which client speaks to which provider, and what is lost between them.
//! - [`upstream_failures`]: what each way of failing leads to, and how streams survive their upstream.
//! - [`reuse`]: when an answer is reused, and how to measure it on your own questions.
//! - [`cache_safety`]: who shares an answer with whom, what is never kept, what is on disk.
//! - [`sharing`]: how the nodes' caches are one cache: look-ups, copies, moves, purges.
//! - [`placement`]: which nodes keep an entry, and which are asked for one.
//! - [`learning`]: how the cache finds its own mistakes, and how an operator takes an answer back.
//! - [`tracing`]: one tree of spans per request over all nodes, sampling, and a collector to look at it.
//! - [`plugins`]: models of your own, in a process of their own.
//! - [`prices`]: what an answer costs, what models can do, and how to say otherwise.
//! - [`containers`]: a testnet of containers: what is made, how to follow a request, how to break it, how sizes compare.
//! - [`decisions`]: choices that could have gone another way.

#[doc = include_str!("guide/figures.md")]
pub mod figures {}

#[doc = include_str!("guide/consensus.md")]
pub mod consensus {}

#[doc = include_str!("guide/operating.md")]
pub mod operating {}

#[doc = include_str!("guide/failures.md")]
pub mod failures {}

#[doc = include_str!("guide/dialects.md")]
pub mod dialects {}

#[doc = include_str!("guide/upstream-failures.md")]
pub mod upstream_failures {}

#[doc = include_str!("guide/reuse.md")]
pub mod reuse {}

#[doc = include_str!("guide/cache-safety.md")]
pub mod cache_safety {}

#[doc = include_str!("guide/sharing.md")]
pub mod sharing {}

#[doc = include_str!("guide/placement.md")]
pub mod placement {}

#[doc = include_str!("guide/learning.md")]
pub mod learning {}

#[doc = include_str!("guide/tracing.md")]
pub mod tracing {}

#[doc = include_str!("guide/plugins.md")]
pub mod plugins {}

#[doc = include_str!("guide/prices.md")]
pub mod prices {}

#[doc = include_str!("guide/containers.md")]
pub mod containers {}

/// Choices that could have gone another way, and what would change our mind.
pub mod decisions {
    #[doc = include_str!("guide/decisions/0001-the-config-file-is-looked-at.md")]
    pub mod d0001_the_config_file_is_looked_at {}

    #[doc = include_str!("guide/decisions/0002-how-long-anybody-waits-in-a-queue.md")]
    pub mod d0002_how_long_anybody_waits_in_a_queue {}

    #[doc = include_str!("guide/decisions/0003-good-answers-send-no-message.md")]
    pub mod d0003_good_answers_send_no_message {}

    #[doc = include_str!("guide/decisions/0004-no-rule-matches.md")]
    pub mod d0004_no_rule_matches {}

    #[doc = include_str!("guide/decisions/0005-what-is-in-the-log.md")]
    pub mod d0005_what_is_in_the_log {}

    #[doc = include_str!("guide/decisions/0006-the-file-and-what-is-agreed.md")]
    pub mod d0006_the_file_and_what_is_agreed {}

    #[doc = include_str!("guide/decisions/0007-shares-of-a-limit.md")]
    pub mod d0007_shares_of_a_limit {}

    #[doc = include_str!("guide/decisions/0008-sealed-literals.md")]
    pub mod d0008_sealed_literals {}

    #[doc = include_str!("guide/decisions/0009-a-node-in-doubt-ends.md")]
    pub mod d0009_a_node_in_doubt_ends {}

    #[doc = include_str!("guide/decisions/0010-what-the-breaker-leaves-out.md")]
    pub mod d0010_what_the_breaker_leaves_out {}

    #[doc = include_str!("guide/decisions/0011-sketches-before-graphs.md")]
    pub mod d0011_sketches_before_graphs {}

    #[doc = include_str!("guide/decisions/0012-owners-send-candidates.md")]
    pub mod d0012_owners_send_candidates {}

    #[doc = include_str!("guide/decisions/0013-openais-shape-inside-events-between.md")]
    pub mod d0013_openais_shape_inside_events_between {}

    #[doc = include_str!("guide/decisions/0014-native-streams-are-not-carried-on.md")]
    pub mod d0014_native_streams_are_not_carried_on {}

    #[doc = include_str!("guide/decisions/0015-patience-where-others-stand-in.md")]
    pub mod d0015_patience_where_others_stand_in {}
}
