//! What has to hold for any input.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use http::Response;
use http_body_util::Full;
use llm_router::dialect::json::Object;
use llm_router::dialect::lines::Lines;
use llm_router::dialect::openai::ChatBody;
use llm_router::dialect::openai::decode;
use llm_router::dialect::responses;
use llm_router::dialect::sse::Splitter;
use llm_router::provider::{Answer, Call, Provider, Timeouts, from_config};
use llm_router::types::{Event, Moment};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Target;
use crate::listen;

/// No input takes longer to be read.
const LIMIT: Duration = Duration::from_secs(5);
/// A limit of lines and events that inputs reach.
const SHORT: usize = 4 << 10;

/// Reads inputs as the node would.
pub(super) struct Oracle {
    target: Target,
    wire: Option<Wire>,
    finished: bool,
    /// Whole answers and streams take turns.
    turn: bool,
}

/// A provider, and a server that gives it whatever is in `next`.
struct Wire {
    provider: Arc<dyn Provider>,
    next: Arc<Mutex<Bytes>>,
    body: Arc<ChatBody>,
    mark: &'static str,
    _serving: JoinSet<()>,
}

impl Oracle {
    pub(super) async fn new(target: Target) -> anyhow::Result<Self> {
        let wire = match target {
            Target::Sse | Target::Lines | Target::Json | Target::Events => None,
            Target::OpenAi
            | Target::Responses
            | Target::Anthropic
            | Target::Gemini
            | Target::Ollama => Some(Wire::new(target).await?),
        };
        Ok(Oracle {
            target,
            wire,
            finished: false,
            turn: false,
        })
    }

    /// The last input was a finished answer.
    pub(super) fn finished(&self) -> bool {
        self.finished
    }

    pub(super) async fn read(&mut self, input: &[u8]) -> anyhow::Result<()> {
        self.finished = false;
        match self.target {
            Target::Sse => sse(input),
            Target::Lines => lines(input),
            Target::Json => json(input),
            Target::Events => events(input),
            Target::OpenAi
            | Target::Responses
            | Target::Anthropic
            | Target::Gemini
            | Target::Ollama => {
                self.turn = !self.turn;
                let stream = self.turn;
                let wire = self.wire.as_ref().context("no wire")?;
                let read = timeout(LIMIT, wire.read(input, stream)).await;
                self.finished = read.context("no end within five seconds")??;
                Ok(())
            }
        }
    }
}

/// Events are the same however the network cuts them, and none is over its limit.
fn sse(input: &[u8]) -> anyhow::Result<()> {
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut splitter = Splitter::with_limit(SHORT);
        let mut found = Vec::new();
        for piece in pieces {
            splitter.push(Bytes::copy_from_slice(piece));
            while let Some(event) = splitter.next_event() {
                let Ok(event) = event else {
                    return (found, false);
                };
                found.push(event);
            }
        }
        found.extend(splitter.rest());
        (found, true)
    };
    let whole = read(&mut std::iter::once(input));
    let pieces = read(&mut input.chunks(7));
    ensure!(whole == pieces, "pieces of seven bytes read otherwise");
    let longest = whole.0.iter().map(|event| event.data.len()).max();
    ensure!(longest.unwrap_or(0) <= SHORT, "an event over the limit");
    Ok(())
}

fn lines(input: &[u8]) -> anyhow::Result<()> {
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut lines = Lines::with_limit(SHORT);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(Bytes::copy_from_slice(piece));
            while let Some(line) = lines.next_line() {
                let Ok(line) = line else {
                    return (found, false);
                };
                found.push(line);
            }
        }
        (found, true)
    };
    let whole = read(&mut std::iter::once(input));
    let pieces = read(&mut input.chunks(7));
    ensure!(whole == pieces, "pieces of seven bytes read otherwise");
    Ok(())
}

/// What is read is written as what reads the same, and is JSON to anyone else.
fn json(input: &[u8]) -> anyhow::Result<()> {
    let Ok(object) = Object::parse(input) else {
        return Ok(());
    };
    let written = object.to_bytes();
    let again = Object::parse(&written).context("it does not read what it wrote")?;
    ensure!(again.to_bytes() == written, "it changes with every writing");
    // numbers and letters beyond what a reader can hold are JSON all the same
    serde_json::from_slice::<IgnoredAny>(&written).context("what it wrote is no JSON")?;
    Ok(())
}

