//! What has to hold for any input.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use llm_router::dialect::json::Object;
use llm_router::dialect::lines::Lines;
use llm_router::dialect::openai::decode;
use llm_router::dialect::sse::Splitter;
use llm_router::types::Event;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::Target;
use super::wire::Wire;

/// No input takes longer to be read.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// A limit of lines and events that inputs reach.
const SHORT: usize = 4 << 10;

/// Reads inputs as the node would.
pub(super) struct Oracle {
    target: Target,
    wire: Option<Wire>,
}

impl Oracle {
    pub(super) async fn new(target: Target) -> anyhow::Result<Self> {
        let wire = match target {
            Target::Sse | Target::Lines | Target::Json | Target::Events => None,
            Target::OpenAi
            | Target::Responses
            | Target::Anthropic
            | Target::Gemini
            | Target::Ollama
            | Target::Errors
            | Target::Vectors => Some(Wire::new(target).await?),
        };
        Ok(Oracle { target, wire })
    }

    /// Whether `input` was a finished answer, read as a stream or as a whole one.
    pub(super) async fn read(&self, input: &[u8], stream: bool) -> anyhow::Result<bool> {
        match self.target {
            Target::Sse => sse(input)?,
            Target::Lines => lines(input)?,
            Target::Json => json(input)?,
            Target::Events => events(input)?,
            Target::OpenAi
            | Target::Responses
            | Target::Anthropic
            | Target::Gemini
            | Target::Ollama
            | Target::Errors
            | Target::Vectors => {
                let wire = self.wire.as_ref().context("no wire")?;
                let read = timeout(LIMIT, wire.read(input, stream)).await;
                return read.context("no end within five seconds")?;
            }
        }
        Ok(false)
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
