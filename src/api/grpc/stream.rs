//! A reply as events: one start, deltas, one finish; or an error in the finish's place.

use std::collections::VecDeque;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, stream};
use llm_router_proto::llm_router::v1::StreamGenerateResponse;
use tonic::Status;

use super::convert::{delta, started, stream_finish, tool_call_delta};
use super::status;
use crate::inference::{Reply, ReplyBody, ReplyMeta, ReplyStream};
use crate::types::{Completion, Finish, Moment, Tap, Usage};

/// What a `StreamGenerate` call answers with.
pub(super) type Events = BoxStream<'static, Result<StreamGenerateResponse, Status>>;

/// The events of a reply. Dropping them drops the reply, which aborts the upstream.
pub(super) fn events(reply: Reply) -> Events {
    let Reply { meta, body } = reply;
    match body {
        ReplyBody::Complete(whole) => stream::iter(at_once(&meta, whole)).map(Ok).boxed(),
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
    events.push(stream_finish(
        whole.tap.finish,
        whole.tap.usage,
        meta.cost_usd,
        meta.elapsed,
    ));
    events
}

struct Running {
    meta: ReplyMeta,
    /// Gone once it has ended.
    upstream: Option<ReplyStream>,
    began: Moment,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// What one chunk holds: at most a text and a piece of tool calls, plus the start before all.
    ready: VecDeque<StreamGenerateResponse>,
}

fn running(
    meta: ReplyMeta,
    upstream: ReplyStream,
) -> impl Stream<Item = Result<StreamGenerateResponse, Status>> {
    let ready = VecDeque::from([started(&meta)]);
    let (began, upstream) = (Moment::now(), Some(upstream));
    let running = Running {
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
                Some(Ok(mut chunk)) => {
                    self.finish = chunk.tap.finish.or(self.finish);
                    self.usage = chunk.tap.usage.or(self.usage);
                    self.ready.extend(pieces(&mut chunk.tap, &chunk.raw));
                }
                Some(Err(error)) => {
                    self.upstream = None;
                    return Some(Err(status::report(&error, &self.meta.id)));
                }
                None => {
                    let cost = upstream.end().cost_usd.or(self.meta.cost_usd);
                    self.upstream = None;
                    let elapsed = self.meta.elapsed + Moment::now().since(self.began);
                    return Some(Ok(stream_finish(self.finish, self.usage, cost, elapsed)));
                }
            }
        }
    }
}
