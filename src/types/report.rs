//! What the node shows of itself: explanations, model status, stats. Serialised as they stand.

use std::collections::BTreeMap;

use serde::Serialize;

use super::name::{ModelName, RouteName};
use crate::config::routing::{HedgeConfig, Price, ShadowConfig};

/// Why a request would go where it goes, without sending it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The rule that matched; absent when the client named a model.
    pub route: Option<RouteName>,
    /// How the targets were ordered.
    pub strategy: &'static str,
    /// Estimated prompt tokens the rules saw.
    pub prompt_tokens: u64,
    /// Every rule looked at, in order, and whether it matched.
    pub rules: Vec<RuleVerdict>,
    /// Every candidate in the order it would be tried.
    pub candidates: Vec<CandidateReport>,
    /// What becomes of a stream whose upstream dies: `auto` or `off`.
    pub stream_recovery: &'static str,
    /// When a second attempt is made beside the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<HedgeConfig>,
    /// The model asked beside the caller's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowConfig>,
}

/// One rule's answer.
#[derive(Clone, Debug, Serialize)]
pub struct RuleVerdict {
    /// The rule.
    pub route: RouteName,
    /// It holds for this request.
    pub matched: bool,
    /// The first condition that did not hold, or why it holds.
    pub reason: String,
}

/// One candidate of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct CandidateReport {
    /// The model.
    pub model: ModelName,
    /// `target` or `fallback`.
    pub role: &'static str,
    /// It would be tried now.
    pub eligible: bool,
    /// Why, or why not.
    pub reason: String,
    /// Parameters it would be asked without.
    pub dropped: Vec<String>,
    /// The strategy's score; lower is tried first.
    pub score: f64,
}

/// One model as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct ModelStatus {
    /// Provider kind: `openai`, `ollama`, `gemini`, `demo`, `custom`.
    pub provider: String,
    /// The upstream's name for the model.
    pub model: String,
    /// Requests waiting.
    pub queue_depth: u64,
    /// Attempts running.
    pub in_flight: u64,
    /// The breaker.
    pub circuit_breaker: BreakerStatus,
    /// Attempts answered.
    pub successes: u64,
    /// Attempts failed.
    pub failures: u64,
    /// Moving average of whole answers, in milliseconds.
    pub avg_latency_ms: f64,
    /// Moving average until the first real delta, in milliseconds.
    pub avg_first_token_ms: f64,
    /// The last health check: `unknown`, `up` or `down`.
    pub health: &'static str,
    /// Tokens it can take, prompt and answer together, where that is known.
    pub context_window: Option<u64>,
    /// What most requests cost, where that is known.
    pub price: Option<Price>,
}

/// A breaker as operators see it.
#[derive(Clone, Debug, Serialize)]
pub struct BreakerStatus {
    /// `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// The operator's word: `auto` while there is none, `force_open` or `force_closed`.
    pub mode: &'static str,
    /// Consecutive failures.
    pub failure_count: u32,
    /// Grows with every transition.
    pub epoch: u64,
}

/// The node's counters, named as the seeds named them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Requests that ended.
    pub total_requests: u64,
    /// Ended with an answer.
    pub successes: u64,
    /// Ended with an error.
    pub failures: u64,
    /// `successes / total_requests`; 1 when nothing has ended yet.
    pub success_rate: f64,
    /// Answered by the cache, both tiers.
    pub cache_hits: u64,
    /// Of those, by meaning.
    pub semantic_hits: u64,
    /// Mean time to the end of the answer, in milliseconds.
    pub avg_latency_ms: f64,
    /// Percentiles of the same, in milliseconds.
    pub latency_ms: Percentiles,
    /// Percentiles of the time until the first byte, in milliseconds.
    pub first_byte_ms: Percentiles,
    /// Requests answered per model.
    pub requests_by_model: BTreeMap<String, u64>,
    /// Requests per level.
    pub requests_by_priority: BTreeMap<String, u64>,
    /// Requests running now.
    pub in_flight: u64,
    /// Seconds since start.
    pub uptime_seconds: u64,
    /// The semantic tier of every route that was checked: its state and its false-hit rate.
    pub cache_routes: Vec<CacheRoute>,
}

