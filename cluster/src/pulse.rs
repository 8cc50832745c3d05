//! What nodes and leader tell each other all the time and nobody needs to agree on.
//!
//! Upwards a [`Report`]: the whole of a node's evidence, demand and usage as it is now, so that a
//! lost one costs nothing and a new leader knows everything after one. Downwards a [`Directive`]:
//! the node's shares and the cluster's figures. Reports are recognised by (node, boot, sequence);
//! one that is not newer than the last changes nothing.

use std::collections::BTreeMap;

use crate::identity::{BootId, MemberId};
use crate::policy::LimitId;
use crate::state::TargetId;

/// Seconds of evidence a node keeps.
pub const BUCKETS: usize = 10;
/// Most failures of a streak whose times are told.
pub const MAX_FAILURE_AGES: usize = 16;

/// A node to the leader.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Which run of the node.
    pub boot: BootId,
    /// Grows by one with every report of a run.
    pub sequence: u64,
    /// Upstreams that had calls in the last [`BUCKETS`] seconds, or probes, or a health check's word,
    /// and all the node serves whose breaker is agreed not to be closed.
    pub evidence: BTreeMap<TargetId, Evidence>,
    /// Limits the node uses or wants.
    pub demand: BTreeMap<LimitId, Demand>,
    /// Counters since the node started, for the cluster's figures: requests, tokens, cents, hits.
    pub usage: BTreeMap<String, u64>,
    /// It drains: it wants no probes, and of the limits only what it still needs.
    pub draining: bool,
    /// What is left on its disk in MiB, if that is too little for changes. Filled in with boot and
    /// sequence.
    pub full: Option<u64>,
    /// What it goes by, for a leader that did not lend it. Filled in with boot and sequence.
    pub held: BTreeMap<LimitId, Held>,
}

/// What one node has seen of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The agreed epoch all of it belongs to; evidence of an earlier one is not counted.
    pub epoch: u64,
    /// Calls by age, the current second first.
    pub buckets: [Calls; BUCKETS],
    /// Ages in milliseconds of the latest consecutive hard failures, the latest first; at most
    /// [`MAX_FAILURE_AGES`].
    pub failure_ages_ms: Vec<u32>,
    /// Age in milliseconds of the last good answer, if one is remembered.
    pub last_ok_age_ms: Option<u32>,
    /// Attempts running.
    pub in_flight: u32,
    /// The node leaves it alone by its own evidence.
    pub suspect: bool,
    /// How the probes of this epoch went, on the node that holds the lease.
    pub probe: Option<Probe>,
    /// It holds the lease of this epoch and begins no probe by it: it was out of contact when it was
    /// told, runs anew, or drains.
    pub declines: bool,
    /// An active health check was good since it opened.
    pub healthy: bool,
    /// Time the upstream asked for at its last failure, in milliseconds from now.
    pub retry_after_ms: Option<u64>,
}

/// Calls of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Whole answers.
    pub ok: u32,
    /// Hard failures.
    pub hard: u32,
    /// Whole answers that took too long to begin; counted in `ok` too.
    pub slow: u32,
}

/// The probes of one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Good ones in a row.
    pub good: u32,
    /// One failed hard.
    pub failed: bool,
}

/// What one node does with one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Concurrency: attempts running. Rates: spent since the node started, ever growing.
    pub used: u64,
    /// Concurrency: attempts running or waiting. Rates: what the next second would take.
    pub wanted: u64,
    /// The latest [`Share::number`] the node has taken over: what it was lent before is given back.
    pub taken: u64,
}

/// Parts of [`LATELY_PART_S`] seconds by which a node tells what it spent of a rate lately.
pub const LATELY: usize = 12;
/// See [`LATELY`].
pub const LATELY_PART_S: u64 = 5;

/// What a node holds of one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The largest [`Share::amount`] it may still go by; `None` when none is valid any more.
    pub amount: Option<u64>,
    /// Rates: spent in the last minute, the latest five seconds first.
    pub lately: [u64; LATELY],
}

/// The leader to a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directive {
    /// The leader's term.
    pub term: u64,
    /// Who leads.
    pub leader: MemberId,
    /// The latest report it answers.
    pub sequence: u64,
    /// The last entry the leader knows to be committed: a node that hears of it should have it soon.
    pub committed: u64,
    /// The node's shares, all of them.
    pub shares: BTreeMap<LimitId, Share>,
    /// Figures of the whole cluster.
    pub figures: Figures,
}

/// A node's part of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Grows with every change of this node's part of this limit.
    pub number: u64,
    /// Concurrency: attempts that may run. Rates: what may be spent in all since the node started,
    /// on the scale of [`Demand::used`].
    pub amount: u64,
    /// How long it may be used without hearing from the leader again, in milliseconds. Counts from
    /// the report it answers; a node is told what is left of it when the directive comes.
    pub valid_ms: u64,
}

/// Sums over the nodes that report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Nodes that reported lately.
    pub nodes: u32,
    /// Which.
    pub alive: Vec<MemberId>,
    /// Counters, summed, of nodes alive; see [`Report::usage`].
    pub usage: BTreeMap<String, u64>,
    /// Upstreams one node fails at while others reach them: the fault is on that node's path.
    pub path_suspects: Vec<(MemberId, TargetId)>,
    /// Of each rate, what was spent in the last minute or is lent: the next leader goes on from it.
    pub spent: BTreeMap<LimitId, u64>,
}