/// Calls are counted from 0 without gaps, and say no more than was there.
fn events(input: &[u8]) -> anyhow::Result<()> {
    let mut splitter = Splitter::default();
    splitter.push(Bytes::copy_from_slice(input));
    let mut decoder = decode::Decoder::default();
    let (mut calls, mut said) = (0, 0);
    let mut read = |chunk: &[u8]| -> anyhow::Result<()> {
        for event in decoder.chunk(chunk).unwrap_or_default() {
            match event {
                Event::ToolCall { index, id, .. } => {
                    ensure!(index == calls, "call {index} after {calls}");
                    ensure!(!id.is_empty(), "a call without id");
                    calls += 1;
                }
                Event::Arguments { index, json } => {
                    ensure!(index < calls, "arguments of a call that did not begin");
                    said += json.len();
                }
                Event::Text(text) | Event::Refusal(text) | Event::Thinking(text) => {
                    said += text.len();
                }
                Event::Start { .. }
                | Event::Signature(_)
                | Event::Redacted(_)
                | Event::Usage(_)
                | Event::Finish(_) => {}
            }
        }
        Ok(())
    };
    read(input)?;
    while let Some(Ok(event)) = splitter.next_event() {
        read(&event.data)?;
    }
    ensure!(
        said <= 2 * input.len(),
        "{said} bytes said of {}",
        input.len()
    );
    Ok(())
}

impl Wire {
    async fn new(target: Target) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let next = Arc::new(Mutex::new(Bytes::new()));
        let given = Arc::clone(&next);
        let lines = target == Target::Ollama;
        let mut serving = JoinSet::new();
        serving.spawn(listen::serve(listener, move |_| {
            let bytes = given.lock().clone();
            async move {
                let mut response = Response::new(Full::new(bytes));
                let kind = if lines {
                    "application/x-ndjson"
                } else {
                    "text/event-stream"
                };
                let kind = http::HeaderValue::from_static(kind);
                response.headers_mut().insert("content-type", kind);
                Ok::<_, Infallible>(response)
            }
        }));
        let responses = target == Target::Responses;
        let mut model = serde_json::json!({"provider": target.name(), "model": "m",
            "base_url": format!("http://{address}")});
        if responses {
            model["provider"] = "openai".into();
            model["options"] = serde_json::json!({"responses": true});
        }
        let model = serde_json::from_value(model).context("a provider of that name")?;
        let messages = [("user".to_owned(), "x".to_owned())];
        let body = match responses {
            true => responses::read(br#"{"model":"m","input":"x"}"#)?.chat,
            false => ChatBody::from_messages("m", &messages)?,
        };
        Ok(Wire {
            provider: from_config(&model, None)?,
            next,
            body: Arc::new(body),
            // what every whole answer of the dialect has
            mark: if responses {
                "\"status\""
            } else {
                "\"choices\""
            },
            _serving: serving,
        })
    }

    /// Whether `input` was read as a finished answer.
    async fn read(&self, input: &[u8], stream: bool) -> anyhow::Result<bool> {
        *self.next.lock() = Bytes::copy_from_slice(input);
        let call = Call {
            body: Arc::clone(&self.body),
            model: Arc::from("m"),
            stream,
            deadline: Moment::now() + LIMIT,
            timeouts: Timeouts::default(),
            traceparent: None,
        };
        let Ok(answer) = self.provider.generate(call).await else {
            return Ok(false);
        };
        let most = 64 * input.len() + (64 << 10);
        match answer {
            Answer::Whole(whole) => {
                ensure!(
                    whole.raw.len() <= most,
                    "{} bytes of {}",
                    whole.raw.len(),
                    input.len()
                );
                let text = std::str::from_utf8(&whole.raw).context("an answer that is no text")?;
                serde_json::from_str::<IgnoredAny>(text).context("an answer that is no JSON")?;
                ensure!(
                    text.contains(self.mark),
                    "a whole answer without {}",
                    self.mark
                );
                Ok(true)
            }
            Answer::Stream(mut chunks) => {
                let (mut bytes, mut finished) = (0, false);
                while let Some(chunk) = chunks.next().await {
                    let Ok(chunk) = chunk else {
                        return Ok(false);
                    };
                    bytes += chunk.raw.len();
                    ensure!(bytes <= most, "{bytes} bytes of {}", input.len());
                    let text =
                        std::str::from_utf8(&chunk.raw).context("a chunk that is no text")?;
                    serde_json::from_str::<IgnoredAny>(text).context("a chunk that is no JSON")?;
                    finished |= chunk.tap.finish.is_some();
                }
                ensure!(finished, "it ended well and never said why");
                Ok(true)
            }
        }
    }
}
