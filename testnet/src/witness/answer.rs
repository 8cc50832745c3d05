//! What the witness says, over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::{MOST_VISITS, Manner, Memory, Visit};
use crate::listen;

const GOOD: &str = r#"{"id":"chatcmpl-witness","object":"chat.completion","created":1700000000,"model":"scripted","choices":[{"index":0,"message":{"role":"assistant","content":"I have seen you."},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12}}"#;

pub(super) async fn serve(listener: TcpListener, memory: Arc<Mutex<Memory>>) {
    listen::serve(listener, move |request| {
        answer(request, Arc::clone(&memory))
    })
    .await;
}

/// Closes the connection.
#[derive(Debug)]
struct Severed;

impl std::fmt::Display for Severed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("told to close the connection")
    }
}

impl std::error::Error for Severed {}

async fn answer(
    request: Request<Incoming>,
    memory: Arc<Mutex<Memory>>,
) -> Result<Response<Full<Bytes>>, Severed> {
    if !request.uri().path().ends_with("/chat/completions") {
        return Ok(reply(StatusCode::OK, "{}"));
    }
    let caller = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .unwrap_or("")
        .to_owned();
    let stay = Stay::begin(memory, caller);
    let _ = request.into_body().collect().await.map_err(|_| Severed)?;
    let delay = stay.memory.lock().delay;
    if !delay.is_zero() {
        sleep(delay).await;
    }
    stay.answered();
    match stay.manner {
        Manner::Good => Ok(reply(StatusCode::OK, GOOD)),
        Manner::Status(status) => Ok(reply(
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            r#"{"error":{"message":"told to fail","type":"server_error","code":null}}"#,
        )),
        Manner::Sever => Err(Severed),
    }
}

fn reply(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/json"),
    );
    response
}

/// A visit under way. Dropped early, its client left.
struct Stay {
    memory: Arc<Mutex<Memory>>,
    manner: Manner,
    /// Where it is remembered, while it is.
    place: Option<(usize, Instant)>,
}

impl Stay {
    fn begin(memory: Arc<Mutex<Memory>>, caller: String) -> Self {
        let mut held = memory.lock();
        let manner = *held.callers.get(&caller).unwrap_or(&held.everyone);
        held.total += 1;
        held.in_flight += 1;
        held.most_in_flight = held.most_in_flight.max(held.in_flight);
        let at = Instant::now();
        let place = (held.visits.len() < MOST_VISITS).then_some((held.visits.len(), at));
        if place.is_some() {
            held.visits.push(Visit {
                caller,
                at,
                answered: None,
                manner,
            });
        }
        drop(held);
        Stay {
            memory,
            manner,
            place,
        }
    }

    fn answered(&self) {
        let mut memory = self.memory.lock();
        let Some((place, at)) = self.place else {
            return;
        };
        // Forgotten meanwhile, its place may be another's.
        if let Some(visit) = memory.visits.get_mut(place).filter(|visit| visit.at == at) {
            visit.answered = Some(Instant::now());
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.memory.lock().in_flight -= 1;
    }
}
