//! Answers of this dialect as [`Event`]s: the messages of a stream, or a whole answer.
//!
//! Blocks of a kind we do not know, and citations, say nothing here: only a client of the same
//! dialect sees them. Counts in a stream are cumulative; what a later message leaves out keeps its
//! value.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::finish;
use crate::dialect::openai::tap::Garbled;
use crate::types::{Event, Usage};

/// Most blocks of one answer that may be open at once; those beyond say nothing.
const MAX_OPEN: usize = 64;
/// Most characters of an upstream's error that are quoted.
const MAX_QUOTE: usize = 500;

/// What the upstream sent is not an answer.
#[derive(Debug, thiserror::Error)]
pub enum Bad {
    /// Not JSON of the expected shape.
    #[error("upstream sent something that is not an anthropic answer: {0}")]
    Shape(#[source] serde_json::Error),
    /// An error under a success status.
    #[error("upstream reported an error inside its answer: {kind}: {message}")]
    Reported {
        /// Its `type`, such as `overloaded_error`.
        kind: String,
        /// What it says.
        message: String,
    },
    /// A whole answer that does not say why it ended.
    #[error("upstream sent an answer that has not ended")]
    NotEnded,
}

impl From<Bad> for Garbled {
    fn from(bad: Bad) -> Self {
        match bad {
            Bad::Shape(error) => Garbled::Shape(error),
            Bad::Reported { .. } | Bad::NotEnded => Garbled::Error(bad.to_string()),
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    #[serde(default)]
    index: u64,
    #[serde(default, borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(default, borrow)]
    delta: Option<&'a RawValue>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<Reported>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(default, borrow)]
    content: Vec<&'a RawValue>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Counts>,
}

/// Blocks and deltas are read once it is known that their kind is one of ours: those of another may
/// look any way.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(default, rename = "type", borrow)]
    kind: Cow<'a, str>,
}

const BLOCKS: [&str; 4] = ["text", "thinking", "redacted_thinking", "tool_use"];
const DELTAS: [&str; 4] = [
    "text_delta",
    "thinking_delta",
    "signature_delta",
    "input_json_delta",
];

fn known<'a, T: Deserialize<'a>>(given: &'a RawValue, kinds: &[&str]) -> Result<Option<T>, Bad> {
    let Kind { kind } = serde_json::from_str(given.get()).map_err(Bad::Shape)?;
    if !kinds.contains(&kind.as_ref()) {
        return Ok(None);
    }
    serde_json::from_str(given.get())
        .map(Some)
        .map_err(Bad::Shape)
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
    #[serde(default)]
    partial_json: String,
}

/// The delta of a whole message.
#[derive(Default, Deserialize)]
struct Ending {
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Reported {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

impl From<Option<Reported>> for Bad {
    fn from(given: Option<Reported>) -> Self {
        let given = given.unwrap_or_default();
        let clip = |text: String| text.chars().take(MAX_QUOTE).collect();
        Bad::Reported {
            kind: clip(given.kind),
            message: clip(given.message),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

impl Counts {
    fn update(&mut self, newer: Counts) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens = newer
            .cache_creation_input_tokens
            .or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = newer
            .cache_read_input_tokens
            .or(self.cache_read_input_tokens);
    }

    /// `None` where nothing was counted.
    fn usage(self) -> Option<Usage> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let fresh = self.input_tokens.unwrap_or(0);
        let prompt = fresh.saturating_add(written).saturating_add(cached);
        Some(Usage {
            cached_tokens: cached,
            cache_write_tokens: written,
            ..Usage::new(prompt, self.output_tokens.unwrap_or(0))
        })
    }
}

/// A tool's block that has begun.
#[derive(Debug)]
struct Open {
    block: u64,
    call: u32,
    has_arguments: bool,
}

/// Turns the messages of one stream into events.
#[derive(Debug, Default)]
pub struct Decoder {
    counts: Counts,
    calls: u32,
    open: Vec<Open>,
    ending: bool,
    done: bool,
}

impl Decoder {
    /// `message_stop` has come; what follows means nothing.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The body has ended: an answer that has said why it ends is complete.
    pub fn ended(&mut self) {
        self.done |= self.ending;
    }

    /// What one message says, appended to `said`.
    ///
    /// # Errors
    /// [`Bad`]; read no further.
    pub fn message(&mut self, bytes: &[u8], said: &mut Vec<Event>) -> Result<(), Bad> {
        let message: Message<'_> = serde_json::from_slice(bytes).map_err(Bad::Shape)?;
        match message.kind.as_str() {
            "message_start" => self.start(message.message, said)?,
            "content_block_start" => {
                let block = message.content_block.map(|block| known(block, &BLOCKS));
                if let Some(block) = block.transpose()?.flatten() {
                    self.block(message.index, &block, said);
                }
            }
            "content_block_delta" => {
                let delta = message.delta.map(|delta| known(delta, &DELTAS));
                if let Some(delta) = delta.transpose()?.flatten() {
                    self.delta(message.index, delta, said);
                }
            }
            "content_block_stop" => self.close(message.index, said),
            "message_delta" => self.ends(message.delta, message.usage, said)?,
            "message_stop" => self.done = true,
            "error" => return Err(message.error.into()),
            _ => {} // `ping`, and whatever is new
        }
        Ok(())
    }

    fn start(&mut self, answer: Option<&RawValue>, said: &mut Vec<Event>) -> Result<(), Bad> {
        let Some(answer) = answer else { return Ok(()) };
        let answer: Answer<'_> = serde_json::from_str(answer.get()).map_err(Bad::Shape)?;
        self.counts.update(answer.usage.unwrap_or_default());
        said.push(Event::Start {
            id: answer.id,
            model: answer.model,
        });
        Ok(())
    }

    fn block(&mut self, index: u64, block: &Block<'_>, said: &mut Vec<Event>) {
        if block.kind == "tool_use" {
            if self.open.len() >= MAX_OPEN {
                return;
            }
            let call = self.calls;
            self.calls = self.calls.saturating_add(1);
            let before = said.len();
            say_block(block, call, said);
            self.open.push(Open {
                block: index,
                call,
                has_arguments: said.len() - before > 1,
            });
        } else {
            say_block(block, 0, said);
        }
    }

    fn delta(&mut self, index: u64, delta: Delta, said: &mut Vec<Event>) {
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        match delta.kind.as_str() {
            "text_delta" => said.extend(filled(delta.text).map(Event::Text)),
            "thinking_delta" => said.extend(filled(delta.thinking).map(Event::Thinking)),
            "signature_delta" => said.extend(filled(delta.signature).map(Event::Signature)),
            "input_json_delta" => {
                // of a block that is no call of the client's there is nothing to tell
                let open = self.open.iter_mut().find(|open| open.block == index);
                if let (Some(open), Some(json)) = (open, filled(delta.partial_json)) {
                    open.has_arguments = true;
                    let index = open.call;
                    said.push(Event::Arguments { index, json });
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, index: u64, said: &mut Vec<Event>) {
        let Some(at) = self.open.iter().position(|open| open.block == index) else {
            return;
        };
        let open = self.open.swap_remove(at);
        if !open.has_arguments {
            // a tool without arguments: clients of other dialects parse what they get
            said.push(Event::Arguments {
                index: open.call,
                json: "{}".to_owned(),
            });
        }
    }

    fn ends(
        &mut self,
        delta: Option<&RawValue>,
        counts: Option<Counts>,
        said: &mut Vec<Event>,
    ) -> Result<(), Bad> {
        self.counts.update(counts.unwrap_or_default());
        let ending = delta.map(|delta| serde_json::from_str::<Ending>(delta.get()));
        let ending = ending.transpose().map_err(Bad::Shape)?.unwrap_or_default();
        if let Some(reason) = ending.stop_reason {
            self.ending = true;
            said.push(Event::Finish(finish(&reason)));
        }
        said.extend(self.counts.usage().map(Event::Usage));
        Ok(())
    }
}

/// What a block says with its beginning, or as a part of a whole answer.
fn say_block(block: &Block<'_>, call: u32, said: &mut Vec<Event>) {
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    match block.kind.as_str() {
        "text" => said.extend(filled(&block.text).map(Event::Text)),
        "thinking" => {
            said.extend(filled(&block.thinking).map(Event::Thinking));
            let seal = block.signature.as_deref().and_then(filled);
            said.extend(seal.map(Event::Signature));
        }
        "redacted_thinking" => said.extend(block.data.clone().map(Event::Redacted)),
        "tool_use" => {
            said.push(Event::ToolCall {
                index: call,
                id: filled(&block.id).unwrap_or_else(made_up),
                name: block.name.clone(),
                signature: None,
            });
            let input = block.input.map(RawValue::get);
            let given = input.filter(|input| !matches!(*input, "{}" | "null" | "\"\""));
            said.extend(given.map(|json| Event::Arguments {
                index: call,
                json: json.to_owned(),
            }));
        }
        _ => {}
    }
}

fn made_up() -> String {
    format!("toolu_{}", uuid::Uuid::now_v7().simple())
}

/// What a whole answer says.
///
/// # Errors
/// [`Bad`] when it is not one.
pub fn whole(bytes: &[u8]) -> Result<Vec<Event>, Bad> {
    let head: Message<'_> = serde_json::from_slice(bytes).map_err(Bad::Shape)?;
    if head.kind == "error" {
        return Err(head.error.into());
    }
    let answer: Answer<'_> = serde_json::from_slice(bytes).map_err(Bad::Shape)?;
    let reason = answer.stop_reason.ok_or(Bad::NotEnded)?;
    let mut said = vec![Event::Start {
        id: answer.id,
        model: answer.model,
    }];
    let mut calls = 0;
    for block in answer.content {
        let Some(block) = known::<Block<'_>>(block, &BLOCKS)? else {
            continue;
        };
        let before = said.len();
        say_block(&block, calls, &mut said);
        if block.kind == "tool_use" {
            if said.len() - before == 1 {
                let json = "{}".to_owned();
                said.push(Event::Arguments { index: calls, json });
            }
            calls += 1;
        }
    }
    said.push(Event::Finish(finish(&reason)));
    said.extend(answer.usage.unwrap_or_default().usage().map(Event::Usage));
    Ok(said)
}