/// Percentiles of a duration, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90th.
    pub p90: f64,
    /// 99th.
    pub p99: f64,
}

/// The cache's counters.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CacheStats {
    /// The cache may answer at all.
    pub enabled: bool,
    /// The semantic tier has an embedder.
    pub semantic: bool,
    /// Entries held.
    pub entries: u64,
    /// Most entries held.
    pub max_entries: u64,
    /// Partitions with at least one entry.
    pub partitions: u64,
    /// Lookups.
    pub lookups: u64,
    /// Hits of the exact tier.
    pub exact_hits: u64,
    /// Hits of the semantic tier.
    pub semantic_hits: u64,
    /// Candidates above the threshold that a guard refused.
    pub guard_refusals: u64,
    /// Entries written.
    pub inserts: u64,
    /// Entries dropped for room or age.
    pub evictions: u64,
    /// Requests that waited for an identical one in flight and shared its answer.
    pub single_flight_shared: u64,
    /// Answers two tenants agreed on, which became everyone's.
    #[serde(default)]
    pub promoted: u64,
    /// Entries that stayed in memory because the disk was busy or refused them.
    pub not_persisted: u64,
    /// Damaged entries skipped at start.
    pub corrupt: u64,
    /// What was learnt of its mistakes.
    pub learning: CacheLearning,
    /// What goes between this cache and those of other nodes; `None` where it stands alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<CachePeers>,
}

/// What goes between a node's cache and the others. Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CachePeers {
    /// Nodes among which entries are divided.
    pub nodes: u64,
    /// Epoch of the cells; 0 for the set a space begins with.
    pub cells: u64,
    /// Entries are on the move: nodes or cells have changed.
    pub moving: bool,
    /// Questions by meaning.
    pub looks: u64,
    /// Nodes asked for them, this one counted where it owns a near cell.
    pub asked: u64,
    /// Hits by an entry of another node.
    pub remote_hits: u64,
    /// Calls without an answer in time.
    pub unanswered: u64,
    /// Answers not asked for because the other node knew less of what was called off.
    pub behind: u64,
    /// Entries that were not the caller's and were thrown away.
    pub foreign: u64,
    /// New entries sent to those who keep them.
    pub sent: u64,
    /// Entries of other nodes that were sent here and kept.
    pub received: u64,
    /// Entries for which there was no room on the way.
    pub dropped: u64,
    /// Entries kept here because their owner could not be reached.
    pub hinted: u64,
    /// Entries brought elsewhere because nodes or cells have changed, or a copy was lost.
    pub moved: u64,
    /// Their bytes.
    pub moved_bytes: u64,
}

/// What the cache has learnt of its own mistakes. Counters are those since start; routes and vetoes
/// outlive a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CacheLearning {
    /// Semantic hits checked and found right.
    pub agreed: u64,
    /// Found wrong; their entries were withdrawn and the pairs vetoed.
    pub disagreed: u64,
    /// Checked without a clear result.
    pub unsure: u64,
    /// Pairs of question and entry that never hit again.
    pub vetoes: u64,
    /// Candidates not served because of one.
    pub veto_refusals: u64,
    /// 1 when what was on disk could not be read at start, and the cache started over.
    pub damaged: u64,
    /// Times that what was learnt could not be written.
    pub not_written: u64,
    /// Routes with verdicts.
    pub routes: Vec<CacheRoute>,
}

/// One route's semantic tier, and its false hits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CacheRoute {
    /// The route; `none` for requests that matched no rule.
    pub route: String,
    /// What the semantic tier may do: `normal`, `strict`, `probation` or `exact_only`.
    pub tier: &'static str,
    /// The same as a number, 0 to 3.
    #[serde(skip)]
    pub tier_level: u64,
    /// Seconds until a tier that switched itself off answers again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_left_s: Option<u64>,
    /// Semantic hits checked lately, with a clear result.
    pub judged: u32,
    /// Wrong ones among them.
    pub wrong: u32,
    /// Their share; 0 while nothing was checked.
    pub false_hit_rate: f64,
    /// It is at least this, with 95 % confidence.
    pub false_hit_lower: f64,
    /// It is at most this, with 95 % confidence; 1 while nothing was checked.
    pub false_hit_upper: f64,
}
