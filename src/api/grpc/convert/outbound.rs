//! Answers, explanations and counters as messages.

use std::time::Duration;

use llm_router_proto::llm_router::v1;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::openai::tap::Garbled;
use crate::dialect::transcode;
use crate::error::{Error, Kind};
use crate::inference::{CacheStatus, Named, ReplyMeta, StreamEnd};
use crate::types::report::{BreakerStatus, Explanation, ModelStatus, Percentiles, Stats};
use crate::types::{Completion, Finish, Usage};

fn cached(cache: CacheStatus) -> bool {
    match cache {
        CacheStatus::Exact | CacheStatus::Semantic => true,
        CacheStatus::Miss | CacheStatus::Bypass => false,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn reason(finish: Option<Finish>) -> i32 {
    finish
        .map_or(v1::FinishReason::Unspecified, v1::FinishReason::from)
        .into()
}

/// What only the raw answer knows: tool calls and a refusal.
#[derive(Debug, Default, Deserialize)]
struct Beyond {
    #[serde(default)]
    tool_calls: Option<Vec<RawCall>>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RawCall {
    #[serde(default)]
    id: String,
    function: Function,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: String,
}

impl From<RawCall> for v1::ToolCall {
    fn from(call: RawCall) -> Self {
        v1::ToolCall {
            id: call.id,
            name: call.function.name,
            arguments: call.function.arguments,
        }
    }
}

fn beyond(completion: &Completion) -> Result<Beyond, Error> {
    #[derive(Deserialize)]
    struct Answer {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Choice {
        #[serde(default)]
        index: u64,
        #[serde(default)]
        message: Beyond,
    }
    if !completion.tap.beyond_text {
        return Ok(Beyond::default());
    }
    let answer: Answer = serde_json::from_slice(&completion.raw).map_err(|source| {
        Error::new(
            Kind::UpstreamFailed,
            "the upstream's tool calls cannot be read",
        )
        .with_source(source)
    })?;
    let first = answer.choices.into_iter().find(|choice| choice.index == 0);
    Ok(first.map(|choice| choice.message).unwrap_or_default())
}

/// The model's thinking, as far as it can be read.
fn thinking(completion: &Completion) -> Result<Option<String>, Error> {
    if !completion.tap.beyond_text {
        return Ok(None);
    }
    let thinking = transcode::whole(completion).map_err(unreadable)?.thinking();
    Ok(Some(thinking).filter(|text| !text.is_empty()))
}

fn unreadable(source: Garbled) -> Error {
    Error::new(Kind::UpstreamFailed, "the upstream's answer cannot be read").with_source(source)
}

/// A whole answer.
///
/// # Errors
/// [`Kind::UpstreamFailed`] when the answer carries tool calls or thinking of a shape we cannot
/// read: leaving them out would pass off half an answer as a whole one.
pub(in crate::api::grpc) fn generated(
    meta: ReplyMeta,
    completion: Completion,
) -> Result<v1::GenerateResponse, Error> {
    let completion = transcode::openai(completion, meta.model.as_str()).map_err(unreadable)?;
    let Beyond {
        tool_calls,
        refusal,
    } = beyond(&completion)?;
    let thinking = thinking(&completion)?;
    Ok(v1::GenerateResponse {
        content: completion.tap.text,
        model_used: meta.model.as_str().to_owned(),
        cached: cached(meta.cache),
        cache: v1::CacheStatus::from(meta.cache).into(),
        similarity: meta.similarity,
        route: meta.route.map(|route| route.as_str().to_owned()),
        attempts: meta.attempts,
        finish_reason: reason(completion.tap.finish),
        usage: completion.tap.usage.map(v1::Usage::from),
        tool_calls: tool_calls
            .unwrap_or_default()
            .into_iter()
            .map(v1::ToolCall::from)
            .collect(),
        request_id: meta.id.as_str().to_owned(),
        latency_ms: millis(meta.elapsed),
        cost_usd: meta.cost_usd,
        refusal,
        thinking,
    })
}

fn event(event: v1::stream_generate_response::Event) -> v1::StreamGenerateResponse {
    v1::StreamGenerateResponse { event: Some(event) }
}

/// The first event of a stream.
pub(in crate::api::grpc) fn started(meta: &ReplyMeta) -> v1::StreamGenerateResponse {
    event(v1::stream_generate_response::Event::Start(
        v1::StreamStart {
            request_id: meta.id.as_str().to_owned(),
            model_used: meta.model.as_str().to_owned(),
            route: meta.route.as_ref().map(|route| route.as_str().to_owned()),
            cached: cached(meta.cache),
            cache: v1::CacheStatus::from(meta.cache).into(),
            similarity: meta.similarity,
            attempts: meta.attempts,
        },
    ))
}

/// Text to append.
pub(in crate::api::grpc) fn delta(text: String) -> v1::StreamGenerateResponse {
    event(v1::stream_generate_response::Event::Delta(text))
}

/// More of the model's refusal.
pub(in crate::api::grpc) fn refusal_delta(text: String) -> v1::StreamGenerateResponse {
    event(v1::stream_generate_response::Event::RefusalDelta(text))
}

/// More of the model's thinking.
pub(in crate::api::grpc) fn thinking_delta(text: String) -> v1::StreamGenerateResponse {
    event(v1::stream_generate_response::Event::ThinkingDelta(text))
}

/// The tool calls of a chunk, or of a whole answer sent as one piece, if it has any.
pub(in crate::api::grpc) fn tool_call_delta(raw: &[u8]) -> Option<v1::StreamGenerateResponse> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(default, borrow)]
        choices: Vec<Choice<'a>>,
    }
    #[derive(Deserialize)]
    struct Choice<'a> {
        #[serde(default)]
        index: u64,
        #[serde(default, borrow, alias = "message")]
        delta: Option<Calls<'a>>,
    }
    #[derive(Deserialize)]
    struct Calls<'a> {
        #[serde(default, borrow)]
        tool_calls: Option<&'a RawValue>,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(raw).ok()?;
    let first = envelope
        .choices
        .into_iter()
        .find(|choice| choice.index == 0)?;
    let calls = first.delta?.tool_calls.map(RawValue::get)?;
    (!matches!(calls, "null" | "[]")).then(|| {
        event(v1::stream_generate_response::Event::ToolCallDelta(
            calls.to_owned(),
        ))
    })
}

