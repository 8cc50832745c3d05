//! `POST /v1/responses`. The node keeps no responses: what would fetch or delete one is told so.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Request;

use super::chat::{assemble, describe, with_id};
use super::events::{self, Write, named};
use super::{auth, body, errors};
use crate::api::options::{Options, request_id, wants_explanation};
use crate::api::status;
use crate::app::Node;
use crate::dialect::responses::encode::Written;
use crate::dialect::responses::{Echo, Encoder, decode, read};
use crate::dialect::transcode;
use crate::error::{Error, Kind};
use crate::inference::{Reply, ReplyBody, Source};
use crate::types::{ChatRequest, Chunk, Dialect, Moment};

/// Answers a request, whole or as a stream.
pub(super) async fn create(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let source = Source {
        door: "http",
        path: "/v1/responses",
        arrived: Moment::now(),
    };
    let id = request_id(request.headers());
    let explain = wants_explanation(request.headers());
    let (request, echo) = match understand(source, request).await {
        Ok(understood) => understood,
        Err(error) => {
            node.engine.refused(source, Some(&id), &error);
            return with_id(errors::render(&error), id.as_str());
        }
    };
    let request = ChatRequest {
        id: id.clone(),
        ..request
    };
    let answered = node.engine.chat_from(source, request).await;
    match answered.and_then(|reply| render(reply, echo, explain)) {
        Ok(response) => response,
        Err(error) => with_id(errors::render(&error), id.as_str()),
    }
}

/// Fetching or deleting a response.
pub(super) async fn kept(Path(id): Path<String>) -> Response {
    let id: String = id.chars().take(128).collect();
    let message = format!(
        "response `{id}` is not here: this node keeps no responses, every answer is `store: false`"
    );
    errors::render(&Error::new(Kind::NotFound, message).with_param("response_id"))
}

async fn understand(source: Source, request: Request<Body>) -> Result<(ChatRequest, Echo), Error> {
    let options = Options::read(request.headers(), source.arrived)?;
    let tenant = auth::tenant(request.extensions());
    let (_, bytes) = body::read(request).await?;
    let inbound = read(&bytes)?;
    let request = assemble(Options { tenant, ..options }, inbound.chat);
    let request = ChatRequest {
        // the last event carries the counts
        include_usage: request.stream,
        ..request
    };
    Ok((request, inbound.echo))
}

fn render(reply: Reply, echo: Echo, explain: bool) -> Result<Response, Error> {
    let Reply { meta, body } = reply;
    let encoder = Encoder::new(echo, meta.model.as_str());
    let mut response = match body {
        ReplyBody::Complete(answer) if answer.dialect == Dialect::Responses => {
            errors::json_response(200, answer.raw)
        }
        ReplyBody::Complete(answer) => {
            let whole = transcode::whole(&answer).map_err(unreadable)?;
            errors::json_response(200, encoder.whole(whole))
        }
        ReplyBody::Stream(stream) => {
            let writer = Events {
                encoder,
                decoder: transcode::Decoder::default(),
                passing: None,
            };
            events::response(events::pieces(0, stream), writer)
        }
    };
    describe(&meta, explain, response.headers_mut());
    Ok(response)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::UpstreamFailed, "the answer could not be read").with_source(error)
}

/// Named events: an upstream's own as they came, or made from whatever it speaks.
struct Events {
    encoder: Encoder,
    decoder: transcode::Decoder,
    /// The upstream's own events are passed on; the number of the next.
    passing: Option<u64>,
}

impl Events {
    fn pass(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<(), Error> {
        let seen = decode::passed(&chunk.raw).map_err(unreadable)?;
        let next = seen.sequence.saturating_add(1);
        self.passing = Some(next);
        self.encoder.after(next, seen.id);
        named(&seen.name, &chunk.raw, out);
        Ok(())
    }
}

fn write(events: Vec<Written>, out: &mut Vec<u8>) {
    for event in events {
        named(&event.name, &event.data, out);
    }
}

impl Write for Events {
    fn chunk(&mut self, _: u64, chunk: &Chunk, out: &mut Vec<u8>) -> Result<(), Error> {
        if chunk.dialect == Dialect::Responses {
            return self.pass(chunk, out);
        }
        for event in self.decoder.events(chunk).map_err(unreadable)? {
            write(self.encoder.said(event), out);
        }
        Ok(())
    }

    fn failed(&mut self, error: &Error, out: &mut Vec<u8>) {
        let code = status::of(error.kind).openai_code.unwrap_or("server_error");
        write(self.encoder.failed(code, &error.message), out);
    }

    fn ended(&mut self, out: &mut Vec<u8>) {
        // an upstream's own stream has its own end
        if self.passing.is_none() {
            write(self.encoder.ended(), out);
        }
    }
}
