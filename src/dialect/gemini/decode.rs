//! Gemini's answers as events. A stream has no mark for its end: it is complete when its body ends
//! after a `finishReason`, which some models repeat on every piece, as they do the token counts.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::seal::mark;
use crate::dialect::whole::Whole;
use crate::types::{Event, Finish, Usage};

/// What the upstream sent is not an answer.
#[derive(Debug, thiserror::Error)]
pub enum Bad {
    /// Not JSON of the expected shape.
    #[error("upstream sent something that is not a gemini answer: {0}")]
    Shape(#[source] serde_json::Error),
    /// An error object under a success status.
    #[error("upstream reported an error inside its answer: {0}")]
    Error(String),
    /// The model wrote a call that is none, or went wrong in another way of its own.
    #[error("the model's answer cannot be used: {0}")]
    Broken(String),
    /// The conversation holds a call without the seal that came with it.
    #[error("a tool call came back without its thought signature")]
    Unsealed,
    /// A whole answer without a reason for its end.
    #[error("upstream sent an answer that is not finished")]
    NotDone,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    candidates: Option<Vec<Candidate<'a>>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Counts>,
    model_version: Option<String>,
    response_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default, borrow)]
    content: Option<Content<'a>>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(default, borrow)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Part<'a> {
    text: Option<String>,
    thought: Option<bool>,
    thought_signature: Option<String>,
    #[serde(borrow)]
    function_call: Option<Called<'a>>,
    inline_data: Option<Blob>,
    executable_code: Option<Code>,
    code_execution_result: Option<Outcome>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(default)]
    id: Option<String>,
    name: String,
    #[serde(default, borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    mime_type: String,
    data: String,
}

#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    language: Option<String>,
    code: String,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    output: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    #[serde(default)]
    block_reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Counts {
    prompt_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    total_token_count: Option<u64>,
}

impl Counts {
    fn usage(&self) -> Usage {
        let count = |given: Option<u64>| given.unwrap_or(0);
        let prompt =
            count(self.prompt_token_count).saturating_add(count(self.tool_use_prompt_token_count));
        let thoughts = count(self.thoughts_token_count);
        let usage = Usage::new(
            prompt,
            count(self.candidates_token_count).saturating_add(thoughts),
        );
        Usage {
            total_tokens: self.total_token_count.unwrap_or(usage.total_tokens),
            cached_tokens: count(self.cached_content_token_count),
            reasoning_tokens: thoughts,
            ..usage
        }
    }
}

/// Turns the messages of one answer into events.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    calls: u32,
    finish: Option<Finish>,
    usage: Option<Usage>,
    done: bool,
}

impl Decoder {
    /// The answer is complete; known only once its body has ended.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What one message says, appended to `said`: an object, or an array of some, as errors and
    /// streams without `alt=sse` come.
    ///
    /// # Errors
    /// [`Bad`]; read no further.
    pub fn message(&mut self, bytes: &[u8], said: &mut Vec<Event>) -> Result<(), Bad> {
        if bytes.trim_ascii_start().starts_with(b"[") {
            let pieces: Vec<Piece<'_>> = serde_json::from_slice(bytes).map_err(Bad::Shape)?;
            return pieces
                .into_iter()
                .try_for_each(|piece| self.piece(piece, said));
        }
        let piece = serde_json::from_slice(bytes).map_err(Bad::Shape)?;
        self.piece(piece, said)
    }

    /// The body has ended: the finish held back until now, and the counts that came last.
    pub fn ended(&mut self, said: &mut Vec<Event>) {
        if self.done {
            return;
        }
        if let Some(finish) = self.finish {
            self.done = true;
            said.push(Event::Finish(finish));
            said.extend(self.usage.map(Event::Usage));
        }
    }

