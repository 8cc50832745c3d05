//! A reply as events: one start, deltas, one finish; or an error in the finish's place.

use std::collections::VecDeque;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, stream};
use llm_router_proto::llm_router::v1::StreamGenerateResponse;
use tonic::Status;

use super::convert::{delta, started, stream_finish, tool_call_delta};
use super::status;
use crate::dialect::openai::tap::Garbled;
use crate::dialect::transcode::{self, ToOpenAi};
use crate::error::{Error, Kind};
use crate::inference::{Reply, ReplyBody, ReplyMeta, ReplyStream, StreamEnd};
use crate::types::{Chunk, Completion, Finish, Moment, Tap, Usage};

/// What a `StreamGenerate` call answers with.
pub(super) type Events = BoxStream<'static, Result<StreamGenerateResponse, Status>>;

/// The events of a reply. Dropping them drops the reply, which aborts the upstream.
pub(super) fn events(reply: Reply) -> Events {
    let Reply { meta, body } = reply;
    match body {
        ReplyBody::Complete(whole) => match transcode::openai(whole, meta.model.as_str()) {
            Ok(whole) => stream::iter(at_once(&meta, whole)).map(Ok).boxed(),
            Err(garbled) => {
                let error = status::report(&unreadable(garbled), &meta.id);
                stream::iter([Err(error)]).boxed()
            }
        },
        ReplyBody::Stream(upstream) => running(meta, upstream).boxed(),
    }
}

fn pieces(tap: &mut Tap, raw: &[u8]) -> impl Iterator<Item = StreamGenerateResponse> {
    let text = std::mem::take(&mut tap.text);
    let text = (!text.is_empty()).then(|| delta(text));
    let calls = if tap.beyond_text {
        tool_call_delta(raw)
    } else {
        None
    };
    text.into_iter().chain(calls)
}

/// A whole answer, such as a hit, in the shape of a stream.
fn at_once(meta: &ReplyMeta, mut whole: Completion) -> Vec<StreamGenerateResponse> {
    let mut events = vec![started(meta)];
    events.extend(pieces(&mut whole.tap, &whole.raw));
    let end = StreamEnd {
        cost_usd: meta.cost_usd,
        ..StreamEnd::default()
    };
    let counts = (whole.tap.finish, whole.tap.usage);
    events.push(stream_finish(counts, end, meta.elapsed));
    events
}

struct Running {
    meta: ReplyMeta,
    /// Gone once it has ended.
    upstream: Option<ReplyStream>,
    began: Moment,
    finish: Option<Finish>,
    usage: Option<Usage>,
    writer: ToOpenAi,
    /// What one chunk holds: at most a text and a piece of tool calls, plus the start before all.
    ready: VecDeque<StreamGenerateResponse>,
}

fn running(
    meta: ReplyMeta,
    upstream: ReplyStream,
) -> impl Stream<Item = Result<StreamGenerateResponse, Status>> {
    let ready = VecDeque::from([started(&meta)]);
    let (began, upstream) = (Moment::now(), Some(upstream));
    let writer = ToOpenAi::new(meta.model.as_str());
    let running = Running {
        writer,
        meta,
        upstream,
        began,
        finish: None,
        usage: None,
        ready,
    };
    stream::unfold(running, |mut running| async move {
        let next = running.next().await?;
        Some((next, running))
    })
}

impl Running {
    async fn next(&mut self) -> Option<Result<StreamGenerateResponse, Status>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let upstream = self.upstream.as_mut()?;
            match upstream.next().await {
                Some(Ok(chunk)) => match self.writer.chunks(chunk) {
                    Ok(chunks) => chunks.into_iter().for_each(|chunk| self.read(chunk)),
                    Err(garbled) => {
                        self.upstream = None;
                        let error = unreadable(garbled);
                        return Some(Err(status::report(&error, &self.meta.id)));
                    }
                },
                Some(Err(error)) => {
                    self.upstream = None;
                    return Some(Err(status::report(&error, &self.meta.id)));
                }
                None => {
                    let mut end = upstream.end();
                    end.cost_usd = end.cost_usd.or(self.meta.cost_usd);
                    self.upstream = None;
                    let elapsed = self.meta.elapsed + Moment::now().since(self.began);
                    return Some(Ok(stream_finish((self.finish, self.usage), end, elapsed)));
                }
            }
        }
    }

    fn read(&mut self, mut chunk: Chunk) {
        self.finish = chunk.tap.finish.or(self.finish);
        self.usage = chunk.tap.usage.or(self.usage);
        self.ready.extend(pieces(&mut chunk.tap, &chunk.raw));
    }
}

/// An answer in another dialect than OpenAI's that cannot be read.
fn unreadable(garbled: Garbled) -> Error {
    Error::new(Kind::UpstreamFailed, garbled.to_string()).with_source(garbled)
}
