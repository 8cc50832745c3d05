//! OpenAI's older completions: a prompt in, text out. A prompt is asked as a chat of one user
//! message; whatever the chat answers is the completion.
//!
//! What a chat cannot do is refused rather than ignored: text after the gap (`suffix`), the prompt
//! repeated with its log probabilities (`echo`, `logprobs`), a choice among hidden tries
//! (`best_of`), token ids. Unlike OpenAI's, an answer without `max_tokens` is not cut at 16 tokens.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::json::{Object, raw};
use super::openai::content;
use super::openai::request::MAX_CHOICES;
use super::openai::{BadRequest, ChatBody};
use crate::types::{Chunk, Completion, Usage};

/// Most prompts of one request.
pub const MAX_PROMPTS: usize = 64;
/// Fields of the chat that a completion has not.
const CHATS: [&str; 7] = [
    "messages",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "audio",
    "modalities",
];

/// A request that was read.
#[derive(Clone, Debug)]
pub struct Asked {
    /// One chat for each prompt.
    pub chats: Vec<ChatBody>,
    /// Choices of each.
    pub choices: u64,
    /// It wants a stream.
    pub stream: bool,
    /// It wants token counts in the stream.
    pub include_usage: bool,
}

impl Asked {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// [`BadRequest`] names the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadRequest> {
        let mut object = Object::parse(bytes)?;
        let given = object
            .remove("prompt")
            .ok_or(BadRequest::Missing("prompt"))?;
        let prompts = prompts(&given)?;
        refuse(&object)?;
        for ours in ["best_of", "echo", "logprobs", "suffix"] {
            object.remove(ours);
        }
        let chats = prompts.iter().map(|prompt| {
            let mut chat = object.clone();
            chat.set(
                "messages",
                raw(&[json!({"role": "user", "content": prompt})]),
            );
            ChatBody::from_object(chat).map(ChatBody::as_translated)
        });
        let chats = chats.collect::<Result<Vec<_>, _>>()?;
        let first = chats.first().ok_or(BadRequest::Missing("prompt"))?;
        let asked = Asked {
            choices: first.choices(),
            stream: first.wants_stream(),
            include_usage: first.wants_usage(),
            chats,
        };
        let all = asked.choices.saturating_mul(asked.chats.len() as u64);
        if all > MAX_CHOICES {
            let problem = format!("times the number of prompts must not be over {MAX_CHOICES}");
            return Err(field("n", problem));
        }
        Ok(asked)
    }
}

fn prompts(given: &RawValue) -> Result<Vec<String>, BadRequest> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Text(String),
        Texts(Vec<String>),
    }
    let prompts = match serde_json::from_str(given.get()) {
        Ok(Given::Text(text)) => vec![text],
        Ok(Given::Texts(texts)) => texts,
        Err(_) => {
            let problem = "must be a string or an array of strings: token ids are not taken";
            return Err(field("prompt", problem));
        }
    };
    if prompts.is_empty() || prompts.iter().any(String::is_empty) {
        return Err(field("prompt", "must not be empty"));
    }
    if prompts.len() > MAX_PROMPTS {
        return Err(field(
            "prompt",
            format!("holds more than {MAX_PROMPTS} prompts"),
        ));
    }
    Ok(prompts)
}

/// What no chat can do.
fn refuse(object: &Object) -> Result<(), BadRequest> {
    let said = |name: &str| {
        let value = object.get(name).map(RawValue::get);
        value.filter(|value| !matches!(*value, "null" | "false" | "\"\""))
    };
    if said("suffix").is_some() {
        return Err(field(
            "suffix",
            "is not supported: models are asked as chats",
        ));
    }
    if said("echo").is_some() {
        return Err(field("echo", "is not supported: models are asked as chats"));
    }
    if said("logprobs").is_some() {
        return Err(field(
            "logprobs",
            "is not supported: use /v1/chat/completions",
        ));
    }
    let n: u64 = object.read("n").unwrap_or(1);
    let best: Option<u64> = object.read("best_of");
    if said("best_of").is_some() && best != Some(n) {
        return Err(field(
            "best_of",
            "must equal `n`: no choice is made among hidden tries",
        ));
    }
    if CHATS.iter().any(|name| said(name).is_some()) {
        let problem = "does not go with `messages` and tools: use /v1/chat/completions";
        return Err(field("prompt", problem));
    }
    Ok(())
}