    fn piece(&mut self, piece: Piece<'_>, said: &mut Vec<Event>) -> Result<(), Bad> {
        if let Some(error) = piece.error {
            return Err(Bad::Error(error.get().chars().take(500).collect()));
        }
        if !std::mem::replace(&mut self.started, true) {
            said.push(Event::Start {
                id: piece.response_id.unwrap_or_default(),
                model: piece.model_version.unwrap_or_default(),
            });
        }
        if let Some(counts) = piece.usage_metadata {
            self.usage = Some(counts.usage());
        }
        let blocked = piece.prompt_feedback.and_then(|said| said.block_reason);
        if blocked.is_some_and(|reason| !reason.is_empty()) {
            self.finish = Some(Finish::ContentFilter);
        }
        let candidates = piece.candidates.unwrap_or_default();
        for candidate in candidates
            .into_iter()
            .filter(|one| one.index.unwrap_or(0) == 0)
        {
            let parts = candidate.content.and_then(|content| content.parts);
            for part in parts.unwrap_or_default() {
                self.part(part, said);
            }
            if let Some(reason) = candidate.finish_reason.filter(|reason| !reason.is_empty()) {
                self.finish = self.finish(&reason)?;
            }
        }
        // a call may come in the piece after its reason
        if self.calls > 0 && self.finish == Some(Finish::Stop) {
            self.finish = Some(Finish::ToolCalls);
        }
        Ok(())
    }

    /// The list of reasons is open: one nobody has heard of ends the answer all the same.
    fn finish(&self, reason: &str) -> Result<Option<Finish>, Bad> {
        Ok(Some(match reason {
            "FINISH_REASON_UNSPECIFIED" => return Ok(self.finish),
            "STOP" => Finish::Stop,
            "MAX_TOKENS" => Finish::Length,
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "MODEL_ARMOR" => Finish::ContentFilter,
            "MISSING_THOUGHT_SIGNATURE" => return Err(Bad::Unsealed),
            "MALFORMED_FUNCTION_CALL"
            | "MALFORMED_RESPONSE"
            | "UNEXPECTED_TOOL_CALL"
            | "TOO_MANY_TOOL_CALLS" => return Err(Bad::Broken(reason.to_owned())),
            _ if self.calls > 0 => Finish::ToolCalls,
            _ => Finish::Other,
        }))
    }

    fn part(&mut self, part: Part<'_>, said: &mut Vec<Event>) {
        let mut seal = part.thought_signature.filter(|seal| !seal.is_empty());
        let text = part.text.filter(|text| !text.is_empty());
        if let Some(text) = text {
            said.push(match part.thought {
                Some(true) => Event::Thinking(text),
                Some(false) | None => Event::Text(text),
            });
        }
        if let Some(call) = part.function_call {
            self.call(call, seal.take(), said);
        }
        let shown = [
            part.inline_data.as_ref().map(image),
            part.executable_code.as_ref().map(code),
            part.code_execution_result.as_ref().and_then(outcome),
        ];
        said.extend(shown.into_iter().flatten().map(Event::Text));
        said.extend(seal.map(|seal| Event::Signature(mark(&seal))));
    }

    fn call(&mut self, call: Called<'_>, signature: Option<String>, said: &mut Vec<Event>) {
        let index = self.calls;
        self.calls = self.calls.saturating_add(1);
        let made_up = || format!("call_{}", uuid::Uuid::now_v7().simple());
        let args = call.args.map_or("{}", RawValue::get);
        said.push(Event::ToolCall {
            index,
            id: call.id.filter(|id| !id.is_empty()).unwrap_or_else(made_up),
            name: call.name,
            signature,
        });
        said.push(Event::Arguments {
            index,
            json: args.to_owned(),
        });
    }
}

/// A picture has no place of its own in an answer, but in Markdown it has.
fn image(blob: &Blob) -> String {
    let Blob { mime_type, data } = blob;
    let kind = mime_type.split('/').next().unwrap_or_default();
    format!("![{kind}](data:{mime_type};base64,{data})")
}

fn code(given: &Code) -> String {
    let language = given.language.as_deref().unwrap_or_default();
    let language = language.to_ascii_lowercase();
    format!("\n```{language}\n{}\n```\n", given.code)
}

fn outcome(given: &Outcome) -> Option<String> {
    let output = given.output.as_deref()?;
    Some(format!("\n```\n{output}\n```\n"))
}

/// Reads a whole answer.
///
/// # Errors
/// [`Bad`] when it is not one.
pub fn whole(bytes: &[u8]) -> Result<Whole, Bad> {
    let (mut decoder, mut said) = (Decoder::default(), Vec::new());
    decoder.message(bytes, &mut said)?;
    decoder.ended(&mut said);
    if decoder.is_done() {
        Ok(Whole::of(said))
    } else {
        Err(Bad::NotDone)
    }
}
