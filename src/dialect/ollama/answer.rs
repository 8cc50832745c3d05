//! Ollama's answers as events.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::whole::Whole;
use crate::types::{Event, Finish, Usage};

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

/// A call, whole: Ollama sends no fragments.
fn call(index: u32, call: Called<'_>, said: &mut Vec<Event>) {
    let made_up = || format!("call_{}", uuid::Uuid::now_v7().simple());
    let json = match call.function.arguments {
        None => "{}".to_owned(),
        // some forks already send a string
        Some(text) if text.get().starts_with('"') => {
            serde_json::from_str(text.get()).unwrap_or_else(|_| text.get().to_owned())
        }
        Some(object) => object.get().to_owned(),
    };
    said.push(Event::ToolCall {
        index,
        id: call.id.filter(|id| !id.is_empty()).unwrap_or_else(made_up),
        name: call.function.name,
        signature: None,
    });
    said.push(Event::Arguments { index, json });
}

/// Turns the lines of one answer into events.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    calls: u32,
    done: bool,
}

impl Decoder {
    /// The answer is complete; what follows means nothing.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What one line says, appended to `said`.
    ///
    /// # Errors
    /// [`Bad`]; read no further.
    pub fn line(&mut self, bytes: &[u8], said: &mut Vec<Event>) -> Result<(), Bad> {
        let mut line = parse(bytes)?;
        let message = line.message.take().unwrap_or_default();
        if !std::mem::replace(&mut self.started, true) {
            let (id, model) = Default::default();
            said.push(Event::Start { id, model });
        }
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        said.extend(filled(message.thinking).map(Event::Thinking));
        said.extend(filled(message.content).map(Event::Text));
        for called in message.tool_calls.unwrap_or_default() {
            call(self.calls, called, said);
            self.calls = self.calls.saturating_add(1);
        }
        if line.done {
            self.done = true;
            said.push(Event::Finish(line.finish(self.calls > 0)?));
            said.extend(line.usage().map(Event::Usage));
        }
        Ok(())
    }
}

/// Reads a whole answer.
///
/// # Errors
/// [`Bad`] when it is not one.
pub fn whole(bytes: &[u8]) -> Result<Whole, Bad> {
    let (mut decoder, mut said) = (Decoder::default(), Vec::new());
    decoder.line(bytes, &mut said)?;
    if decoder.is_done() {
        Ok(Whole::of(said))
    } else {
        Err(Bad::NotDone)
    }
}
