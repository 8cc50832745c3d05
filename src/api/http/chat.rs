//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

use super::revision::REVISION;
use super::{auth, body, errors, sse};
use crate::api::options::{Options, request_id, wants_explanation};
use crate::app::Node;
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::tap::Garbled;
use crate::dialect::transcode::{self, ToOpenAi};
use crate::error::{Error, Kind};
use crate::inference::{ESTIMATED, Reply, ReplyBody, ReplyMeta, Source};
use crate::types::{ChatRequest, Moment};

/// Answers a chat request, whole or as a stream.
pub(super) async fn completions(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let source = Source {
        door: "http",
        path: "/v1/chat/completions",
        arrived: Moment::now(),
    };
    answer(&node, source, request).await
}

async fn answer(node: &Node, source: Source, request: Request<Body>) -> Response {
    let id = request_id(request.headers());
    let explain = wants_explanation(request.headers());
    let options = match Options::read(request.headers(), source.arrived) {
        Ok(options) => Options {
            id: id.clone(),
            tenant: auth::tenant(request.extensions()),
            ..options
        },
        Err(error) => {
            node.engine.refused(source, Some(&id), &error);
            return with_id(errors::render(&error), id.as_str());
        }
    };
    let read = async {
        let (_, bytes) = body::read(request).await?;
        Ok::<_, Error>(ChatBody::parse(&bytes)?)
    };
    let chat = match read.await {
        Ok(read) => read,
        Err(error) => {
            node.engine.refused(source, Some(&id), &error);
            return with_id(errors::render(&error), id.as_str());
        }
    };
    let request = assemble(options, chat);
    let include_usage = request.include_usage;
    let answered = node.engine.chat_from(source, request).await;
    match answered.and_then(|reply| render(reply, explain, include_usage)) {
        Ok(response) => response,
        Err(error) => with_id(errors::render(&error), id.as_str()),
    }
}

/// A request from its body and the caller's wishes.
pub(super) fn assemble(options: Options, chat: ChatBody) -> ChatRequest {
    let features = chat.features();
    ChatRequest {
        id: options.id,
        tenant: options.tenant,
        priority: options.priority,
        model: chat.model().into(),
        tags: options.tags,
        cache: options.cache,
        min_similarity: options.min_similarity,
        deadline: options.deadline,
        stream: chat.wants_stream(),
        include_usage: chat.wants_usage(),
        body: Arc::new(chat),
        features,
    }
}

fn render(reply: Reply, explain: bool, include_usage: bool) -> Result<Response, Error> {
    let Reply { meta, body } = reply;
    let mut response = match body {
        ReplyBody::Complete(completion) => {
            let shown = transcode::openai(completion, meta.model.as_str()).map_err(unreadable)?;
            errors::json_response(200, shown.raw)
        }
        ReplyBody::Stream(stream) => {
            let writer = ToOpenAi::new(meta.model.as_str());
            event_stream(sse::body(stream, writer, include_usage))
        }
    };
    describe(&meta, explain, response.headers_mut());
    Ok(response)
}

/// An answer that its upstream wrote in another dialect than the caller's and that cannot be read.
pub(super) fn unreadable(garbled: Garbled) -> Error {
    Error::new(Kind::UpstreamFailed, garbled.to_string()).with_source(garbled)
}

/// A response whose body is server-sent events.
pub(super) fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The answer's story, as response headers; with why the cache did not answer only on request.
pub(super) fn describe(meta: &ReplyMeta, explain: bool, headers: &mut HeaderMap) {
    set(headers, "x-request-id", meta.id.as_str());
    set(headers, REVISION, &meta.revision.to_string());
    if let Some(route) = &meta.route {
        set(headers, "x-llm-router-route", route.as_str());
    }
    set(headers, "x-llm-router-model", meta.model.as_str());
    set(headers, "x-llm-router-attempts", &meta.attempts.to_string());
    if let Some(dropped) = meta.dropped_params() {
        set(headers, "x-llm-router-dropped-params", &dropped);
    }
    set(headers, "x-llm-router-cache", meta.cache.as_str());
    if let Some(similarity) = meta.similarity {
        set(
            headers,
            "x-llm-router-similarity",
            &format!("{similarity:.4}"),
        );
    }
    for (name, value) in meta.cache_story(explain) {
        set(headers, name, &value);
    }
    if let Some(cost) = meta.cost_usd {
        set(headers, "x-llm-router-cost-usd", &cost.to_string());
    }
    if meta.estimated {
        set(headers, "x-llm-router-estimated", ESTIMATED);
    }
}

pub(super) fn with_id(mut response: Response, id: &str) -> Response {
    set(response.headers_mut(), "x-request-id", id);
    response
}

pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
