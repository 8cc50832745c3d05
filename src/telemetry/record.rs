//! One finished request, as metrics, stats, the span and the access log hear of it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Kind;
use crate::inference::CacheStatus;
use crate::types::{ModelName, Priority, RequestId, RouteName, TenantId, Usage};

/// What is known once a request has ended. It names things; it never holds a prompt, an answer or
/// a key.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// The request.
    pub id: RequestId,
    /// Who pays.
    pub tenant: TenantId,
    /// The way in: `http`, `grpc` or `library`.
    pub door: &'static str,
    /// The use case's path, as configured in the door, without parameters.
    pub path: &'static str,
    /// The rule that matched.
    pub route: Option<RouteName>,
    /// The model that answered, or once answered for a hit.
    pub model: Option<ModelName>,
    /// The name the client asked for. Client-supplied: shown escaped, never a label.
    pub asked: Arc<str>,
    /// Admission level.
    pub priority: Priority,
    /// The client wanted a stream.
    pub stream: bool,
    /// How it ended.
    pub outcome: Result<(), Kind>,
    /// The HTTP status that was, or would have been, sent.
    pub status: u16,
    /// The cache's part.
    pub cache: CacheStatus,
    /// Cosine of a semantic hit.
    pub similarity: Option<f32>,
    /// Tries made; 0 for a hit.
    pub attempts: u32,
    /// The model that carried on a stream another one left unfinished, the last one where there were
    /// several.
    pub recovered: Option<ModelName>,
    /// Time spent in admission queues.
    pub queue_wait: Duration,
    /// Time spent waiting for upstreams.
    pub upstream: Duration,
    /// From arrival to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// From arrival to the end of the answer.
    pub total: Duration,
    /// Token counts, as the upstream counted them.
    pub usage: Option<Usage>,
    /// Cost in US dollars, where the model has a price.
    pub cost_usd: Option<f64>,
}

impl RequestRecord {
    /// A request that has just come in through `door` and has answered nothing yet: cancelled,
    /// status 499. Its use case fills in the rest as it learns it, so that a dropped request is
    /// still recorded for what it is.
    pub fn new(id: RequestId, door: &'static str, path: &'static str) -> Self {
        RequestRecord {
            id,
            tenant: TenantId::default(),
            door,
            path,
            route: None,
            model: None,
            asked: Arc::from("auto"),
            priority: Priority::default(),
            stream: false,
            outcome: Err(Kind::Cancelled),
            status: 499,
            cache: CacheStatus::Bypass,
            similarity: None,
            attempts: 0,
            recovered: None,
            queue_wait: Duration::ZERO,
            upstream: Duration::ZERO,
            first_byte: None,
            total: Duration::ZERO,
            usage: None,
            cost_usd: None,
        }
    }

    /// The metric label and log word for how it ended: `ok` or the error's kind.
    pub fn outcome_str(&self) -> &'static str {
        match self.outcome {
            Ok(()) => "ok",
            Err(kind) => kind.as_str(),
        }
    }

    /// The cache answered.
    pub fn is_hit(&self) -> bool {
        match self.cache {
            CacheStatus::Exact | CacheStatus::Semantic => self.outcome.is_ok(),
            CacheStatus::Miss | CacheStatus::Bypass => false,
        }
    }

    /// What the node itself took: the total without the upstream's time. Waiting in queues is
    /// part of it, and has its own metric.
    pub fn overhead(&self) -> Duration {
        self.total.saturating_sub(self.upstream)
    }
}
