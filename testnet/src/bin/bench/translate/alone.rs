//! The translation by itself, without sockets, queue and books: what a request and its whole answer,
//! and one piece of a streamed answer, cost between two dialects.

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::Context as _;
use bytes::Bytes;
use llm_router::dialect::anthropic::{self, Defaults, Purpose, Version};
use llm_router::dialect::openai::build::Head;
use llm_router::dialect::openai::{ChatBody, decode};
use llm_router::dialect::whole::Whole;
use llm_router::dialect::{gemini, ollama, responses, transcode};
use llm_router::types::{Chunk, Completion, Event};
use llm_router_testnet::backends::Backend;
use llm_router_testnet::doors::{Door, Question};
use llm_router_testnet::table::Table;
use tokio::time::Instant;

use super::{BACKENDS, CHUNK_BUDGET, DOORS, REQUEST_BUDGET, Recorded, ask, key, micros, middle};

/// Times everything is done.
const RUNS: usize = 4000;
/// Words of a piece that are not looked at: the first announces the answer.
const PIECE: usize = 3;

/// Prints one table.
pub(super) fn report(recorded: &Recorded) -> anyhow::Result<()> {
    let mut table = Table::new(&["client over provider", "request us", "chunk us"]);
    let mut worst = (0.0_f64, 0.0_f64);
    for door in DOORS {
        for backend in BACKENDS {
            let request = request(door, backend, recorded)?;
            let chunk = chunk(door, backend, recorded)?;
            worst = (worst.0.max(request), worst.1.max(chunk));
            table.row(vec![
                format!("{} over {}", door.name(), backend.name()),
                format!("{request:.1}"),
                format!("{chunk:.2}"),
            ]);
        }
    }
    println!("\ntranslation alone, p50 of {RUNS}\n{table}");
    println!(
        "most: {:.1} us a request (budget {REQUEST_BUDGET}), {:.2} us a chunk (budget {CHUNK_BUDGET})",
        worst.0, worst.1
    );
    Ok(())
}

fn timed(mut once: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut took = Vec::with_capacity(RUNS);
    for run in 0..RUNS + RUNS / 10 {
        let began = Instant::now();
        once()?;
        if run >= RUNS / 10 {
            took.push(micros(began.elapsed()));
        }
    }
    Ok(middle(&took))
}

/// A short whole answer, or a long stream.
fn answer(recorded: &Recorded, backend: Backend, stream: bool) -> anyhow::Result<&Bytes> {
    let model = if stream { "long" } else { "short" };
    let (path, _) = ask(backend, model, "", stream);
    let found = recorded.get(&(key(&path, model), stream));
    Ok(&found.context("nothing recorded")?.1)
}

/// A request to the upstream's bytes, and its whole answer to the client's.
fn request(door: Door, backend: Backend, recorded: &Recorded) -> anyhow::Result<f64> {
    let question = Question::new("m", "a question of some ten words, as people ask them");
    let (_, body) = door.request(&question).context("no body")?;
    let (body, raw) = (body.to_string(), answer(recorded, backend, false)?);
    let same = is_same(door, backend);
    timed(|| {
        let (chat, echo) = read(door, body.as_bytes())?;
        black_box(sent(&chat, backend)?);
        let whole = whole(backend, raw)?;
        if !same {
            let between = Head::new("m").whole(&whole);
            black_box(written(door, &between, echo)?);
        }
        Ok(())
    })
}

fn is_same(door: Door, backend: Backend) -> bool {
    matches!(
        (door, backend),
        (Door::Chat, Backend::OpenAi) | (Door::Messages, Backend::Anthropic)
    )
}

fn read(door: Door, body: &[u8]) -> anyhow::Result<(ChatBody, Option<responses::Echo>)> {
    match door {
        Door::Messages => {
            let version = Version::June2023;
            let chat = anthropic::to_openai(body, Purpose::Answer, version, None)?;
            Ok((chat, None))
        }
        Door::Responses => {
            let read = responses::read(body)?;
            Ok((read.chat, Some(read.echo)))
        }
        Door::Chat | Door::Completions | Door::Grpc => Ok((ChatBody::parse(body)?, None)),
    }
}

