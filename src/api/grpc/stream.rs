//! A reply as events: one start, deltas, one finish; or an error in the finish's place.

use std::collections::VecDeque;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, stream};
use llm_router_proto::llm_router::v1::StreamGenerateResponse;
use tonic::Status;

use super::convert::{
    delta, refusal_delta, started, stream_finish, thinking_delta, tool_call_delta,
};
use super::status;
use crate::dialect::openai::decode::Decoder;
use crate::dialect::openai::tap::Garbled;
use crate::dialect::transcode::{self, ToOpenAi};
use crate::dialect::whole::Whole;
use crate::error::{Error, Kind};
use crate::inference::{Reply, ReplyBody, ReplyMeta, ReplyStream, StreamEnd};
use crate::types::{Chunk, Completion, Finish, Moment, Tap, Usage};

/// What a `StreamGenerate` call answers with.
pub(super) type Events = BoxStream<'static, Result<StreamGenerateResponse, Status>>;

/// The events of a reply. Dropping them drops the reply, which aborts the upstream.
pub(super) fn events(reply: Reply) -> Events {
    let Reply { meta, body } = reply;
    match body {
        ReplyBody::Complete(whole) => match at_once(&meta, whole) {
            Ok(events) => stream::iter(events).map(Ok).boxed(),
            Err(garbled) => {
                let error = status::report(&unreadable(garbled), &meta.id);
                stream::iter([Err(error)]).boxed()
            }
        },
        ReplyBody::Stream(upstream) => running(meta, upstream).boxed(),
    }
}

/// What a chunk says, or a whole answer: thinking, text, a refusal, tool calls.
fn pieces(tap: &mut Tap, raw: &[u8]) -> Result<Vec<StreamGenerateResponse>, Garbled> {
    let text = Some(std::mem::take(&mut tap.text)).filter(|text| !text.is_empty());
    let text = text.map(delta);
    if !tap.beyond_text {
        return Ok(Vec::from_iter(text));
    }
    let said = Whole::of(Decoder::default().chunk(raw)?);
    let thinking = Some(said.thinking()).filter(|text| !text.is_empty());
    let refusal = Some(said.refusal).filter(|text| !text.is_empty());
    let pieces = [
        thinking.map(thinking_delta),
        text,
        refusal.map(refusal_delta),
        tool_call_delta(raw),
    ];
    Ok(pieces.into_iter().flatten().collect())
}

/// A whole answer, such as a hit, in the shape of a stream.
fn at_once(meta: &ReplyMeta, whole: Completion) -> Result<Vec<StreamGenerateResponse>, Garbled> {
    let mut whole = transcode::openai(whole, meta.model.as_str())?;
    let mut events = vec![started(meta)];
    events.extend(pieces(&mut whole.tap, &whole.raw)?);
    let end = StreamEnd {
        cost_usd: meta.cost_usd,
        estimated: meta.estimated,
        ..StreamEnd::default()
    };
    let counts = (whole.tap.finish, whole.tap.usage);
    events.push(stream_finish(counts, end, meta.elapsed));
    Ok(events)
}

struct Running {
    meta: ReplyMeta,
    /// Gone once it has ended.
    upstream: Option<ReplyStream>,
    began: Moment,
    finish: Option<Finish>,
    usage: Option<Usage>,
    writer: ToOpenAi,
    /// What one chunk holds: at most four pieces, plus the start before all.
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
                Some(Ok(chunk)) => {
                    if let Err(garbled) = self.read(chunk) {
                        self.upstream = None;
                        let error = unreadable(garbled);
                        return Some(Err(status::report(&error, &self.meta.id)));
                    }
                }
                Some(Err(error)) => {
                    self.upstream = None;
                    return Some(Err(status::report(&error, &self.meta.id)));
                }
                None => {
                    let mut end = upstream.end();
                    end.cost_usd = end.cost_usd.or(self.meta.cost_usd);
                    end.estimated |= self.meta.estimated;
                    self.upstream = None;
                    let elapsed = self.meta.elapsed + Moment::now().since(self.began);
                    return Some(Ok(stream_finish((self.finish, self.usage), end, elapsed)));
                }
            }
        }
    }

    fn read(&mut self, chunk: Chunk) -> Result<(), Garbled> {
        for mut chunk in self.writer.chunks(chunk)? {
            self.finish = chunk.tap.finish.or(self.finish);
            self.usage = chunk.tap.usage.or(self.usage);
            self.ready.extend(pieces(&mut chunk.tap, &chunk.raw)?);
        }
        Ok(())
    }
}

/// An answer, or what it says beside its text, cannot be read.
fn unreadable(garbled: Garbled) -> Error {
    Error::new(Kind::UpstreamFailed, garbled.to_string()).with_source(garbled)
}
