//! `chat`: ask a model; the answer streams to the terminal.

use std::io::{IsTerminal, Read};
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::{Failed, MODEL_PATIENCE};
use super::output::{Format, Out};
use super::{Code, Context};
use crate::types::Priority;

/// Largest prompt read from stdin, in bytes.
const MAX_PROMPT_BYTES: usize = 1 << 20;
/// Longest line of a stream, in bytes.
const MAX_LINE_BYTES: usize = 4 << 20;

/// Ask a model; the answer streams to the terminal.
#[derive(Clone, Debug, Args)]
pub struct Chat {
    /// Model, route or `auto`.
    #[arg(short = 'm', long, default_value = "auto")]
    pub model: String,
    /// A system message.
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// How to ask.
    #[command(flatten)]
    pub manner: Manner,
    /// The prompt; read from stdin when it is not given or is `-`.
    pub prompt: Option<String>,
}

/// What a request says beside its body.
#[derive(Clone, Debug, Default, Args)]
pub struct Manner {
    /// Admission level: critical, high, normal or low.
    #[arg(long, value_name = "LEVEL")]
    pub priority: Option<Priority>,
    /// A tag, as key=value; may be repeated.
    #[arg(long = "tag", value_name = "K=V", value_parser = tag)]
    pub tags: Vec<String>,
}

fn tag(text: &str) -> Result<String, &'static str> {
    match text.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() && !text.contains(',') => Ok(text.to_owned()),
        Some(_) | None => Err("expected key=value, without commas"),
    }
}

impl Manner {
    /// Puts it into headers.
    pub(super) fn apply(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(priority) = self.priority {
            request = request.header("x-llm-router-priority", priority.as_str());
        }
        if !self.tags.is_empty() {
            request = request.header("x-llm-router-tags", self.tags.join(","));
        }
        request
    }
}

/// Asks and prints. `--output json` prints the whole answer object instead.
///
/// # Errors
/// The node refuses, is not there, or the answer breaks off.
pub async fn run(verb: Chat, context: &Context) -> anyhow::Result<Code> {
    let prompt = match verb.prompt.as_deref() {
        Some("-") | None => stdin()?,
        Some(prompt) => prompt.to_owned(),
    };
    let streams = context.out.format() == Format::Table;
    let system = verb
        .system
        .map(|text| json!({"role": "system", "content": text}));
    let user = json!({"role": "user", "content": prompt});
    let messages: Vec<Value> = system.into_iter().chain([user]).collect();
    let body = json!({"model": verb.model, "messages": messages, "stream": streams});
    let node = context.client()?;
    let request = node
        .request(Method::POST, "/v1/chat/completions")
        .timeout(MODEL_PATIENCE);
    let request = verb.manner.apply(request.json(&body));
    if streams {
        print_stream(node.send(request).await?, &context.out).await?;
    } else {
        let answer = node.whole(request).await?;
        context.out.answer(&answer, String::new)?;
    }
    Ok(Code::Ok)
}

fn stdin() -> anyhow::Result<String> {
    anyhow::ensure!(
        !std::io::stdin().is_terminal(),
        "say something: llm-router chat \"hello\", or pipe the prompt in"
    );
    read_text(Path::new("-"), MAX_PROMPT_BYTES)
}

/// The text of a file, or of stdin for `-`, of at most `limit` bytes.
///
/// # Errors
/// It cannot be read, or is longer.
pub(super) fn read_text(path: &Path, limit: usize) -> anyhow::Result<String> {
    let name = if path.as_os_str() == "-" {
        "stdin".to_owned()
    } else {
        path.display().to_string()
    };
    let reader: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin().lock()),
        false => {
            Box::new(std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?)
        }
    };
    let mut text = String::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(most)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    anyhow::ensure!(text.len() <= limit, "{name} is over {limit} bytes");
    Ok(text)
}

/// Prints the text of a stream as it comes. A stream without its end mark was cut off.
async fn print_stream(mut response: reqwest::Response, out: &Out) -> anyhow::Result<()> {
    let mut pending: Vec<u8> = Vec::new();
    let broken = |error: reqwest::Error| Failed::Broken(error.without_url().to_string());
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        pending.extend_from_slice(&piece);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            match event(&String::from_utf8_lossy(&line))? {
                Event::Nothing => {}
                Event::Text(text) => out.text(&text)?,
                Event::End => {
                    out.text("\n")?;
                    return Ok(());
                }
            }
        }
        if pending.len() > MAX_LINE_BYTES {
            return Err(Failed::Broken("a line over 4 MiB".to_owned()).into());
        }
    }
    out.text("\n")?;
    Err(Failed::Broken("the stream ended early".to_owned()).into())
}

enum Event {
    Nothing,
    Text(String),
    End,
}

/// One line of the stream.
fn event(line: &str) -> Result<Event, Failed> {
    let Some(data) = line.trim_end().strip_prefix("data:").map(str::trim_start) else {
        return Ok(Event::Nothing);
    };
    if data == "[DONE]" {
        return Ok(Event::End);
    }
    let chunk: Value = super::client::json(data)?;
    if let Some(message) = chunk["error"]["message"].as_str() {
        return Err(Failed::Broken(message.to_owned()));
    }
    let delta = &chunk["choices"][0]["delta"];
    let calls = delta["tool_calls"].as_array().into_iter().flatten();
    let calls: String = calls
        .flat_map(|call| [&call["function"]["name"], &call["function"]["arguments"]])
        .filter_map(Value::as_str)
        .collect();
    let text = delta["content"].as_str().unwrap_or_default().to_owned() + &calls;
    Ok(if text.is_empty() {
        Event::Nothing
    } else {
        Event::Text(text)
    })
}