fn field(param: &'static str, problem: impl Into<String>) -> BadRequest {
    BadRequest::Field {
        param,
        problem: problem.into(),
    }
}

/// Writes the answers of one request.
#[derive(Clone, Debug)]
pub struct Writer {
    id: String,
    created: u64,
    choices: u64,
    include_usage: bool,
    model: String,
    usage: Option<Usage>,
}

#[derive(Default, Deserialize)]
struct Seen<'a> {
    #[serde(default)]
    model: Option<String>,
    #[serde(default, borrow)]
    choices: Option<Vec<Choice<'a>>>,
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

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    refusal: Option<String>,
}

impl Said<'_> {
    /// A completion has no place for a refusal but the text.
    fn text(self) -> Result<String, serde_json::Error> {
        Ok(content::text(self.content)? + &self.refusal.unwrap_or_default())
    }
}

impl Writer {
    /// Of the answers to this request.
    pub fn new(asked: &Asked) -> Self {
        Writer {
            id: format!("cmpl-{}", uuid::Uuid::now_v7().simple()),
            created: crate::types::unix_seconds(),
            choices: asked.choices,
            include_usage: asked.include_usage,
            model: asked.chats.first().map(ChatBody::model).unwrap_or_default(),
            usage: None,
        }
    }

    /// All whole answers as one, in the order of their prompts.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn whole(mut self, answers: &[Completion]) -> Result<Vec<u8>, serde_json::Error> {
        let mut choices = Vec::new();
        for (prompt, answer) in (0..).zip(answers) {
            let seen: Seen<'_> = serde_json::from_slice(&answer.raw)?;
            self.name(seen.model);
            self.count(answer.tap.usage);
            choices.extend(self.written(prompt, seen.choices, true)?);
        }
        let mut body = self.body(choices);
        if let Some(usage) = self.usage {
            body["usage"] = json!(usage);
        }
        Ok(body.to_string().into_bytes())
    }

    /// A chunk of the answer to one prompt; `None` when it says nothing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn chunk(
        &mut self,
        prompt: u64,
        chunk: &Chunk,
    ) -> Result<Option<Vec<u8>>, serde_json::Error> {
        let seen: Seen<'_> = serde_json::from_slice(&chunk.raw)?;
        self.name(seen.model);
        self.count(chunk.tap.usage);
        let choices = self.written(prompt, seen.choices, false)?;
        if choices.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.body(choices).to_string().into_bytes()))
    }

    /// What comes last: the token counts of all answers together, where they are wanted.
    pub fn counts(&self) -> Option<Vec<u8>> {
        let usage = self.usage.filter(|_| self.include_usage)?;
        let mut body = self.body(Vec::new());
        body["usage"] = json!(usage);
        Some(body.to_string().into_bytes())
    }

    fn body(&self, choices: Vec<Value>) -> Value {
        json!({"id": self.id, "object": "text_completion", "created": self.created,
            "model": self.model, "choices": choices})
    }

    fn name(&mut self, model: Option<String>) {
        if let Some(model) = model.filter(|model| !model.is_empty()) {
            self.model = model;
        }
    }

    fn count(&mut self, usage: Option<Usage>) {
        let Some(new) = usage else { return };
        let known = self.usage.unwrap_or_default();
        self.usage = Some(Usage {
            cached_tokens: known.cached_tokens.saturating_add(new.cached_tokens),
            cache_write_tokens: known
                .cache_write_tokens
                .saturating_add(new.cache_write_tokens),
            reasoning_tokens: known.reasoning_tokens.saturating_add(new.reasoning_tokens),
            ..Usage::new(
                known.prompt_tokens.saturating_add(new.prompt_tokens),
                known
                    .completion_tokens
                    .saturating_add(new.completion_tokens),
            )
        });
    }

    /// Choices are numbered over all prompts.
    fn written(
        &self,
        prompt: u64,
        choices: Option<Vec<Choice<'_>>>,
        whole: bool,
    ) -> Result<Vec<Value>, serde_json::Error> {
        let mut written = Vec::new();
        for choice in choices.unwrap_or_default() {
            let said = choice.delta.or(choice.message);
            let text = said.unwrap_or_default().text()?;
            let finish = choice.finish_reason.filter(|reason| !reason.is_empty());
            let index = prompt
                .saturating_mul(self.choices)
                .saturating_add(choice.index);
            if whole || !text.is_empty() || finish.is_some() {
                written.push(json!({"text": text, "index": index, "logprobs": null,
                    "finish_reason": finish}));
            }
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests;
