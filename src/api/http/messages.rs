//! `POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's dialect.

mod stream;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request};
use serde_json::json;

use super::chat::{assemble, describe, event_stream, set, unreadable, with_id};
use super::errors::{anthropic, json_response};
use super::{auth, body};
use crate::api::options::{Options, request_id, wants_explanation};
use crate::app::Node;
use crate::dialect::anthropic::{BETA, Purpose, VERSION, Version, message, to_openai};
use crate::dialect::transcode;
use crate::error::Error;
use crate::inference::{Reply, ReplyBody, Source};
use crate::types::{CacheMode, ChatRequest, Completion, Dialect, Moment, RequestId};

/// Answers a request, whole or as a stream.
pub(super) async fn create(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let source = Source {
        door: "http",
        path: "/v1/messages",
        arrived: Moment::now(),
    };
    let id = request_id(request.headers());
    let explain = wants_explanation(request.headers());
    let chat = match read(request, &id, (source, Purpose::Answer)).await {
        Ok(chat) => chat,
        Err(error) => {
            node.engine.refused(source, Some(&id), &error);
            return anthropic::render(&error, &id);
        }
    };
    let answered = node.engine.chat_from(source, chat).await;
    match answered.and_then(|reply| render(reply, explain)) {
        Ok(response) => response,
        Err(error) => anthropic::render(&error, &id),
    }
}

/// Says how many tokens a request has; an estimate is flagged in a header.
pub(super) async fn count_tokens(
    State(node): State<Arc<Node>>,
    request: Request<Body>,
) -> Response {
    let source = Source {
        door: "http",
        path: "/v1/messages/count_tokens",
        arrived: Moment::now(),
    };
    let id = request_id(request.headers());
    let counted = match read(request, &id, (source, Purpose::Count)).await {
        Ok(chat) => node.engine.count_tokens(&chat).await,
        Err(error) => Err(error),
    };
    match counted {
        Ok(counted) => {
            let shown = json!({"input_tokens": counted.tokens}).to_string();
            let mut response = with_id(json_response(200, shown), id.as_str());
            if counted.estimated {
                set(response.headers_mut(), "x-llm-router-estimated", "true");
            }
            response
        }
        Err(error) => anthropic::render(&error, &id),
    }
}

async fn read(
    request: Request<Body>,
    id: &RequestId,
    (source, purpose): (Source, Purpose),
) -> Result<ChatRequest, Error> {
    let options = Options {
        id: id.clone(),
        tenant: auth::tenant(request.extensions()),
        ..Options::read(request.headers(), source.arrived)?
    };
    let (headers, bytes) = body::read(request).await?;
    understand(options, (&headers, &bytes), purpose)
}

fn understand(
    options: Options,
    (headers, bytes): (&HeaderMap, &Bytes),
    purpose: Purpose,
) -> Result<ChatRequest, Error> {
    let version = headers
        .get(VERSION)
        .map(|value| value.to_str().unwrap_or_default());
    let chat = to_openai(bytes, purpose, Version::read(version)?, beta(headers))?;
    // without these parts it is another question, whose answer must not be kept for this one
    let lossy = chat.untranslated().iter().any(|part| part.essential);
    let request = assemble(options, chat);
    Ok(ChatRequest {
        include_usage: true,
        cache: if lossy { CacheMode::Off } else { request.cache },
        ..request
    })
}

/// The features under trial that a caller asks for, in one list.
fn beta(headers: &HeaderMap) -> Option<String> {
    let given = headers.get_all(BETA).iter();
    let given: Vec<&str> = given.filter_map(|value| value.to_str().ok()).collect();
    (!given.is_empty()).then(|| given.join(","))
}

fn render(reply: Reply, explain: bool) -> Result<Response, Error> {
    let Reply { meta, body } = reply;
    let mut response = match body {
        ReplyBody::Complete(whole) => json_response(200, written(whole, meta.model.as_str())?),
        ReplyBody::Stream(reply) => {
            event_stream(stream::body(reply, meta.id.clone(), meta.model.as_str()))
        }
    };
    describe(&meta, explain, response.headers_mut());
    Ok(response)
}

fn written(whole: Completion, model: &str) -> Result<Bytes, Error> {
    match whole.dialect {
        Dialect::Anthropic => Ok(whole.raw),
        Dialect::OpenAi | Dialect::Responses => {
            let read = transcode::whole(&whole).map_err(unreadable)?;
            Ok(message(&read, model))
        }
    }
}

#[cfg(test)]
mod tests;
