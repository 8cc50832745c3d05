//! What an upstream that speaks Responses says, as [`Event`]s: its stream, and its whole answers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::dialect::openai::tap::Garbled;
use crate::types::{Event, Finish, Usage};

/// Most output items whose calls are told apart.
const MAX_ITEMS: usize = 1024;
/// Most characters of an upstream's error that are quoted.
const MAX_QUOTE: usize = 500;

/// Turns the events of one stream into ours.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    done: bool,
    /// Items that are function calls, by their place in the output.
    calls: Vec<u64>,
}

/// What an event holds is read once its kind is known to be one of ours: the others may look any
/// way, and so may the items of tools that run at the upstream.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, borrow)]
    delta: Option<&'a RawValue>,
    #[serde(default)]
    output_index: Option<u64>,
    #[serde(default, borrow)]
    item: Option<&'a RawValue>,
    #[serde(default, borrow)]
    response: Option<&'a RawValue>,
}

impl<'a> Sent<'a> {
    fn response(&self) -> Result<Response<'a>, Garbled> {
        let read = self.response.map(|given| serde_json::from_str(given.get()));
        Ok(read
            .transpose()
            .map_err(Garbled::Shape)?
            .unwrap_or_default())
    }

    /// The piece of text it adds; one that is not text adds none.
    fn delta(&self) -> Result<Option<String>, Garbled> {
        let text = self.delta.map(RawValue::get);
        let text = text.filter(|text| text.starts_with('"'));
        let read: Option<String> = text
            .map(serde_json::from_str)
            .transpose()
            .map_err(Garbled::Shape)?;
        Ok(read.filter(|text| !text.is_empty()))
    }
}

#[derive(Default, Deserialize)]
struct Response<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default, borrow)]
    output: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    incomplete_details: Option<Incomplete>,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: Option<String>,
}

/// What every item has.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(default, rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
}

/// A message, a call of a function, or thinking.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    content: Option<Vec<Said>>,
    #[serde(default)]
    summary: Option<Vec<Said>>,
    #[serde(default)]
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
    #[serde(default)]
    input_tokens_details: Option<Cached>,
    #[serde(default)]
    output_tokens_details: Option<Reasoned>,
}

#[derive(Deserialize)]
struct Cached {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Reasoned {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        let (input, output) = (
            counts.input_tokens.unwrap_or(0),
            counts.output_tokens.unwrap_or(0),
        );
        let cached = counts.input_tokens_details.and_then(|of| of.cached_tokens);
        let reasoned = counts
            .output_tokens_details
            .and_then(|of| of.reasoning_tokens);
        Usage {
            total_tokens: counts.total_tokens.unwrap_or(0),
            cached_tokens: cached.unwrap_or(0),
            reasoning_tokens: reasoned.unwrap_or(0),
            ..Usage::new(input, output)
        }
    }
}

