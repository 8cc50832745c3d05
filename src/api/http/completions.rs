//! `POST /v1/completions`: the older API, over the same models.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::{StreamExt, TryStreamExt, stream};
use http::Request;

use super::chat::{assemble, describe, with_id};
use super::events::{self, Pieces, Write, data};
use super::{auth, body, errors};
use crate::api::options::{Options, request_id, wants_explanation};
use crate::app::Node;
use crate::dialect::completions::{Asked, Writer};
use crate::error::{Error, Kind};
use crate::inference::{CacheStatus, Engine, Reply, ReplyBody, ReplyMeta, Source};
use crate::types::{ChatRequest, Chunk, Moment};

/// Prompts of one request that are asked at once.
const AT_ONCE: usize = 8;

/// Completes one prompt or several, whole or as a stream.
pub(super) async fn completions(State(node): State<Arc<Node>>, request: Request<Body>) -> Response {
    let source = Source {
        door: "http",
        path: "/v1/completions",
        arrived: Moment::now(),
    };
    let id = request_id(request.headers());
    let explain = wants_explanation(request.headers());
    let (options, asked) = match understand(source, request).await {
        Ok(understood) => understood,
        Err(error) => {
            node.engine.refused(source, Some(&id), &error);
            return with_id(errors::render(&error), id.as_str());
        }
    };
    let options = Options {
        id: id.clone(),
        ..options
    };
    let writer = Writer::new(&asked);
    let stream = asked.stream;
    let chats = asked.chats.into_iter();
    let requests: Vec<ChatRequest> = chats.map(|chat| assemble(options.clone(), chat)).collect();
    let answered = if stream {
        streamed(&node.engine, source, requests, writer).await
    } else {
        whole(&node.engine, source, requests, writer).await
    };
    match answered {
        Ok((meta, mut response)) => {
            describe(&meta, explain, response.headers_mut());
            response
        }
        Err(error) => with_id(errors::render(&error), id.as_str()),
    }
}

async fn understand(source: Source, request: Request<Body>) -> Result<(Options, Asked), Error> {
    let options = Options::read(request.headers(), source.arrived)?;
    let tenant = auth::tenant(request.extensions());
    let (_, bytes) = body::read(request).await?;
    Ok((Options { tenant, ..options }, Asked::parse(&bytes)?))
}

async fn whole(
    engine: &Engine,
    source: Source,
    requests: Vec<ChatRequest>,
    writer: Writer,
) -> Result<(ReplyMeta, Response), Error> {
    let asked = requests
        .into_iter()
        .map(|request| engine.chat_from(source, request));
    let replies: Vec<Reply> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    let (mut metas, mut answers) = (Vec::new(), Vec::new());
    for Reply { meta, body } in replies {
        let ReplyBody::Complete(answer) = body else {
            return Err(Error::new(Kind::Internal, "a stream nobody asked for"));
        };
        metas.push(meta);
        answers.push(answer);
    }
    let bytes = writer.whole(&answers).map_err(unreadable)?;
    let meta = together(metas).ok_or_else(|| Error::new(Kind::Internal, "no prompt was asked"))?;
    Ok((meta, errors::json_response(200, bytes)))
}

/// The first prompt's answer has to begin before anything is said, so that a failure still has a
/// status of its own; the others follow.
async fn streamed(
    engine: &Engine,
    source: Source,
    requests: Vec<ChatRequest>,
    writer: Writer,
) -> Result<(ReplyMeta, Response), Error> {
    let mut requests = requests.into_iter();
    let first = requests
        .next()
        .ok_or_else(|| Error::new(Kind::Internal, "no prompt was asked"))?;
    let Reply { meta, body } = engine.chat_from(source, first).await?;
    let begun = stream::iter([running(0, body)]);
    let engine = engine.clone();
    let rest = stream::iter((1..).zip(requests)).map(move |(number, request)| {
        let engine = engine.clone();
        let asking = async move { engine.chat_from(source, request).await };
        let pieces = stream::once(asking).flat_map(move |reply| match reply {
            Ok(reply) => running(number, reply.body),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
        pieces.boxed()
    });
    let pieces = begun.chain(rest).flatten_unordered(AT_ONCE).boxed();
    Ok((meta, events::response(pieces, Lines(writer))))
}

fn running(number: u64, body: ReplyBody) -> Pieces {
    match body {
        ReplyBody::Stream(reply) => events::pieces(number, reply),
        ReplyBody::Complete(_) => {
            let error = Error::new(Kind::Internal, "asked for a stream");
            stream::iter([Err(error)]).boxed()
        }
    }
}

/// What is said of several answers at once.
fn together(metas: Vec<ReplyMeta>) -> Option<ReplyMeta> {
    let count = metas.len();
    let attempts = metas
        .iter()
        .fold(0u32, |sum, meta| sum.saturating_add(meta.attempts));
    let costs: Vec<f64> = metas.iter().filter_map(|meta| meta.cost_usd).collect();
    let estimated = metas.iter().any(|meta| meta.estimated);
    let first = metas.first().map(|meta| meta.cache)?;
    let alike = metas.iter().all(|meta| meta.cache == first);
    let meta = metas.into_iter().next()?;
    if count == 1 {
        return Some(meta);
    }
    Some(ReplyMeta {
        attempts,
        estimated,
        cost_usd: (!costs.is_empty()).then(|| costs.iter().sum()),
        cache: if alike { first } else { CacheStatus::Miss },
        similarity: None,
        entry: None,
        age: None,
        explained: None,
        ..meta
    })
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::new(Kind::UpstreamFailed, "an answer could not be read").with_source(error)
}

/// One unnamed event a chunk, and the end mark.
struct Lines(Writer);

impl Write for Lines {
    fn chunk(&mut self, number: u64, chunk: &Chunk, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(json) = self.0.chunk(number, chunk).map_err(unreadable)? {
            data(&json, out);
        }
        Ok(())
    }

    fn failed(&mut self, error: &Error, out: &mut Vec<u8>) {
        data(errors::body(error).as_bytes(), out);
    }

    fn ended(&mut self, out: &mut Vec<u8>) {
        if let Some(json) = self.0.counts() {
            data(&json, out);
        }
        data(b"[DONE]", out);
    }
}
