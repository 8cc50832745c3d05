//! A model of one's own, as small as it can be: a plugin that counts words.
//!
//! ```text
//! plugin [--listen 127.0.0.1:9000]
//! ```
//!
//! It prints where it listens. A router asks it once its config has
//! `{ provider: plugin, model: counter, base_url: "http://127.0.0.1:9000" }`. The same in Python is
//! `testnet/python/plugin_example.py`; what everything means stands in
//! `proto/llm_router/plugin/v1/backend.proto`.

use std::io::Write as _;
use std::net::SocketAddr;

use clap::Parser;
use futures::stream::{self, BoxStream, StreamExt};
use llm_router_proto::llm_router::plugin::v1;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use v1::backend_service_server::{BackendService, BackendServiceServer};
use v1::generate_event::Event;

const MODEL: &str = "counter";

#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
}

/// Says how many words it was given, one word of it at a time.
#[derive(Debug)]
struct Counter;

#[tonic::async_trait]
impl BackendService for Counter {
    type GenerateStream = BoxStream<'static, Result<v1::GenerateEvent, Status>>;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Ok(Response::new(v1::DescribeResponse {
            name: "the word counter".to_owned(),
            models: vec![MODEL.to_owned()],
            capabilities: Some(v1::Capabilities {
                tools: Some(false),
                vision: Some(false),
                prefill: Some(false),
                json_schema: Some(false),
                embeddings: Some(true),
            }),
            uncarried_parameters: vec!["temperature".to_owned(), "logprobs".to_owned()],
        }))
    }

    async fn generate(
        &self,
        request: Request<v1::GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let asked = request.into_inner();
        if asked.model != MODEL {
            return Err(Status::not_found(format!("there is only {MODEL}")));
        }
        let text = last_words(&asked.request)?;
        let count = words(&text);
        let answer = format!("you said {count} words");
        let events = answer
            .split_inclusive(' ')
            .map(|word| Event::Text(word.to_owned()))
            .chain([
                Event::Finish(v1::Finish {
                    reason: v1::FinishReason::Stop.into(),
                }),
                Event::Usage(v1::Usage {
                    prompt_tokens: count,
                    completion_tokens: words(&answer),
                    ..v1::Usage::default()
                }),
            ])
            .map(|event| Ok(v1::GenerateEvent { event: Some(event) }))
            .collect::<Vec<_>>();
        Ok(Response::new(stream::iter(events).boxed()))
    }

    async fn embed(
        &self,
        request: Request<v1::EmbedRequest>,
    ) -> Result<Response<v1::EmbedResponse>, Status> {
        let texts = request.into_inner().texts;
        if texts.is_empty() {
            return Err(Status::invalid_argument("only texts can be embedded"));
        }
        let counts: Vec<u64> = texts.iter().map(|text| words(text)).collect();
        let vector = |count: &u64| v1::Vector {
            values: vec![u16::try_from(*count).map_or(f32::MAX, f32::from), 1.0],
        };
        Ok(Response::new(v1::EmbedResponse {
            model: String::new(),
            vectors: counts.iter().map(vector).collect(),
            usage: Some(v1::Usage {
                prompt_tokens: counts.iter().sum(),
                ..v1::Usage::default()
            }),
        }))
    }
}

/// The text of the last message.
fn last_words(request: &[u8]) -> Result<String, Status> {
    let request: Value = serde_json::from_slice(request)
        .map_err(|bad| Status::invalid_argument(format!("the request is no JSON: {bad}")))?;
    let messages = request["messages"].as_array();
    let last = messages.and_then(|messages| messages.last());
    let text = last.and_then(|message| message["content"].as_str());
    text.map(str::to_owned)
        .ok_or_else(|| Status::invalid_argument("the last message has no text"))
}

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind(Arguments::parse().listen).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    Server::builder()
        .add_service(BackendServiceServer::new(Counter))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}
