//! A provider, and a server that gives it whatever comes next.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Response, StatusCode};
use http_body_util::Full;
use llm_router::dialect::openai::ChatBody;
use llm_router::dialect::responses;
use llm_router::provider::{Answer, Call, Class, EmbedCall, Provider, Timeouts, from_config};
use llm_router::types::{Inputs, Moment};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Target;
use super::oracle::LIMIT;
use crate::listen;

/// Statuses under which errors come, in turn.
const REFUSALS: [u16; 8] = [400, 401, 404, 413, 429, 500, 503, 529];
/// Nobody waits longer for an upstream, whatever it asks for.
const MOST_PATIENCE: Duration = Duration::from_secs(300);
/// Most bytes of an error's body that are kept.
const MOST_KEPT: usize = 64 << 10;
/// A line for people is no longer.
const MOST_TOLD: usize = 2 << 10;

/// Providers off a connection, each in turn.
pub(super) struct Wire {
    target: Target,
    providers: Vec<Arc<dyn Provider>>,
    turn: AtomicUsize,
    next: Arc<Mutex<(StatusCode, Bytes)>>,
    body: Arc<ChatBody>,
    /// What every whole answer of the dialect has.
    mark: &'static str,
    _serving: JoinSet<()>,
}

impl Wire {
    pub(super) async fn new(target: Target) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let next = Arc::new(Mutex::new((StatusCode::OK, Bytes::new())));
        let given = Arc::clone(&next);
        let kind = match target {
            Target::Ollama => "application/x-ndjson",
            Target::Errors | Target::Vectors => "application/json",
            Target::OpenAi
            | Target::Responses
            | Target::Anthropic
            | Target::Gemini
            | Target::Sse
            | Target::Lines
            | Target::Json
            | Target::Events => "text/event-stream",
        };
        let mut serving = JoinSet::new();
        serving.spawn(listen::serve(listener, move |_| {
            let (status, bytes) = given.lock().clone();
            async move {
                let mut response = Response::new(Full::new(bytes));
                *response.status_mut() = status;
                let kind = http::HeaderValue::from_static(kind);
                response.headers_mut().insert("content-type", kind);
                Ok::<_, Infallible>(response)
            }
        }));
        let responses = target == Target::Responses;
        let messages = [("user".to_owned(), "x".to_owned())];
        let body = match responses {
            true => responses::read(br#"{"model":"m","input":"x"}"#)?.chat,
            false => ChatBody::from_messages("m", &messages)?,
        };
        let providers = kinds(target).iter().map(|kind| {
            let mut model = serde_json::json!({"provider": kind, "model": "m",
                "base_url": format!("http://{address}")});
            if responses {
                model["options"] = serde_json::json!({"responses": true});
            }
            let model = serde_json::from_value(model).context("a provider of that name")?;
            Ok(from_config(&model, None)?)
        });
        Ok(Wire {
            target,
            providers: providers.collect::<anyhow::Result<_>>()?,
            turn: AtomicUsize::new(0),
            next,
            body: Arc::new(body),
            mark: match responses {
                true => "\"status\"",
                false => "\"choices\"",
            },
            _serving: serving,
        })
    }

    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn call(&self, stream: bool) -> Call {
        Call {
            body: Arc::clone(&self.body),
            model: Arc::from("m"),
            stream,
            deadline: Moment::now() + LIMIT,
            timeouts: Timeouts::default(),
            traceparent: None,
        }
    }

    /// Whether `input` was read as a finished answer.
    pub(super) async fn read(&self, input: &[u8], stream: bool) -> anyhow::Result<bool> {
        match self.target {
            Target::Errors => self.refuse(input, stream).await,
            Target::Vectors => self.embed(input).await,
            Target::OpenAi
            | Target::Responses
            | Target::Anthropic
            | Target::Gemini
            | Target::Ollama
            | Target::Sse
            | Target::Lines
            | Target::Json
            | Target::Events => self.answer(input, stream).await,
        }
    }

    async fn answer(&self, input: &[u8], stream: bool) -> anyhow::Result<bool> {
        *self.next.lock() = (StatusCode::OK, Bytes::copy_from_slice(input));
        let provider = &self.providers[self.turn() % self.providers.len()];
        let Ok(answer) = provider.generate(self.call(stream)).await else {
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

    /// Whatever an error says, it is one: short, without an end of line, and it asks for no more
    /// patience than anybody gets.
    async fn refuse(&self, input: &[u8], stream: bool) -> anyhow::Result<bool> {
        let turn = self.turn();
        let status = StatusCode::from_u16(REFUSALS[turn % REFUSALS.len()])?;
        *self.next.lock() = (status, Bytes::copy_from_slice(input));
        let provider = &self.providers[turn / REFUSALS.len() % self.providers.len()];
        let Err(failure) = provider.generate(self.call(stream)).await else {
            anyhow::bail!("an answer under status {status}");
        };
        ensure!(
            failure.body.len() <= MOST_KEPT,
            "{} bytes kept",
            failure.body.len()
        );
        let message = &failure.message;
        ensure!(message.len() <= MOST_TOLD, "{} bytes told", message.len());
        ensure!(!message.contains(['\n', '\r']), "told in several lines");
        let Class::Gate { retry_after } = failure.class else {
            return Ok(false);
        };
        ensure!(
            retry_after.unwrap_or_default() <= MOST_PATIENCE,
            "waits {retry_after:?}"
        );
        Ok(false)
    }

    /// Vectors are one for each input, finite, and none is empty.
    async fn embed(&self, input: &[u8]) -> anyhow::Result<bool> {
        *self.next.lock() = (StatusCode::OK, Bytes::copy_from_slice(input));
        let provider = &self.providers[self.turn() % self.providers.len()];
        let texts = vec!["x".to_owned(), "y".to_owned()];
        let call = EmbedCall {
            inputs: Arc::new(Inputs::Texts(texts)),
            model: Arc::from("m"),
            dimensions: None,
            user: None,
            deadline: Moment::now() + LIMIT,
            timeouts: Timeouts::default(),
            traceparent: None,
        };
        let Ok(made) = provider.embed(call).await else {
            return Ok(false);
        };
        ensure!(made.vectors.len() == 2, "{} vectors", made.vectors.len());
        let sound = |vector: &Vec<f32>| {
            !vector.is_empty() && vector.iter().all(|coordinate| coordinate.is_finite())
        };
        ensure!(made.vectors.iter().all(sound), "an unsound vector");
        Ok(true)
    }
}

/// Kinds of providers that read a target's bytes.
fn kinds(target: Target) -> &'static [&'static str] {
    match target {
        Target::Errors => &["openai", "anthropic", "gemini", "ollama"],
        Target::Vectors => &["openai", "gemini", "ollama"],
        Target::Anthropic => &["anthropic"],
        Target::Gemini => &["gemini"],
        Target::Ollama => &["ollama"],
        Target::OpenAi
        | Target::Responses
        | Target::Sse
        | Target::Lines
        | Target::Json
        | Target::Events => &["openai"],
    }
}
