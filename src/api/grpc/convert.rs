//! Generated types to ours and back, by name, in one place.
//!
//! Inward a missing or impossible field is an error that names it; outward nothing is lost that the
//! message has a place for.

mod inbound;
mod json;
mod outbound;
#[cfg(test)]
mod tests;
mod vectors;

use llm_router_proto::llm_router::v1;

pub(super) use inbound::{Call, chat_request, from_explain, from_stream};
pub(super) use outbound::{
    delta, explanation, generated, listed, model_status, refusal_delta, started, stream_finish,
    thinking_delta, tool_call_delta,
};
pub(super) use vectors::{embed_request, embedded};

use crate::error::{Error, Kind};
use crate::inference::CacheStatus;
use crate::types::{CacheMode, Finish, Priority, Usage};

fn bad(field: impl Into<String>, problem: impl std::fmt::Display) -> Error {
    let field = field.into();
    Error::new(Kind::InvalidRequest, format!("field `{field}` {problem}")).with_param(field)
}

/// Reads a level; `None` when the message leaves it to the metadata.
fn priority(value: i32) -> Result<Option<Priority>, Error> {
    let given = v1::Priority::try_from(value)
        .map_err(|_| bad("priority", "must be critical, high, normal or low"))?;
    Ok(match given {
        v1::Priority::Unspecified => None,
        v1::Priority::Critical => Some(Priority::Critical),
        v1::Priority::High => Some(Priority::High),
        v1::Priority::Normal => Some(Priority::Normal),
        v1::Priority::Low => Some(Priority::Low),
    })
}

/// Reads a cache mode; `None` when the message leaves it to the metadata.
fn cache_mode(value: i32) -> Result<Option<CacheMode>, Error> {
    let given = v1::CacheMode::try_from(value)
        .map_err(|_| bad("cache", "must be on, exact, off or refresh"))?;
    Ok(match given {
        v1::CacheMode::Unspecified => None,
        v1::CacheMode::On => Some(CacheMode::On),
        v1::CacheMode::Exact => Some(CacheMode::Exact),
        v1::CacheMode::Off => Some(CacheMode::Off),
        v1::CacheMode::Refresh => Some(CacheMode::Refresh),
    })
}

impl From<CacheStatus> for v1::CacheStatus {
    fn from(status: CacheStatus) -> Self {
        match status {
            CacheStatus::Miss => v1::CacheStatus::Miss,
            CacheStatus::Exact => v1::CacheStatus::Exact,
            CacheStatus::Semantic => v1::CacheStatus::Semantic,
            CacheStatus::Bypass => v1::CacheStatus::Bypass,
        }
    }
}

impl From<Finish> for v1::FinishReason {
    fn from(finish: Finish) -> Self {
        match finish {
            Finish::Stop => v1::FinishReason::Stop,
            Finish::Length => v1::FinishReason::Length,
            Finish::ToolCalls => v1::FinishReason::ToolCalls,
            Finish::ContentFilter => v1::FinishReason::ContentFilter,
            Finish::Other => v1::FinishReason::Other,
        }
    }
}

impl From<Usage> for v1::Usage {
    /// Fills the total in where the upstream left it out.
    fn from(usage: Usage) -> Self {
        let sum = usage.prompt_tokens.saturating_add(usage.completion_tokens);
        let total = if usage.total_tokens == 0 {
            sum
        } else {
            usage.total_tokens
        };
        v1::Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: total,
        }
    }
}