/// The last event of a stream.
pub(in crate::api::grpc) fn stream_finish(
    (finish, usage): (Option<Finish>, Option<Usage>),
    end: StreamEnd,
    elapsed: Duration,
) -> v1::StreamGenerateResponse {
    event(v1::stream_generate_response::Event::Finish(
        v1::StreamFinish {
            finish_reason: reason(finish),
            usage: usage.map(v1::Usage::from),
            cost_usd: end.cost_usd,
            latency_ms: millis(elapsed),
            recovered_by: end.recovered.map(|model| model.to_string()),
            estimated: end.estimated,
        },
    ))
}

/// Names a request may ask for, with what is known of those that stand for one model.
pub(in crate::api::grpc) fn listed(
    names: impl IntoIterator<Item = (String, Named)>,
) -> v1::ListModelsResponse {
    let models = names.into_iter().map(|(name, stands_for)| {
        let (provider, upstream_model) = match stands_for {
            Named::Model { provider, upstream } => (Some(provider), Some(upstream)),
            Named::Auto | Named::Route | Named::Alias => (None, None),
        };
        v1::Model {
            name,
            provider,
            upstream_model,
        }
    });
    v1::ListModelsResponse {
        models: models.collect(),
    }
}

/// Where a request would go.
pub(in crate::api::grpc) fn explanation(given: Explanation) -> v1::ExplainResponse {
    let rules = given.rules.into_iter().map(|rule| v1::RuleVerdict {
        route: rule.route.as_str().to_owned(),
        matched: rule.matched,
        reason: rule.reason,
    });
    let candidates = given.candidates.into_iter().map(|candidate| v1::Candidate {
        model: candidate.model.as_str().to_owned(),
        role: candidate.role.to_owned(),
        eligible: candidate.eligible,
        reason: candidate.reason,
        score: candidate.score,
    });
    v1::ExplainResponse {
        route: given.route.map(|route| route.as_str().to_owned()),
        strategy: given.strategy.to_owned(),
        prompt_tokens: given.prompt_tokens,
        rules: rules.collect(),
        candidates: candidates.collect(),
    }
}

impl From<Percentiles> for v1::Percentiles {
    fn from(given: Percentiles) -> Self {
        v1::Percentiles {
            p50: given.p50,
            p90: given.p90,
            p99: given.p99,
        }
    }
}

impl From<BreakerStatus> for v1::BreakerStatus {
    fn from(given: BreakerStatus) -> Self {
        v1::BreakerStatus {
            state: given.state.to_owned(),
            mode: given.mode.to_owned(),
            failure_count: given.failure_count,
            epoch: given.epoch,
        }
    }
}

/// One model as operators see it.
pub(in crate::api::grpc) fn model_status(given: ModelStatus) -> v1::GetModelStatusResponse {
    v1::GetModelStatusResponse {
        provider: given.provider,
        model: given.model,
        queue_depth: given.queue_depth,
        in_flight: given.in_flight,
        circuit_breaker: Some(given.circuit_breaker.into()),
        successes: given.successes,
        failures: given.failures,
        avg_latency_ms: given.avg_latency_ms,
        avg_first_token_ms: given.avg_first_token_ms,
        health: given.health.to_owned(),
    }
}

/// Both RPCs that carry the counters have a message of the same fields.
macro_rules! counters {
    ($into:ty) => {
        impl From<Stats> for $into {
            fn from(given: Stats) -> Self {
                Self {
                    total_requests: given.total_requests,
                    successes: given.successes,
                    failures: given.failures,
                    success_rate: given.success_rate,
                    cache_hits: given.cache_hits,
                    semantic_hits: given.semantic_hits,
                    avg_latency_ms: given.avg_latency_ms,
                    latency_ms: Some(given.latency_ms.into()),
                    first_byte_ms: Some(given.first_byte_ms.into()),
                    requests_by_model: given.requests_by_model,
                    requests_by_priority: given.requests_by_priority,
                    in_flight: given.in_flight,
                    uptime_seconds: given.uptime_seconds,
                }
            }
        }
    };
}

counters!(v1::GetStatsResponse);
counters!(v1::WatchStatsResponse);
