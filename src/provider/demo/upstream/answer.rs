//! A request → its answer, or the trouble that was ordered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::perform::{Performance, Whole};
use super::place::{Place, Vectors};
use super::socket::Lever;
use super::speak::anthropic::{self, Anthropic};
use super::speak::gemini::{self, Gemini};
use super::speak::ollama::{self, Ollama};
use super::speak::openai::OpenAi;
use super::speak::responses::{self, Responses};
use super::speak::{Reason, Refusal, Speak};
use super::{Sever, Shared, Visit, gzip, vectors};
use crate::dialect::openai::ChatBody;
use crate::dialect::openai::build::Head;
use crate::provider::demo::play::Play;
use crate::provider::demo::script::Script;
use crate::provider::demo::trouble::{Orders, Trouble, Wait};
use crate::provider::demo::{MODELS, pause, words};
use crate::types::{Moment, unix_seconds};

const PAGE: &str = "<html><head><title>Bad gateway</title></head><body>It works!</body></html>";

/// What reached the upstream.
pub(super) struct Asked {
    pub(super) place: Place,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) lever: Arc<Lever>,
    pub(super) orders: Orders,
}

impl Asked {
    fn says(&self, name: &str, value: &str) -> bool {
        let pairs = self.query.split('&');
        pairs
            .filter_map(|pair| pair.split_once('='))
            .any(|pair| pair == (name, value))
    }

    /// The credential it carries, in whichever header its dialect allows.
    fn key(&self) -> Option<&str> {
        let text = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(AUTHORIZATION.as_str()).and_then(|v| v.strip_prefix("Bearer "));
        let own =
            text(self.place.key_header()).filter(|_| self.place.key_header() != "authorization");
        let in_query = self
            .query
            .split('&')
            .find_map(|pair| pair.strip_prefix("key="));
        let in_query = in_query.filter(|_| matches!(self.place, Place::Gemini { .. }));
        own.or(bearer).or(in_query).filter(|key| !key.is_empty())
    }

    fn version(&self) -> Option<&str> {
        let version = self.headers.get("anthropic-version")?;
        version.to_str().ok()
    }

    /// What is wrong with it before its body is looked at.
    fn refusal(&self, wanted: Option<&str>) -> Option<Refusal> {
        let key = self.key();
        let keyless = key.is_none() && self.place.wants_key();
        if keyless || wanted.is_some_and(|wanted| key != Some(wanted)) {
            let problem = "no valid credential was given".to_owned();
            return Some(Refusal::new(401, Reason::Bad(problem)));
        }
        let azure = matches!(
            self.place,
            Place::Azure(_) | Place::Vectors(Vectors::Azure(_))
        );
        if azure
            && !self
                .query
                .split('&')
                .any(|pair| pair.starts_with("api-version=2"))
        {
            return Some(Refusal::new(
                404,
                Reason::Bad("Resource not found".to_owned()),
            ));
        }
        let anthropic = matches!(self.place, Place::Anthropic | Place::CountTokens);
        match self.version() {
            None if anthropic => Some(Refusal::bad("anthropic-version: header is required")),
            Some(version) if anthropic && !["2023-06-01", "2026-10-21"].contains(&version) => Some(
                Refusal::bad(format!("anthropic-version: {version} is not known")),
            ),
            Some(_) | None => None,
        }
    }

    /// The dialect of its answer.
    fn speaker(&self, chat: Option<&ChatBody>) -> Box<dyn Speak> {
        let model = || chat.map(ChatBody::model).unwrap_or_default();
        match &self.place {
            Place::Azure(deployment) | Place::Vectors(Vectors::Azure(deployment)) => {
                Box::new(OpenAi {
                    head: Head::new(deployment),
                    usage: chat.is_some_and(ChatBody::wants_usage),
                    azure: true,
                })
            }
            Place::Responses => Box::new(Responses::new(model())),
            Place::Anthropic | Place::CountTokens => Box::new(Anthropic::new(model())),
            Place::Gemini { model, .. } | Place::Vectors(Vectors::Gemini { model, .. }) => {
                Box::new(Gemini::new(model.clone()))
            }
            Place::Ollama | Place::Vectors(Vectors::Ollama) => Box::new(Ollama::new(model())),
            Place::OpenAi
            | Place::Vectors(Vectors::OpenAi)
            | Place::Models
            | Place::OllamaVersion
            | Place::OllamaTags => Box::new(OpenAi {
                head: Head::new(model()),
                usage: chat.is_some_and(ChatBody::wants_usage),
                azure: false,
            }),
        }
    }

    fn chat(&self) -> Result<ChatBody, String> {
        let version = self.version().unwrap_or("");
        match &self.place {
            Place::Anthropic => anthropic::read(&self.body, version, false),
            Place::CountTokens => anthropic::read(&self.body, version, true),
            Place::Gemini { model, .. } => gemini::read(&self.body, model),
            Place::Ollama => ollama::read(&self.body),
            Place::Responses => responses::read(&self.body),
            Place::Azure(deployment) => ChatBody::parse(&self.body)
                .and_then(|chat| chat.with("model", crate::dialect::json::raw(deployment)))
                .map_err(|bad| bad.to_string()),
            Place::OpenAi
            | Place::Vectors(_)
            | Place::Models
            | Place::OllamaVersion
            | Place::OllamaTags => ChatBody::parse(&self.body).map_err(|bad| bad.to_string()),
        }
    }

    /// Gemini streams a JSON array unless told otherwise; a short answer is an array of one.
    fn wants_array(&self) -> bool {
        matches!(self.place, Place::Gemini { .. }) && !self.says("alt", "sse")
    }

    fn wants_stream(&self, chat: &ChatBody) -> bool {
        match &self.place {
            Place::Gemini { stream, .. } => *stream,
            Place::Ollama => chat.object().read("stream").unwrap_or(true),
            Place::OpenAi
            | Place::Azure(_)
            | Place::Responses
            | Place::Anthropic
            | Place::CountTokens
            | Place::Vectors(_)
            | Place::Models
            | Place::OllamaVersion
            | Place::OllamaTags => chat.wants_stream(),
        }
    }
}

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
                Err(problem) => refuse(asked.speaker(None).as_ref(), &Refusal::bad(problem)),
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
        Err(problem) => {
            visit.finish();
            refuse(asked.speaker(None).as_ref(), &Refusal::bad(problem))
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

fn twist(asked: &Asked, mut head: Response<Body>, all: &Bytes) -> Response<Body> {
    let promised = all.len() + 64;
    match asked.orders.trouble {
        Trouble::LengthTooLong => {
            head.headers_mut().insert(CONTENT_LENGTH, promised.into());
            let all = all.clone();
            let body = futures::stream::once(async move { Ok::<_, std::io::Error>(all) });
            head.map(|_| Body::from_stream(body))
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
