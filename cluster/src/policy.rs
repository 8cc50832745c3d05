//! What the leader has to know of the agreed config to judge breakers and lend limits. Made by the
//! node from the routing config it has in service, for this crate cannot read that.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::state::TargetId;

/// The numbers the leader goes by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Breakers, by upstream.
    pub breakers: BTreeMap<TargetId, BreakerPolicy>,
    /// Upstreams that stand in for one another: those of one route, fallbacks included.
    pub groups: Vec<Vec<TargetId>>,
    /// Limits of the whole cluster.
    pub limits: BTreeMap<LimitId, u64>,
}

/// One breaker's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Hard failures in a row, over all nodes, that open it.
    pub failure_threshold: u32,
    /// How long it stays open the first time, in milliseconds.
    pub recovery_ms: u64,
    /// Good probes in a row that close it.
    pub success_threshold: u32,
    /// How long the first token may take, in milliseconds: part of a probe's lease.
    pub first_token_ms: u64,
}

impl BreakerPolicy {
    /// The longest it stays open the first time.
    pub(crate) fn longest_first(&self) -> Duration {
        longest_first(Duration::from_millis(self.recovery_ms))
    }
}

/// The longest that a breaker stays open the first time: the configured time, and the fifth that
/// jitter adds at most.
pub fn longest_first(recovery: Duration) -> Duration {
    recovery.saturating_add(recovery / 5)
}

/// A limit of the whole cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LimitId {
    /// Whose.
    pub target: TargetId,
    /// Of what.
    pub kind: LimitKind,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Attempts running at once.
    Concurrency,
    /// Requests in any sixty seconds.
    Requests,
    /// Tokens in any sixty seconds.
    Tokens,
}

impl LimitKind {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitKind::Concurrency => "concurrency",
            LimitKind::Requests => "requests",
            LimitKind::Tokens => "tokens",
        }
    }
}