impl Decoder {
    /// What one event's data says. Events without a word of ours say nothing.
    ///
    /// # Errors
    /// [`Garbled::Error`] with the upstream's own error as JSON; [`Garbled::Shape`] when it is no
    /// event.
    pub fn event(&mut self, data: &[u8]) -> Result<Vec<Event>, Garbled> {
        let sent: Sent<'_> = serde_json::from_slice(data).map_err(Garbled::Shape)?;
        let mut events = Vec::new();
        match sent.kind.as_str() {
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(&sent.response()?, &mut events);
            }
            "response.output_text.delta" => events.extend(sent.delta()?.map(Event::Text)),
            "response.refusal.delta" => events.extend(sent.delta()?.map(Event::Refusal)),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                events.extend(sent.delta()?.map(Event::Thinking));
            }
            "response.function_call_arguments.delta" => {
                let at = sent.output_index.unwrap_or(0);
                let index = self.calls.iter().position(|known| *known == at);
                let index = index.and_then(|index| u32::try_from(index).ok());
                let more = index.zip(sent.delta()?);
                events.extend(more.map(|(index, json)| Event::Arguments { index, json }));
            }
            "response.output_item.added" | "response.output_item.done" => {
                let is_done = sent.kind.ends_with("done");
                if let Some(item) = sent.item {
                    let at = sent.output_index.unwrap_or(0);
                    self.item(at, (item, is_done), &mut events)?;
                }
            }
            "response.completed" | "response.incomplete" => {
                let response = sent.response()?;
                self.start(&response, &mut events);
                self.end(response, &mut events);
            }
            "response.failed" | "response.cancelled" => {
                return Err(reported(sent.response()?.error));
            }
            // an error is an event of its own shape: its code and message stand at the top
            "error" => return Err(reported(serde_json::from_slice(data).ok())),
            _ => {}
        }
        Ok(events)
    }

    /// The answer is complete.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn start(&mut self, response: &Response<'_>, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start {
                id: response.id.clone().unwrap_or_default(),
                model: response.model.clone().unwrap_or_default(),
            });
        }
    }

    fn item(
        &mut self,
        at: u64,
        (item, is_done): (&RawValue, bool),
        events: &mut Vec<Event>,
    ) -> Result<(), Garbled> {
        let Kind { kind, id } = serde_json::from_str(item.get()).map_err(Garbled::Shape)?;
        match kind.as_ref() {
            "message" | "" => {}
            "function_call" if self.calls.contains(&at) || self.calls.len() >= MAX_ITEMS => {}
            "function_call" => {
                let index = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
                self.calls.push(at);
                call(index, typed(item)?, events);
            }
            "reasoning" if is_done => {
                let sealed = typed(item)?.encrypted_content;
                events.extend(sealed.map(Event::Redacted));
            }
            "reasoning" => {}
            // a tool of the upstream's own is at work
            _ if is_done => {}
            _ => {
                let id = id.and_then(|id| serde_json::from_str(id.get()).ok());
                events.push(Event::Redacted(id.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn end(&mut self, response: Response<'_>, events: &mut Vec<Event>) {
        self.done = true;
        let called = !self.calls.is_empty();
        events.push(Event::Finish(finish(&response, called)));
        events.extend(response.usage.map(|counts| Event::Usage(counts.into())));
    }
}

/// What a whole answer says.
///
/// # Errors
/// As [`Decoder::event`]; a response that failed is an error.
pub fn whole(raw: &[u8]) -> Result<Vec<Event>, Garbled> {
    let mut response: Response<'_> = serde_json::from_slice(raw).map_err(Garbled::Shape)?;
    if matches!(response.status.as_deref(), Some("failed" | "cancelled")) {
        return Err(reported(response.error));
    }
    if response.status.is_none() {
        return Err(Garbled::NoChoice);
    }
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.start(&response, &mut events);
    let output = response.output.take().unwrap_or_default();
    for (at, item) in (0..).zip(output) {
        let Kind { kind, .. } = serde_json::from_str(item.get()).map_err(Garbled::Shape)?;
        match kind.as_ref() {
            "message" => said(typed(item)?.content.unwrap_or_default(), &mut events),
            "reasoning" => {
                let item = typed(item)?;
                let texts = item.summary.into_iter().chain(item.content).flatten();
                let texts = texts
                    .filter_map(|part| part.text)
                    .filter(|text| !text.is_empty());
                events.extend(texts.map(Event::Thinking));
                events.extend(item.encrypted_content.map(Event::Redacted));
            }
            _ => decoder.item(at, (item, false), &mut events)?,
        }
    }
    decoder.end(response, &mut events);
    Ok(events)
}

fn typed(item: &RawValue) -> Result<Item, Garbled> {
    serde_json::from_str(item.get()).map_err(Garbled::Shape)
}

fn said(parts: Vec<Said>, events: &mut Vec<Event>) {
    for part in parts {
        match part.kind.as_str() {
            "refusal" => events.extend(part.refusal.map(Event::Refusal)),
            _ => events.extend(part.text.map(Event::Text)),
        }
    }
}

fn call(index: u32, item: Item, events: &mut Vec<Event>) {
    let made_up = || format!("call_{}", uuid::Uuid::now_v7().simple());
    events.push(Event::ToolCall {
        index,
        id: item
            .call_id
            .filter(|id| !id.is_empty())
            .unwrap_or_else(made_up),
        name: item.name.unwrap_or_default(),
        signature: None,
    });
    let json = item.arguments.filter(|json| !json.is_empty());
    events.extend(json.map(|json| Event::Arguments { index, json }));
}

fn finish(response: &Response<'_>, called: bool) -> Finish {
    let reason = response.incomplete_details.as_ref();
    let reason = reason.and_then(|details| details.reason.as_deref());
    match (response.status.as_deref(), reason) {
        (Some("incomplete"), Some("content_filter")) => Finish::ContentFilter,
        (Some("incomplete"), _) => Finish::Length,
        // it is made in the background
        (Some("queued" | "in_progress"), _) => Finish::Other,
        _ if called => Finish::ToolCalls,
        _ => Finish::Stop,
    }
}

/// The upstream's own error, as JSON that is cut where it is text, so that it stays JSON.
fn reported(error: Option<Value>) -> Garbled {
    let mut error = error.unwrap_or_default();
    if let Some(inner) = error.get_mut("error").filter(|inner| inner.is_object()) {
        error = inner.take();
    }
    match &mut error {
        Value::String(text) => clip(text),
        Value::Object(fields) => {
            if let Some(Value::String(message)) = fields.get_mut("message") {
                clip(message);
            }
            // codes are short
            fields.retain(|name, value| name == "message" || value.to_string().len() <= MAX_QUOTE);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
    Garbled::Error(error.to_string())
}

fn clip(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_QUOTE) {
        text.truncate(end);
    }
}

/// What a door that passes events on needs of one: its name, its number, the response's id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The event's name.
    pub name: String,
    /// Its place in the stream.
    pub sequence: u64,
    /// The response it is about, where it says so.
    pub id: Option<String>,
}

/// Reads what is needed to pass an event on.
///
/// # Errors
/// [`Garbled::Shape`] when it is no event.
pub fn passed(data: &[u8]) -> Result<Passed, Garbled> {
    #[derive(Deserialize)]
    struct About {
        #[serde(default)]
        id: Option<String>,
    }
    #[derive(Deserialize)]
    struct Seen<'a> {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        sequence_number: Option<u64>,
        #[serde(default, borrow)]
        response: Option<&'a RawValue>,
    }
    let seen: Seen<'_> = serde_json::from_slice(data).map_err(Garbled::Shape)?;
    let about: Option<About> = seen
        .response
        .and_then(|response| serde_json::from_str(response.get()).ok());
    Ok(Passed {
        // it stands on a line of its own
        name: seen.kind.chars().filter(|c| !c.is_control()).collect(),
        sequence: seen.sequence_number.unwrap_or(0),
        id: about.and_then(|response| response.id),
    })
}
