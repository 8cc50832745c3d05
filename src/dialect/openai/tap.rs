//! Reads off OpenAI-shaped answers what the node needs, leaving the bytes alone.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::json::Object;
use crate::types::{Chunk, Completion, Dialect, Finish, Tap, Usage};

/// What the upstream sent is not an answer.
#[derive(Debug, thiserror::Error)]
pub enum Garbled {
    /// Not JSON of the expected shape.
    #[error("upstream sent something that is not an OpenAI answer: {0}")]
    Shape(#[source] serde_json::Error),
    /// An error object under a success status.
    #[error("upstream reported an error inside its answer: {0}")]
    Error(String),
    /// An answer without any choice.
    #[error("upstream sent an answer without choices")]
    NoChoice,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
    #[serde(default, borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(default, borrow)]
    delta: Option<Content<'a>>,
    #[serde(default, borrow)]
    message: Option<Content<'a>>,
    #[serde(default)]
    finish_reason: Option<String>,
}

/// A delta or message, field by field, so that anything beyond text is noticed.
#[derive(Deserialize)]
struct Content<'a> {
    #[serde(default)]
    content: Option<String>,
    #[serde(default, borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(default, borrow)]
    function_call: Option<&'a RawValue>,
    #[serde(default, borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(default, borrow)]
    audio: Option<&'a RawValue>,
    #[serde(default, borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(default, borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(default, borrow)]
    thinking_blocks: Option<&'a RawValue>,
}

/// Reads a whole answer.
///
/// # Errors
/// [`Garbled`] when it is not one.
pub fn completion(raw: Bytes) -> Result<Completion, Garbled> {
    let tap = read(&raw)?.ok_or(Garbled::NoChoice)?;
    Ok(Completion {
        raw,
        dialect: Dialect::OpenAi,
        tap,
    })
}

/// Reads one streamed chunk.
///
/// # Errors
/// [`Garbled`] when it is not one, an error object included.
pub fn chunk(raw: Bytes) -> Result<Chunk, Garbled> {
    let envelope = parse(&raw)?;
    let usage_only = envelope.choices.is_empty();
    let tap = tap_of(envelope);
    Ok(Chunk {
        raw,
        dialect: Dialect::OpenAi,
        tap,
        usage_only,
    })
}

fn parse(raw: &[u8]) -> Result<Envelope<'_>, Garbled> {
    // what is passed on unread has to be text all the same
    let text = std::str::from_utf8(raw)
        .map_err(|_| Garbled::Shape(serde::de::Error::custom("not valid UTF-8")))?;
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(Garbled::Shape)?;
    match envelope.error {
        Some(error) if error.get() != "null" => Err(Garbled::Error(clip(error.get()))),
        _ => Ok(envelope),
    }
}

fn read(raw: &[u8]) -> Result<Option<Tap>, Garbled> {
    let envelope = parse(raw)?;
    Ok((!envelope.choices.is_empty()).then(|| tap_of(envelope)))
}

fn tap_of(envelope: Envelope<'_>) -> Tap {
    let mut tap = Tap {
        usage: envelope.usage,
        ..Tap::default()
    };
    for choice in envelope.choices {
        if choice.index != 0 {
            tap.beyond_text = true;
        }
        if let Some(reason) = choice
            .finish_reason
            .as_deref()
            .filter(|reason| choice.index == 0 && !reason.is_empty())
        {
            tap.finish = Some(Finish::from_openai(reason));
        }
        let Some(content) = choice.delta.or(choice.message) else {
            continue;
        };
        let beyond = [
            content.tool_calls,
            content.function_call,
            content.refusal,
            content.audio,
        ]
        .into_iter()
        .chain([
            content.reasoning_content,
            content.reasoning,
            content.thinking_blocks,
        ])
        .flatten()
        .any(|value| !matches!(value.get(), "null" | "[]" | "\"\""));
        tap.beyond_text |= beyond;
        let text = content.content.unwrap_or_default();
        tap.real |= beyond || !text.is_empty();
        if choice.index == 0 {
            tap.text.push_str(&text);
        }
    }
    tap
}

/// The chunk without its `usage` field, for clients that did not ask for it.
pub fn without_usage(raw: Bytes) -> Bytes {
    let named = raw.windows(7).any(|window| window == b"\"usage\"");
    if !named {
        return raw;
    }
    let Ok(mut object) = Object::parse(&raw) else {
        return raw;
    };
    match object.remove("usage") {
        Some(_) => Bytes::from(object.to_bytes()),
        None => raw,
    }
}

fn clip(text: &str) -> String {
    text.chars().take(500).collect()
}

#[cfg(test)]
mod tests;