fn sent(chat: &ChatBody, backend: Backend) -> anyhow::Result<Vec<u8>> {
    let none = BTreeMap::new();
    match backend {
        Backend::Anthropic => Ok(anthropic::to_native(
            chat,
            "m",
            false,
            &Defaults::default(),
        )?),
        Backend::Gemini => gemini::to_native(chat, "m", &none)
            .map_err(|lost| anyhow::anyhow!("cannot be told: {lost:?}")),
        Backend::Ollama => Ok(ollama::to_native(chat, "m", false, &none)?),
        Backend::OpenAi | Backend::Azure | Backend::Plugin => {
            Ok(chat.to_upstream_as("m", false, &none))
        }
    }
}

fn whole(backend: Backend, raw: &[u8]) -> anyhow::Result<Whole> {
    match backend {
        Backend::Anthropic => Ok(Whole::of(anthropic::decode::whole(raw)?)),
        Backend::Gemini => Ok(gemini::decode::whole(raw)?),
        Backend::Ollama => Ok(ollama::answer::whole(raw)?),
        Backend::OpenAi | Backend::Azure | Backend::Plugin => Ok(Whole::of(decode::whole(raw)?)),
    }
}

fn written(
    door: Door,
    between: &Completion,
    echo: Option<responses::Echo>,
) -> anyhow::Result<Bytes> {
    match door {
        Door::Messages => Ok(anthropic::message(&transcode::whole(between)?, "m")),
        Door::Responses => {
            let encoder = responses::Encoder::new(echo.context("no request")?, "m");
            Ok(encoder.whole(transcode::whole(between)?))
        }
        Door::Chat | Door::Completions | Door::Grpc => Ok(between.raw.clone()),
    }
}

/// One piece of an answer, from the upstream's bytes to the client's.
fn chunk(door: Door, backend: Backend, recorded: &Recorded) -> anyhow::Result<f64> {
    let raw = answer(recorded, backend, true)?;
    let text = String::from_utf8_lossy(raw);
    let lines = backend == Backend::Ollama;
    let said = text.lines().filter_map(|line| match lines {
        true => Some(line),
        false => line.strip_prefix("data: "),
    });
    let piece = said
        .filter(|line| line.contains("word"))
        .nth(PIECE)
        .context("no piece recorded")?
        .as_bytes()
        .to_vec();
    let mut upstream = Decoders::default();
    let mut client = Client::new(door)?;
    let head = Head::new("m");
    let same = is_same(door, backend);
    timed(|| {
        for event in upstream.events(backend, &piece)? {
            if !same {
                client.hear(&head.said(&event))?;
            }
        }
        Ok(())
    })
}

#[derive(Default)]
struct Decoders {
    openai: decode::Decoder,
    anthropic: anthropic::Decoder,
    gemini: gemini::Decoder,
    ollama: ollama::Decoder,
}

impl Decoders {
    fn events(&mut self, backend: Backend, raw: &[u8]) -> anyhow::Result<Vec<Event>> {
        let mut said = Vec::new();
        match backend {
            Backend::Anthropic => self.anthropic.message(raw, &mut said)?,
            Backend::Gemini => self.gemini.message(raw, &mut said)?,
            Backend::Ollama => self.ollama.line(raw, &mut said)?,
            Backend::OpenAi | Backend::Azure | Backend::Plugin => said = self.openai.chunk(raw)?,
        }
        Ok(said)
    }
}

/// The door's side of a stream.
struct Client {
    door: Door,
    decoder: transcode::Decoder,
    messages: anthropic::Encoder,
    responses: responses::Encoder,
}

impl Client {
    fn new(door: Door) -> anyhow::Result<Self> {
        let echo = responses::read(br#"{"model":"m","input":"x"}"#)?.echo;
        Ok(Client {
            door,
            decoder: transcode::Decoder::default(),
            messages: anthropic::Encoder::new("m"),
            responses: responses::Encoder::new(echo, "m"),
        })
    }

    fn hear(&mut self, chunk: &Chunk) -> anyhow::Result<()> {
        match self.door {
            Door::Messages => {
                for event in self.decoder.events(chunk)? {
                    self.messages.say(event);
                }
                black_box(self.messages.take());
            }
            Door::Responses => {
                for event in self.decoder.events(chunk)? {
                    black_box(self.responses.said(event));
                }
            }
            Door::Chat | Door::Completions | Door::Grpc => {
                black_box(&chunk.raw);
            }
        }
        Ok(())
    }
}
