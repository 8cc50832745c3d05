//! A request → its answer, or the trouble that was ordered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::asked::Asked;
use super::perform::{Performance, Whole, broken};
use super::place::Place;
use super::speak::{Reason, Refusal, Speak};
use super::{Sever, Shared, Visit, gzip, vectors};
use crate::dialect::openai::ChatBody;
use crate::provider::demo::play::Play;
use crate::provider::demo::script::Script;
use crate::provider::demo::trouble::{Trouble, Wait};
use crate::provider::demo::{MODELS, pause, words};
use crate::types::{Moment, unix_seconds};

const PAGE: &str = "<html><head><title>Bad gateway</title></head><body>It works!</body></html>";

/// What the server says about itself.
pub(super) fn about(shared: &Shared, asked: &Asked) -> Response<Body> {
    match &asked.place {
        Place::OllamaVersion => json_response(200, r#"{"version":"0.0.0-demo"}"#),
        Place::OllamaTags => {
            let models = MODELS.map(|name| json!({"name": name, "model": name, "size": 0}));
            json_response(200, json!({"models": models}).to_string())
        }
        Place::CountTokens => {
            let wanted = shared.key.lock().clone();
            if let Some(refusal) = asked.refusal(wanted.as_deref()) {
                return refuse(asked.speaker(None).as_ref(), &refusal);
            }
            match asked.chat() {
                Err(refusal) => refuse(asked.speaker(None).as_ref(), &refusal),
                Ok(chat) => {
                    let texts = chat.messages().iter().map(|message| message.text());
                    let count: u64 = texts.map(|text| words::count(&text)).sum();
                    json_response(200, json!({"input_tokens": count}).to_string())
                }
            }
        }
        Place::Models
        | Place::OpenAi
        | Place::Azure(_)
        | Place::Responses
        | Place::Anthropic
        | Place::Gemini { .. }
        | Place::Ollama
        | Place::Vectors(_) => {
            let models = MODELS
                .map(|id| json!({"id": id, "object": "model", "created": 0, "owned_by": "demo"}));
            json_response(200, json!({"object": "list", "data": models}).to_string())
        }
    }
}

/// What a model says.
pub(super) async fn ask(shared: &Arc<Shared>, asked: Asked) -> Response<Body> {
    let mut visit = Visit::begin(shared);
    let wanted = shared.key.lock().clone();
    if let Some(refusal) = asked.refusal(wanted.as_deref()) {
        visit.finish();
        return refuse(asked.speaker(None).as_ref(), &refusal);
    }
    let canned = shared.canned.lock().clone();
    if let Some(canned) = canned.filter(|_| asked.orders.trouble == Trouble::None) {
        #[derive(Deserialize)]
        struct Wish {
            #[serde(default)]
            stream: bool,
        }
        visit.finish();
        let streamed = serde_json::from_slice(&asked.body).is_ok_and(|wish: Wish| wish.stream);
        return match streamed {
            true => response(200, "text/event-stream", canned.streamed.clone()),
            false => json_response(200, canned.whole.clone()),
        };
    }
    if let Place::Vectors(wanted) = &asked.place {
        let made = vectors::answer(wanted, &asked.body);
        return embed(visit, &asked, made).await;
    }
    match asked.chat() {
        Ok(chat) => answer(visit, asked, &chat).await,
        Err(refusal) => {
            visit.finish();
            refuse(asked.speaker(None).as_ref(), &refusal)
        }
    }
}

async fn embed(
    mut visit: Visit,
    asked: &Asked,
    made: Result<serde_json::Value, String>,
) -> Response<Body> {
    let speak = asked.speaker(None);
    let settings = visit.shared.settings.lock().clone();
    pause(settings.pace(0).latency).await;
    let made = match made {
        Ok(made) => made,
        Err(problem) => {
            visit.finish();
            return refuse(speak.as_ref(), &Refusal::bad(problem));
        }
    };
    let visit = match before_head(visit, asked, speak.as_ref()).await {
        Ok(visit) => visit,
        Err(failed) => return failed,
    };
    whole(visit, asked, Bytes::from(made.to_string()))
}

async fn answer(mut visit: Visit, mut asked: Asked, chat: &ChatBody) -> Response<Body> {
    let settings = visit.shared.settings.lock().clone();
    let nth = visit
        .shared
        .requests
        .load(Ordering::Relaxed)
        .saturating_sub(1);
    let mut speak = asked.speaker(Some(chat));
    let named = chat.model();
    let known = MODELS.contains(&named.as_str());
    let model = if known { named.as_str() } else { "echo" };
    let Some(mut script) = Script::write(model, chat, &settings) else {
        visit.finish();
        return refuse(speak.as_ref(), &Refusal::new(404, Reason::Told));
    };
    if asked.orders.trouble == Trouble::None && model == "flaky" {
        asked.orders = settings.fault(nth).into();
    }
    let (asked, orders) = (&asked, asked.orders);
    if orders.trouble == Trouble::Filtered {
        script = script.filtered(orders.after_tokens);
    }
    let pace = settings.pace(nth);
    pause(pace.latency).await;
    speak.begin(&script);
    let stream = asked.wants_stream(chat);
    if orders.trouble == Trouble::Refused
        && let Some(refused) = speak.refused()
    {
        visit.finish();
        return match stream {
            true => response(200, speak.stream_type(), speak.framed(&refused.to_string())),
            false => json_response(200, refused.to_string()),
        };
    }
    let mut visit = match before_head(visit, asked, speak.as_ref()).await {
        Ok(visit) => visit,
        Err(failed) => return failed,
    };
    let play = Play::start(script, pace);
    let in_events = stream && !asked.wants_array();
    if in_events {
        return streamed(visit, asked, play, speak).await;
    }
    pause(Moment::now().until(play.ready_at())).await;
    if orders.trouble == Trouble::ErrorInside {
        visit.finish();
        let error = speak.error(&Refusal::new(500, Reason::Told));
        return json_response(200, error.to_string());
    }
    let text = match (speak.whole(play.script()), stream) {
        (answer, true) => json!([answer]),
        (answer, false) => answer,
    };
    whole(visit, asked, Bytes::from(text.to_string()))
}

async fn streamed(
    visit: Visit,
    asked: &Asked,
    play: Play,
    speak: Box<dyn Speak>,
) -> Response<Body> {
    let kind = speak.stream_type();
    let performance = Performance {
        visit,
        play,
        speak,
        orders: asked.orders,
        lever: Arc::clone(&asked.lever),
        said: 0,
        ready: VecDeque::new(),
        struck: false,
        over: false,
    };
    if twisted(asked.orders.trouble) {
        let all = performance.whole().await;
        return twist(asked, response(200, kind, Body::empty()), &all);
    }
    response(200, kind, performance.body())
}

fn whole(mut visit: Visit, asked: &Asked, text: Bytes) -> Response<Body> {
    let head = json_response(200, Body::empty());
    if twisted(asked.orders.trouble) {
        visit.finish();
        return twist(asked, head, &text);
    }
    let body = Whole {
        visit,
        text,
        trouble: asked.orders.trouble,
        lever: Arc::clone(&asked.lever),
    };
    head.map(|_| body.body())
}

/// Trouble that needs to know all of the body first.
fn twisted(trouble: Trouble) -> bool {
    matches!(
        trouble,
        Trouble::LengthTooLong | Trouble::LengthTooShort | Trouble::Gzip
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other trouble shows elsewhere"
)]
fn twist(asked: &Asked, mut head: Response<Body>, all: &Bytes) -> Response<Body> {
    let promised = all.len() + 64;
    match asked.orders.trouble {
        Trouble::LengthTooLong => {
            head.headers_mut().insert(CONTENT_LENGTH, promised.into());
            let body = broken(all.clone());
            head.map(|_| body)
        }
        Trouble::LengthTooShort => {
            asked.lever.shorten();
            head.map(|_| Body::from(all.clone()))
        }
        _ => {
            let coding = HeaderValue::from_static("gzip");
            head.headers_mut().insert(CONTENT_ENCODING, coding);
            head.map(|_| Body::from(gzip::gzip(all)))
        }
    }
}

/// Trouble that shows before the first byte of an answer; the visit goes on where there is none.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other trouble shows elsewhere"
)]
async fn before_head(
    mut visit: Visit,
    asked: &Asked,
    speak: &dyn Speak,
) -> Result<Visit, Response<Body>> {
    let failed = match asked.orders.trouble {
        Trouble::Closed => sever(),
        Trouble::Reset => {
            asked.lever.reset();
            sever()
        }
        Trouble::Hang { millis } => {
            pause(Duration::from_millis(millis)).await;
            sever()
        }
        Trouble::Silent => {
            std::future::pending::<()>().await;
            sever()
        }
        Trouble::SilentAfterHead => {
            let nothing = futures::stream::once(async move {
                std::future::pending::<()>().await;
                drop(visit);
                Ok::<_, std::io::Error>(Bytes::new())
            });
            return Err(response(
                200,
                speak.stream_type(),
                Body::from_stream(nothing),
            ));
        }
        Trouble::Status { status, wait } => refuse(
            speak,
            &Refusal {
                wait,
                ..Refusal::new(status, Reason::Told)
            },
        ),
        Trouble::ContextLength => refuse(speak, &Refusal::new(400, Reason::ContextLength)),
        Trouble::Refused => refuse(speak, &Refusal::new(400, Reason::Filter)),
        Trouble::Page { status } => response(status, "text/html", PAGE),
        Trouble::Garbled => response(200, "text/html", PAGE),
        _ => return Ok(visit),
    };
    visit.finish();
    Err(failed)
}

fn refuse(speak: &dyn Speak, refusal: &Refusal) -> Response<Body> {
    let mut refused = json_response(refusal.status, speak.error(refusal).to_string());
    let headers = refused.headers_mut();
    if let Some((name, value)) = speak.header() {
        headers.insert(name, HeaderValue::from_static(value));
    }
    match refusal.wait {
        Wait::Unsaid | Wait::Body(_) => {}
        Wait::Seconds(seconds) => {
            headers.insert("retry-after", seconds.into());
        }
        Wait::Millis(millis) => {
            headers.insert("retry-after-ms", millis.into());
        }
        Wait::Date(ahead) => {
            let at = std::time::UNIX_EPOCH + Duration::from_secs(unix_seconds() + ahead);
            let date = HeaderValue::from_str(&httpdate::fmt_http_date(at));
            headers.extend(date.ok().map(|date| (http::header::RETRY_AFTER, date)));
        }
    }
    refused
}

fn sever() -> Response<Body> {
    let mut severed = Response::new(Body::empty());
    severed.extensions_mut().insert(Sever);
    severed
}

fn json_response(status: u16, body: impl Into<Body>) -> Response<Body> {
    response(status, "application/json", body)
}

pub(super) fn response(status: u16, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
