//! Reads off OpenAI-shaped answers what the node needs, leaving the bytes alone.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::content;
use super::numbers::{Numbers, numbered};
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
    choices: Option<Vec<Choice<'a>>>,
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
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
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

/// Reads the chunks of one stream, in order.
#[derive(Debug, Default)]
pub struct Chunks {
    /// A bit for each choice, for there are at most 128 (`request::MAX_CHOICES`).
    seen: u128,
    ended: u128,
    numbers: Numbers,
}

impl Chunks {
    /// Reads one chunk. Its bytes stay as they came, save that tool calls are numbered where the
    /// upstream did not, or gave two of them one number.
    ///
    /// # Errors
    /// [`Garbled`] when it is not one, an error object included.
    pub fn read(&mut self, raw: Bytes) -> Result<Chunk, Garbled> {
        let envelope = parse(&raw)?;
        let choices = envelope.choices.as_deref().unwrap_or_default();
        let usage_only = choices.is_empty();
        let mut repairs = Vec::new();
        for (place, choice) in choices.iter().enumerate() {
            self.note(choice);
            let delta = choice.delta.as_ref();
            if let Some(calls) = delta.and_then(|delta| delta.tool_calls) {
                repairs.extend(self.numbers.note((place, choice.index), calls));
            }
        }
        let tap = tap_of(envelope);
        let raw = if repairs.is_empty() {
            raw
        } else {
            numbered(raw, &repairs)
        };
        Ok(Chunk {
            raw,
            dialect: Dialect::OpenAi,
            tap,
            usage_only,
        })
    }

    /// How many choices have said why they end.
    pub fn ended(&self) -> u32 {
        self.ended.count_ones()
    }

    /// Choice 0 has said why it ends.
    pub fn has_ended(&self) -> bool {
        self.ended & 1 == 1
    }

    /// So have all choices that began.
    pub fn all_ended(&self) -> bool {
        self.has_ended() && self.seen == self.ended
    }

    fn note(&mut self, choice: &Choice<'_>) {
        let bit = u32::try_from(choice.index).ok();
        let bit = bit.and_then(|at| 1_u128.checked_shl(at)).unwrap_or(0);
        self.seen |= bit;
        if choice.reason().is_some() {
            self.ended |= bit;
        }
    }
}

impl Choice<'_> {
    /// Why it ends; empty counts as not at all.
    fn reason(&self) -> Option<&str> {
        let reason = self.finish_reason.as_deref();
        reason.filter(|reason| !reason.is_empty())
    }
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
    let answers = envelope.choices.as_ref().is_some_and(|all| !all.is_empty());
    Ok(answers.then(|| tap_of(envelope)))
}

fn tap_of(envelope: Envelope<'_>) -> Tap {
    let mut tap = Tap {
        usage: envelope.usage,
        ..Tap::default()
    };
    for choice in envelope.choices.unwrap_or_default() {
        let is_first = choice.index == 0;
        tap.beyond_text |= !is_first;
        if let Some(reason) = choice.reason().filter(|_| is_first) {
            tap.finish = Some(Finish::from_openai(reason));
        }
        let Some(content) = choice.delta.or(choice.message) else {
            continue;
        };
        let plain = content
            .content
            .is_none_or(|given| given.get().starts_with('"'));
        let beyond = content.is_beyond_text() || !plain;
        // what is no text even so passes all the same
        let text = content::text(content.content);
        tap.beyond_text |= beyond || text.is_err();
        let text = text.unwrap_or_default();
        tap.real |= beyond || !text.is_empty();
        if is_first {
            tap.text.push_str(&text);
        }
    }
    tap
}

impl Content<'_> {
    /// It says something beside its content.
    fn is_beyond_text(&self) -> bool {
        let said = [
            self.tool_calls,
            self.function_call,
            self.refusal,
            self.audio,
            self.reasoning_content,
            self.reasoning,
            self.thinking_blocks,
        ];
        let mut said = said.into_iter().flatten();
        said.any(|value| !matches!(value.get(), "null" | "[]" | "\"\""))
    }
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
