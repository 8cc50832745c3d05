//! Messages of `llm_router.plugin.v1` from ours and to ours, by name.

use llm_router_proto::llm_router::plugin::v1;
use llm_router_proto::llm_router::plugin::v1::generate_event::Event as Told;

use super::super::described::Described;
use super::call::{Asked, AskedVectors};
use crate::types::{Embeddings, Event, Finish, Inputs, Usage};

impl From<Asked> for v1::GenerateRequest {
    fn from(asked: Asked) -> Self {
        v1::GenerateRequest {
            attempt_id: asked.attempt_id,
            model: asked.model,
            request: asked.request,
            stream: asked.stream,
            deadline_ms: millis(asked.left),
            traceparent: asked.traceparent,
        }
    }
}

impl From<AskedVectors<'_>> for v1::EmbedRequest {
    fn from(asked: AskedVectors<'_>) -> Self {
        let call = asked.call;
        let (texts, tokens) = match &*call.inputs {
            Inputs::Texts(texts) => (texts.clone(), Vec::new()),
            Inputs::Tokens(lists) => {
                let lists = lists.iter().map(|ids| v1::Tokens { ids: ids.clone() });
                (Vec::new(), lists.collect())
            }
        };
        v1::EmbedRequest {
            attempt_id: asked.attempt_id,
            model: asked.model,
            texts,
            tokens,
            dimensions: call.dimensions,
            user: call.user.as_deref().map(str::to_owned),
            deadline_ms: millis(asked.left),
            traceparent: call.traceparent.clone().unwrap_or_default(),
        }
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl TryFrom<v1::GenerateEvent> for Event {
    type Error = String;

    fn try_from(given: v1::GenerateEvent) -> Result<Self, String> {
        // one of a later version: it may well have been a part of the answer
        let told = given
            .event
            .ok_or("the plugin sent an event that is not known here")?;
        Ok(match told {
            Told::Start(v1::Start { id, model }) => Event::Start { id, model },
            Told::Text(text) => Event::Text(text),
            Told::Refusal(text) => Event::Refusal(text),
            Told::Thinking(text) => Event::Thinking(text),
            Told::Signature(seal) => Event::Signature(seal),
            Told::Redacted(data) => Event::Redacted(data),
            Told::ToolCall(call) => Event::ToolCall {
                index: call.index,
                id: call.id,
                name: named(call.name)?,
                signature: call.signature,
            },
            Told::Arguments(v1::Arguments { index, json }) => Event::Arguments { index, json },
            Told::Usage(usage) => Event::Usage(usage.into()),
            Told::Finish(finish) => Event::Finish(finish.reason().into()),
        })
    }
}

fn named(name: String) -> Result<String, String> {
    if name.is_empty() {
        return Err("the plugin sent a tool call without `name`".to_owned());
    }
    Ok(name)
}

impl From<v1::FinishReason> for Finish {
    fn from(reason: v1::FinishReason) -> Self {
        match reason {
            v1::FinishReason::Stop => Finish::Stop,
            v1::FinishReason::Length => Finish::Length,
            v1::FinishReason::ToolCalls => Finish::ToolCalls,
            v1::FinishReason::ContentFilter => Finish::ContentFilter,
            v1::FinishReason::Unspecified | v1::FinishReason::Other => Finish::Other,
        }
    }
}

impl From<v1::Usage> for Usage {
    fn from(given: v1::Usage) -> Self {
        Usage {
            cached_tokens: given.cached_tokens,
            cache_write_tokens: given.cache_write_tokens,
            reasoning_tokens: given.reasoning_tokens,
            ..Usage::new(given.prompt_tokens, given.completion_tokens)
        }
    }
}

impl TryFrom<v1::EmbedResponse> for Embeddings {
    type Error = String;

    fn try_from(given: v1::EmbedResponse) -> Result<Self, String> {
        let vectors: Vec<Vec<f32>> = given.vectors.into_iter().map(|v| v.values).collect();
        let length = vectors.first().map_or(0, Vec::len);
        if vectors
            .iter()
            .any(|vector| vector.is_empty() || vector.len() != length)
        {
            return Err("the plugin sent vectors that are empty or of several lengths".to_owned());
        }
        if vectors.iter().flatten().any(|value| !value.is_finite()) {
            return Err("the plugin sent a vector with a coordinate that is no number".to_owned());
        }
        Ok(Embeddings {
            model: given.model,
            vectors,
            usage: given.usage.map(Usage::from),
        })
    }
}

impl From<v1::DescribeResponse> for Described {
    fn from(given: v1::DescribeResponse) -> Self {
        let can = given.capabilities.unwrap_or_default();
        Described {
            models: given.models,
            tools: can.tools,
            vision: can.vision,
            prefill: can.prefill,
            json_schema: can.json_schema,
            embeddings: can.embeddings,
            unread: given.uncarried_parameters,
        }
    }
}
