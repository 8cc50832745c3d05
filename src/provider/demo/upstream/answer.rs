//! The scripted upstream's paths.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use bytes::Bytes;
use futures::stream::try_unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::frame::Frame;
use super::{Fault, MAX_BODY, Sever, Shared, Visit};
use crate::dialect::json::{Object, raw};
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::provider::demo::play::{Pace, Play, Step};
use crate::provider::demo::script::Script;
use crate::provider::demo::{MODELS, fault, pause};
use crate::types::Finish;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(openai_chat))
        .route("/v1/models", get(openai_models))
        .route("/api/chat", post(ollama_chat))
        .route(
            "/api/version",
            get(async || json_response(200, r#"{"version":"0.0.0-demo"}"#)),
        )
        .route("/api/tags", get(ollama_tags))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

pub(super) fn is_chat(path: &str) -> bool {
    matches!(path, "/v1/chat/completions" | "/api/chat")
}

async fn openai_models() -> Response<Body> {
    let models =
        MODELS.map(|id| json!({"id": id, "object": "model", "created": 0, "owned_by": "demo"}));
    json_response(200, json!({"object": "list", "data": models}).to_string())
}

async fn ollama_tags() -> Response<Body> {
    let models = MODELS.map(|name| json!({"name": name, "model": name, "size": 0}));
    json_response(200, json!({"models": models}).to_string())
}

async fn openai_chat(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut visit = Visit::begin(&shared);
    *shared.last.lock() = Some((headers, body.clone()));
    let canned = shared.canned.lock().clone();
    if let Some(canned) = canned.filter(|_| *shared.fault.lock() == Fault::None) {
        #[derive(Deserialize)]
        struct Wish {
            #[serde(default)]
            stream: bool,
        }
        visit.finish();
        let streamed = serde_json::from_slice(&body).is_ok_and(|wish: Wish| wish.stream);
        return match streamed {
            true => response(200, "text/event-stream", canned.streamed.clone()),
            false => json_response(200, canned.whole.clone()),
        };
    }
    match ChatBody::parse(&body) {
        Ok(chat) => {
            let frame = Frame::OpenAi {
                head: Head::new(chat.model()),
                usage: chat.wants_usage(),
            };
            let stream = chat.wants_stream();
            answer(visit, &chat, frame, stream).await
        }
        Err(bad) => {
            visit.finish();
            let error = json!({"message": bad.to_string(), "type": "invalid_request_error",
                               "param": bad.param(), "code": null});
            json_response(400, json!({"error": error}).to_string())
        }
    }
}

async fn ollama_chat(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let mut visit = Visit::begin(&shared);
    *shared.last.lock() = Some((headers, body.clone()));
    match native(&body) {
        Ok(chat) => {
            let frame = Frame::Ollama {
                model: chat.model(),
                finish: Finish::Stop,
            };
            let stream = chat.object().read("stream").unwrap_or(true);
            answer(visit, &chat, frame, stream).await
        }
        Err(problem) => {
            visit.finish();
            json_response(400, json!({"error": problem}).to_string())
        }
    }
}

/// Ollama's body is near enough to OpenAI's once its limit and seed stand at the top.
fn native(body: &[u8]) -> Result<ChatBody, String> {
    let mut object = Object::parse(body).map_err(|bad| bad.to_string())?;
    let options: Object = object.read("options").unwrap_or_default();
    for (name, at_top) in [("num_predict", "max_tokens"), ("seed", "seed")] {
        if let Some(value) = options.read::<u64>(name) {
            object.set(at_top, raw(&value));
        }
    }
    ChatBody::from_object(object).map_err(|bad| bad.to_string())
}

async fn answer(mut visit: Visit, chat: &ChatBody, frame: Frame, stream: bool) -> Response<Body> {
    let settings = visit.shared.settings.lock().clone();
    let nth = visit
        .shared
        .requests
        .load(Ordering::Relaxed)
        .saturating_sub(1);
    let asked = chat.model();
    let model = if MODELS.contains(&asked.as_str()) {
        asked.as_str()
    } else {
        "echo"
    };
    let Some(script) = Script::write(model, chat, &settings) else {
        visit.finish();
        return json_response(404, frame.error(fault::error_body(404)));
    };
    let told = *visit.shared.fault.lock();
    let flaky = told == Fault::None && model == "flaky";
    let fault = if flaky { settings.fault(nth) } else { told };
    let pace = settings.pace(nth);
    pause(pace.latency).await;
    let cut_after = match fault {
        Fault::None => None,
        Fault::Cut { after_tokens } => Some(after_tokens),
        Fault::Connect | Fault::Status { .. } | Fault::Hang { .. } | Fault::Garbled => {
            let failed = fail(fault, &frame).await;
            visit.finish();
            return failed;
        }
    };
    if stream {
        let kind = frame.stream_type();
        return response(
            200,
            kind,
            streamed(visit, Play::start(script, pace), frame, cut_after),
        );
    }
    whole(visit, script, pace, &frame, cut_after.is_some()).await
}

async fn fail(fault: Fault, frame: &Frame) -> Response<Body> {
    match fault {
        Fault::Status {
            status,
            retry_after_s,
        } => {
            let mut failed = json_response(status, frame.error(fault::error_body(status)));
            if let Some(seconds) = retry_after_s {
                failed.headers_mut().insert("retry-after", seconds.into());
            }
            failed
        }
        Fault::Garbled => response(200, "text/html", "<html><body>It works!</body></html>"),
        Fault::Hang { millis } => {
            pause(Duration::from_millis(millis)).await;
            sever()
        }
        Fault::None | Fault::Connect | Fault::Cut { .. } => sever(),
    }
}

fn sever() -> Response<Body> {
    let mut severed = Response::new(Body::empty());
    severed.extensions_mut().insert(Sever);
    severed
}

async fn whole(
    mut visit: Visit,
    script: Script,
    pace: Pace,
    frame: &Frame,
    cut: bool,
) -> Response<Body> {
    let ready = Play::start(script.clone(), pace).ready_at();
    pause(crate::types::Moment::now().until(ready)).await;
    visit.finish();
    let text = frame.whole(&script);
    if !cut {
        return json_response(200, text);
    }
    let half = text.slice(..text.len() / 2);
    let broken = [Ok(half), Err(io::Error::other(Sever))];
    response(
        200,
        "application/json",
        Body::from_stream(futures::stream::iter(broken)),
    )
}

fn streamed(visit: Visit, play: Play, frame: Frame, cut_after: Option<u64>) -> Body {
    let running = (visit, play, frame, 0u64);
    Body::from_stream(try_unfold(
        running,
        move |(mut visit, mut play, mut frame, mut said)| async move {
            loop {
                if cut_after.is_some_and(|tokens| said >= tokens) {
                    visit.finish();
                    // a moment's silence lets the words before the cut leave the buffer
                    tokio::task::yield_now().await;
                    return Err(io::Error::other(Sever));
                }
                let Some(step) = play.next().await else {
                    visit.finish();
                    return Ok(None);
                };
                if matches!(
                    step,
                    Step::Word(_) | Step::CallBegins(_) | Step::CallContinues(_)
                ) {
                    said += 1;
                }
                if let Some(bytes) = frame.step(step) {
                    return Ok(Some((bytes, (visit, play, frame, said))));
                }
            }
        },
    ))
}

fn json_response(status: u16, body: impl Into<Body>) -> Response<Body> {
    response(status, "application/json", body)
}

fn response(status: u16, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
