//! What an upstream that speaks Responses says, as [`Event`]s: its stream, and its whole answers.

use serde::Deserialize;
use serde_json::Value;

use crate::dialect::openai::tap::Garbled;
use crate::types::{Event, Finish, Usage};

/// Most output items whose calls are told apart.
const MAX_ITEMS: usize = 1024;

/// Turns the events of one stream into ours.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    done: bool,
    /// Items that are function calls, by their place in the output.
    calls: Vec<u64>,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    output_index: u64,
    #[serde(default)]
    item: Option<Item>,
    #[serde(default)]
    response: Option<Response>,
}

#[derive(Default, Deserialize)]
struct Response {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    output: Vec<Item>,
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

#[derive(Default, Deserialize)]
struct Item {
    #[serde(default)]
    id: Option<String>,
    #[serde(default, rename = "type")]
    kind: String,
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
        let sent: Sent = serde_json::from_slice(data).map_err(Garbled::Shape)?;
        let mut events = Vec::new();
        let delta = || match &sent.delta {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(_) | None => None,
        };
        match sent.kind.as_str() {
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(&sent.response.unwrap_or_default(), &mut events);
            }
            "response.output_text.delta" => events.extend(delta().map(Event::Text)),
            "response.refusal.delta" => events.extend(delta().map(Event::Refusal)),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                events.extend(delta().map(Event::Thinking));
            }
            "response.function_call_arguments.delta" => {
                let index = self.calls.iter().position(|at| *at == sent.output_index);
                let index = index.and_then(|index| u32::try_from(index).ok());
                let more = index.zip(delta());
                events.extend(more.map(|(index, json)| Event::Arguments { index, json }));
            }
            "response.output_item.added" | "response.output_item.done" => {
                let is_done = sent.kind.ends_with("done");
                let item = sent.item.unwrap_or_default();
                self.item(sent.output_index, (item, is_done), &mut events);
            }
            "response.completed" | "response.incomplete" => {
                let response = sent.response.unwrap_or_default();
                self.start(&response, &mut events);
                self.end(response, &mut events);
            }
            "response.failed" | "response.cancelled" => {
                let error = sent.response.and_then(|response| response.error);
                return Err(reported(error));
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

    fn start(&mut self, response: &Response, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start {
                id: response.id.clone(),
                model: response.model.clone().unwrap_or_default(),
            });
        }
    }

    fn item(&mut self, at: u64, (item, is_done): (Item, bool), events: &mut Vec<Event>) {
        match item.kind.as_str() {
            "message" | "" => {}
            "function_call" if self.calls.contains(&at) || self.calls.len() >= MAX_ITEMS => {}
            "function_call" => {
                let index = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
                self.calls.push(at);
                call(index, item, events);
            }
            "reasoning" => {
                let sealed = item.encrypted_content.filter(|_| is_done);
                events.extend(sealed.map(Event::Redacted));
            }
            // a tool of the upstream's own is at work
            _ if is_done => {}
            _ => events.push(Event::Redacted(item.id.unwrap_or_default())),
        }
    }

    fn end(&mut self, response: Response, events: &mut Vec<Event>) {
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
    let mut response: Response = serde_json::from_slice(raw).map_err(Garbled::Shape)?;
    if matches!(response.status.as_deref(), Some("failed" | "cancelled")) {
        return Err(reported(response.error));
    }
    if response.status.is_none() {
        return Err(Garbled::NoChoice);
    }
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    decoder.start(&response, &mut events);
    for (at, item) in (0..).zip(std::mem::take(&mut response.output)) {
        match item.kind.as_str() {
            "message" => said(item.content.unwrap_or_default(), &mut events),
            "reasoning" => {
                let texts = item.summary.into_iter().chain(item.content).flatten();
                let texts = texts
                    .filter_map(|part| part.text)
                    .filter(|text| !text.is_empty());
                events.extend(texts.map(Event::Thinking));
                events.extend(item.encrypted_content.map(Event::Redacted));
            }
            _ => decoder.item(at, (item, false), &mut events),
        }
    }
    decoder.end(response, &mut events);
    Ok(events)
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

fn finish(response: &Response, called: bool) -> Finish {
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

/// The upstream's own error, as JSON.
fn reported(error: Option<Value>) -> Garbled {
    let text = error.unwrap_or(Value::Null).to_string();
    Garbled::Error(text.chars().take(500).collect())
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
    struct Seen {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        sequence_number: u64,
        #[serde(default)]
        response: Option<About>,
    }
    let seen: Seen = serde_json::from_slice(data).map_err(Garbled::Shape)?;
    Ok(Passed {
        // it stands on a line of its own
        name: seen.kind.chars().filter(|c| !c.is_control()).collect(),
        sequence: seen.sequence_number,
        id: seen.response.and_then(|response| response.id),
    })
}
