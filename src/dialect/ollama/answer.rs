//! Ollama's answers in OpenAI's shape.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::dialect::openai::build::{Head, Parts};
use crate::types::{Chunk, Completion, Finish, Usage};

/// What the upstream sent is not an answer.
#[derive(Debug, thiserror::Error)]
pub enum Bad {
    /// Not JSON of the expected shape.
    #[error("upstream sent something that is not an ollama answer: {0}")]
    Shape(#[source] serde_json::Error),
    /// An error under a success status.
    #[error("upstream reported an error inside its answer: {0}")]
    Error(String),
    /// It loaded or unloaded the model and answered nothing.
    #[error("upstream answered nothing: done because of `{0}`")]
    NoAnswer(String),
    /// A whole answer that says it is not done.
    #[error("upstream sent an answer that is not done")]
    NotDone,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
    #[serde(default, borrow)]
    message: Option<Said<'a>>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<Called<'a>>>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    name: String,
    #[serde(default, borrow)]
    arguments: Option<&'a RawValue>,
}

fn parse(bytes: &[u8]) -> Result<Line<'_>, Bad> {
    let line: Line<'_> = serde_json::from_slice(bytes).map_err(Bad::Shape)?;
    let error = line
        .error
        .filter(|error| !matches!(error.get(), "null" | "\"\""));
    match error {
        Some(error) => {
            let text = serde_json::from_str(error.get()).unwrap_or_else(|_| error.get().to_owned());
            Err(Bad::Error(text.chars().take(500).collect()))
        }
        None => Ok(line),
    }
}

impl Line<'_> {
    fn usage(&self) -> Option<Usage> {
        let counted = self.prompt_eval_count.is_some() || self.eval_count.is_some();
        counted.then(|| {
            Usage::new(
                self.prompt_eval_count.unwrap_or(0),
                self.eval_count.unwrap_or(0),
            )
        })
    }

    /// Tool calls win over the reason given: OpenAI's clients look for `tool_calls`.
    fn finish(&self, called: bool) -> Result<Finish, Bad> {
        match self.done_reason.as_deref() {
            Some(reason @ ("load" | "unload")) => Err(Bad::NoAnswer(reason.to_owned())),
            _ if called => Ok(Finish::ToolCalls),
            None | Some("stop") => Ok(Finish::Stop),
            Some("length") => Ok(Finish::Length),
            Some(_) => Ok(Finish::Other),
        }
    }
}

fn openai_call(index: u64, call: Called<'_>) -> Value {
    let made_up = || format!("call_{}", uuid::Uuid::now_v7().simple());
    let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(made_up);
    let arguments = match call.function.arguments {
        None => "{}".to_owned(),
        // some forks already send a string
        Some(text) if text.get().starts_with('"') => {
            serde_json::from_str(text.get()).unwrap_or_else(|_| text.get().to_owned())
        }
        Some(object) => object.get().to_owned(),
    };
    json!({"index": index, "id": id, "type": "function",
           "function": {"name": call.function.name, "arguments": arguments}})
}

/// Turns the lines of one stream into chunks.
#[derive(Debug)]
pub struct Decoder {
    head: Head,
    announced: bool,
    calls: u64,
    done: bool,
}

impl Decoder {
    /// A decoder whose chunks carry `head`.
    pub fn new(head: Head) -> Self {
        Decoder {
            head,
            announced: false,
            calls: 0,
            done: false,
        }
    }

    /// The answer is complete; what follows means nothing.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Chunks of one line: at most a role, thinking, text, calls, an end and a usage chunk.
    ///
    /// # Errors
    /// [`Bad`]; read no further.
    pub fn line(&mut self, bytes: &[u8]) -> Result<Vec<Chunk>, Bad> {
        let mut line = parse(bytes)?;
        let said = line.message.take().unwrap_or_default();
        let mut chunks = Vec::new();
        if !std::mem::replace(&mut self.announced, true) {
            chunks.push(self.head.role());
        }
        if let Some(thinking) = said.thinking.filter(|text| !text.is_empty()) {
            chunks.push(self.head.reasoning(&thinking));
        }
        if let Some(text) = said.content.filter(|text| !text.is_empty()) {
            chunks.push(self.head.text(&text));
        }
        let calls = said.tool_calls.unwrap_or_default();
        if !calls.is_empty() {
            let calls: Vec<Value> = (self.calls..)
                .zip(calls)
                .map(|(index, call)| openai_call(index, call))
                .collect();
            self.calls += calls.len() as u64;
            chunks.push(self.head.tool_calls(&Value::Array(calls)));
        }
        if line.done {
            self.done = true;
            chunks.push(self.head.finish(line.finish(self.calls > 0)?));
            chunks.extend(line.usage().map(|usage| self.head.usage(usage)));
        }
        Ok(chunks)
    }
}

/// Reads a whole answer.
///
/// # Errors
/// [`Bad`] when it is not one.
pub fn whole(head: &Head, bytes: &[u8]) -> Result<Completion, Bad> {
    let mut line = parse(bytes)?;
    if !line.done {
        return Err(Bad::NotDone);
    }
    let said = line.message.take().unwrap_or_default();
    let calls = said.tool_calls.unwrap_or_default();
    let finish = line.finish(!calls.is_empty())?;
    let calls: Vec<Value> = (0..)
        .zip(calls)
        .map(|(index, call)| {
            let mut call = openai_call(index, call);
            // only fragments of a stream are numbered
            call.as_object_mut().map(|fields| fields.remove("index"));
            call
        })
        .collect();
    let parts = Parts {
        text: said.content.as_deref().unwrap_or_default(),
        reasoning: said.thinking.as_deref().unwrap_or_default(),
        calls: &if calls.is_empty() {
            Value::Null
        } else {
            Value::Array(calls)
        },
    };
    Ok(head.answer(parts, finish, line.usage()))
}
