//! OpenAI-shaped answers as [`Event`]s. Only choice 0 is read.

mod calls;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::calls::{Fragment, Joined};
use super::content::{self, Piece};
use super::tap::Garbled;
use crate::types::{Event, Finish, Usage};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default, borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(default, borrow)]
    delta: Option<Said<'a>>,
    #[serde(default, borrow)]
    message: Option<Said<'a>>,
    #[serde(default)]
    finish_reason: Option<String>,
}

/// Servers that have renamed `reasoning` send it under both names, with the same text.
#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    thinking_blocks: Option<Vec<Block>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<Fragment<'a>>>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

/// Turns the chunks of one stream, or one whole answer, into events.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    finished: bool,
    calls: Joined,
}

impl Decoder {
    /// What one chunk says. Choices beyond the first say nothing here.
    ///
    /// # Errors
    /// [`Garbled`] when it is not a chunk, an error object included.
    pub fn chunk(&mut self, raw: &[u8]) -> Result<Vec<Event>, Garbled> {
        let read: Envelope<'_> = serde_json::from_slice(raw).map_err(Garbled::Shape)?;
        if let Some(error) = read.error.filter(|error| error.get() != "null") {
            return Err(Garbled::Error(error.get().chars().take(500).collect()));
        }
        let mut events = Vec::with_capacity(2);
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start {
                id: read.id.unwrap_or_default(),
                model: read.model.unwrap_or_default(),
            });
        }
        let choices = read.choices.unwrap_or_default();
        for choice in choices.into_iter().filter(|choice| choice.index == 0) {
            if let Some(said) = choice.delta.or(choice.message) {
                self.said(said, &mut events)?;
            }
            let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
            self.finished |= reason.is_some();
            if self.finished {
                self.calls.settle(&mut events);
            }
            events.extend(reason.map(|reason| Event::Finish(self.finish(&reason))));
        }
        events.extend(read.usage.map(Event::Usage));
        Ok(events)
    }

    /// Some servers say `stop` after calls too; a client that then looks for none would not act.
    fn finish(&self, reason: &str) -> Finish {
        let finish = Finish::from_openai(reason);
        if finish == Finish::Stop && !self.calls.is_empty() {
            Finish::ToolCalls
        } else {
            finish
        }
    }

    fn said(&mut self, said: Said<'_>, events: &mut Vec<Event>) -> Result<(), Garbled> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        // sealed blocks repeat the plain thinking of a whole answer
        let sealed = said.thinking_blocks.unwrap_or_default();
        let thinks = |block: &Block| block.thinking.as_ref().is_some_and(|text| !text.is_empty());
        let repeated = sealed.iter().any(thinks);
        let plain = filled(said.reasoning_content).or(filled(said.reasoning));
        events.extend(plain.filter(|_| !repeated).map(Event::Thinking));
        for block in sealed {
            events.extend(block.data.map(Event::Redacted));
            events.extend(filled(block.thinking).map(Event::Thinking));
            events.extend(block.signature.map(Event::Signature));
        }
        let pieces = content::pieces(said.content).map_err(Garbled::Shape)?;
        events.extend(pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => Event::Text(text),
            Piece::Thinking(text) => Event::Thinking(text),
        }));
        events.extend(filled(said.refusal).map(Event::Refusal));
        self.calls.add(said.tool_calls.unwrap_or_default(), events)
    }
}

/// What a whole answer says.
///
/// # Errors
/// As [`Decoder::chunk`].
pub fn whole(raw: &[u8]) -> Result<Vec<Event>, Garbled> {
    Decoder::default().chunk(raw)
}

#[cfg(test)]
mod tests;
