//! A plugin in front of a scripted upstream: what it hears over HTTP it tells as events, and the
//! upstream's troubles become a plugin's.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http::{Method, StatusCode};
use llm_router::dialect::openai::decode::{self, Decoder};
use llm_router::dialect::sse::Splitter;
use llm_router::types;
use llm_router_proto::llm_router::plugin::v1;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};
use v1::backend_service_server::{BackendService, BackendServiceServer};
use v1::generate_event::Event;

use crate::client::Client;

/// A running plugin. Dropping it shuts its door.
#[derive(Debug)]
pub struct Relay {
    url: String,
    _serving: JoinSet<()>,
}

impl Relay {
    /// Listens on a free port and asks the OpenAI-shaped upstream at `upstream` (`host:port`).
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.context("a port for a plugin")?;
        let url = format!("http://{}", listener.local_addr()?);
        let plugin = Plugin {
            upstream: Client::new(upstream)?,
        };
        let server = Server::builder()
            .add_service(BackendServiceServer::new(plugin))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(server.await) });
        Ok(Relay {
            url,
            _serving: serving,
        })
    }

    /// What a config names as its `base_url`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

#[derive(Debug)]
struct Plugin {
    upstream: Client,
}

type Told = Result<v1::GenerateEvent, Status>;

#[tonic::async_trait]
impl BackendService for Plugin {
    type GenerateStream = BoxStream<'static, Told>;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Err(Status::unimplemented(
            "a scripted upstream takes everything",
        ))
    }

    async fn generate(
        &self,
        request: Request<v1::GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let asked = request.into_inner();
        let mut body: Value = serde_json::from_slice(&asked.request)
            .map_err(|bad| Status::invalid_argument(format!("no JSON: {bad}")))?;
        body["model"] = Value::from(asked.model);
        body["stream"] = Value::from(asked.stream);
        if asked.stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        let question = self.upstream.request(Method::POST, "/v1/chat/completions");
        let answer = question.json(&body).send().await;
        let answer = answer.map_err(|lost| lost_with(&lost))?;
        if answer.status() != StatusCode::OK {
            return Err(refused(answer).await);
        }
        if asked.stream {
            return Ok(Response::new(streamed(answer)));
        }
        let whole = answer.bytes().await.map_err(|lost| lost_with(&lost))?;
        let said = decode::whole(&whole).map_err(garbled)?;
        Ok(Response::new(
            stream::iter(said.into_iter().map(told)).boxed(),
        ))
    }

    async fn embed(
        &self,
        _: Request<v1::EmbedRequest>,
    ) -> Result<Response<v1::EmbedResponse>, Status> {
        Err(Status::unimplemented("a scripted upstream only talks"))
    }
}

/// What is left to say of a stream.
struct Reading {
    answer: reqwest::Response,
    splitter: Splitter,
    decoder: Decoder,
    ended: bool,
}

/// Says what comes as it comes; a stream that ends too early ends without a finish.
fn streamed(answer: reqwest::Response) -> BoxStream<'static, Told> {
    let reading = Reading {
        answer,
        splitter: Splitter::with_limit(1 << 20),
        decoder: Decoder::default(),
        ended: false,
    };
    stream::unfold(reading, |mut reading| async move {
        let told = reading.more().await?;
        reading.ended |= told.iter().any(Result::is_err);
        Some((stream::iter(told), reading))
    })
    .flatten()
    .boxed()
}

impl Reading {
    async fn more(&mut self) -> Option<Vec<Told>> {
        while !self.ended {
            match self.splitter.next_event() {
                Some(Ok(event)) if event.data == "[DONE]" => return None,
                Some(Ok(event)) => {
                    let said = self.decoder.chunk(&event.data).map_err(garbled);
                    return Some(match said {
                        Ok(said) => said.into_iter().map(told).collect(),
                        Err(status) => vec![Err(status)],
                    });
                }
                Some(Err(long)) => return Some(vec![Err(garbled(long))]),
                None => match self.answer.chunk().await {
                    Ok(Some(piece)) => self.splitter.push(piece),
                    Ok(None) => return None,
                    Err(lost) => return Some(vec![Err(lost_with(&lost))]),
                },
            }
        }
        None
    }
}

fn told(event: types::Event) -> Told {
    let event = match event {
        types::Event::Start { id, model } => Event::Start(v1::Start { id, model }),
        types::Event::Text(text) => Event::Text(text),
        types::Event::Refusal(text) => Event::Refusal(text),
        types::Event::Thinking(text) => Event::Thinking(text),
        types::Event::Signature(seal) => Event::Signature(seal),
        types::Event::Redacted(data) => Event::Redacted(data),
        types::Event::ToolCall {
            index,
            id,
            name,
            signature,
        } => Event::ToolCall(v1::ToolCall {
            index,
            id,
            name,
            signature,
        }),
        types::Event::Arguments { index, json } => Event::Arguments(v1::Arguments { index, json }),
        types::Event::Usage(usage) => Event::Usage(v1::Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
        }),
        types::Event::Finish(finish) => Event::Finish(v1::Finish {
            reason: reason(finish).into(),
        }),
    };
    Ok(v1::GenerateEvent { event: Some(event) })
}

fn reason(finish: types::Finish) -> v1::FinishReason {
    match finish {
        types::Finish::Stop => v1::FinishReason::Stop,
        types::Finish::Length => v1::FinishReason::Length,
        types::Finish::ToolCalls => v1::FinishReason::ToolCalls,
        types::Finish::ContentFilter => v1::FinishReason::ContentFilter,
        types::Finish::Other => v1::FinishReason::Other,
    }
}

fn lost_with(lost: &reqwest::Error) -> Status {
    Status::unavailable(format!("the model is lost: {lost}"))
}

fn garbled(why: impl std::fmt::Display) -> Status {
    Status::data_loss(format!("the model makes no sense: {why}"))
}

/// An upstream's refusal in a plugin's words.
async fn refused(answer: reqwest::Response) -> Status {
    let (status, wait) = (answer.status(), wait(&answer));
    let body: Bytes = answer.bytes().await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = body["error"]["message"].as_str().unwrap_or("refused");
    match status.as_u16() {
        429 => patient(tonic::Code::ResourceExhausted, message, wait),
        503 => patient(tonic::Code::Unavailable, message, wait),
        401 | 403 => Status::unauthenticated(message),
        400 if body["error"]["code"] == "context_length_exceeded" => Status::out_of_range(message),
        400..=499 => Status::invalid_argument(message),
        _ => Status::internal(message),
    }
}

fn patient(code: tonic::Code, message: &str, wait: Option<Duration>) -> Status {
    match wait {
        Some(wait) => {
            Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(wait)))
        }
        None => Status::new(code, message),
    }
}

/// How long the upstream asks to be left alone, where it says so in a number.
fn wait(answer: &reqwest::Response) -> Option<Duration> {
    let number =
        |name: &str| -> Option<u64> { answer.headers().get(name)?.to_str().ok()?.parse().ok() };
    let seconds = number("retry-after").map(Duration::from_secs);
    number("retry-after-ms")
        .map(Duration::from_millis)
        .or(seconds)
}
