//! An answer as a plugin tells it: events, put in order and held to every limit there is.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, try_unfold};

use super::line::Line;
use super::status::Unheard;
use crate::dialect::openai::build::Head;
use crate::dialect::whole::Whole;
use crate::provider::key::KeyGuard;
use crate::provider::limits::{Phase, Watch};
use crate::provider::openai::stream::CUT_OFF;
use crate::provider::wire::body::MAX_ANSWER;
use crate::provider::{ChunkStream, Class, Failure};
use crate::types::{Completion, Event, Finish};

/// Most tool calls of one answer.
const MAX_CALLS: u32 = 128;
/// How long token counts are waited for once the answer is complete.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// Events as they arrive.
pub(super) type Said = BoxStream<'static, Result<Event, Unheard>>;

/// One answer being listened to. Dropping it cancels the call.
pub(super) struct Listening {
    said: Said,
    watch: Watch,
    key: KeyGuard,
    connect: Duration,
    seen: usize,
    /// The answer's calls so far.
    calls: BTreeSet<u32>,
    begun: bool,
    finished: bool,
    ready: VecDeque<Event>,
}

impl Listening {
    pub(super) fn new(said: Said, mut watch: Watch, line: &Line) -> Self {
        watch.piece();
        Listening {
            said,
            watch,
            key: line.key.clone(),
            connect: line.connect_timeout,
            seen: 0,
            calls: BTreeSet::new(),
            begun: false,
            finished: false,
            ready: VecDeque::new(),
        }
    }

    /// The next event; `None` once the answer is complete.
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.finished {
                return Ok(self.afterwards().await);
            }
            match self.watch.bound(Phase::Piece, self.said.next()).await? {
                None => return Err(Failure::new(Class::Hard, CUT_OFF)),
                Some(Err(unheard)) => return Err(self.failed(unheard)),
                Some(Ok(event)) => self.hear(event)?,
            }
        }
    }

    /// Token counts behind the end, if any. What else goes wrong there means nothing any more.
    async fn afterwards(&mut self) -> Option<Event> {
        let usage = async {
            while let Some(Ok(event)) = self.said.next().await {
                if matches!(event, Event::Usage(_)) {
                    return Some(event);
                }
            }
            None
        };
        tokio::time::timeout(AFTERWARDS, usage).await.ok().flatten()
    }

    fn hear(&mut self, event: Event) -> Result<(), Failure> {
        self.watch.piece();
        self.seen = self.seen.saturating_add(weight(&event));
        if self.seen > MAX_ANSWER {
            let message = format!("answer is over {} MiB", MAX_ANSWER >> 20);
            return Err(Failure::new(Class::Hard, message));
        }
        let event = self.in_order(event)?;
        if !matches!(
            event,
            Event::Start { .. } | Event::Usage(_) | Event::Signature(_)
        ) {
            self.watch.first_token();
        }
        let starts = matches!(event, Event::Start { .. });
        if !self.begun && !starts {
            self.ready.push_back(Event::Start {
                id: String::new(),
                model: String::new(),
            });
        }
        if !(starts && self.begun) {
            self.ready.push_back(event);
        }
        self.begun = true;
        Ok(())
    }

    /// The event as it may be told further, or why it makes no sense.
    fn in_order(&mut self, event: Event) -> Result<Event, Failure> {
        Ok(match event {
            Event::ToolCall { index, .. } if index >= MAX_CALLS => {
                return Err(self.garbled("more than 128 tool calls"));
            }
            Event::ToolCall {
                index,
                id,
                name,
                signature,
            } => {
                if !self.calls.insert(index) {
                    return Err(self.garbled("one tool call began twice"));
                }
                let id = if id.is_empty() {
                    format!("call_{}", uuid::Uuid::now_v7().simple())
                } else {
                    id
                };
                Event::ToolCall {
                    index,
                    id,
                    name,
                    signature,
                }
            }
            Event::Arguments { index, .. } if !self.calls.contains(&index) => {
                return Err(self.garbled("arguments of a tool call that never began"));
            }
            // clients look for calls under this reason alone
            Event::Finish(Finish::Stop | Finish::Other) if !self.calls.is_empty() => {
                self.finished = true;
                Event::Finish(Finish::ToolCalls)
            }
            Event::Finish(finish) => {
                self.finished = true;
                Event::Finish(finish)
            }
            Event::Start { .. }
            | Event::Text(_)
            | Event::Refusal(_)
            | Event::Thinking(_)
            | Event::Signature(_)
            | Event::Redacted(_)
            | Event::Arguments { .. }
            | Event::Usage(_) => event,
        })
    }

    fn garbled(&self, what: &str) -> Failure {
        self.failed(Unheard::Garbled(format!("the plugin sent {what}")))
    }

    fn failed(&self, unheard: Unheard) -> Failure {
        unheard.into_failure(&self.key, self.connect)
    }
}

/// The answer's chunks. Reads only when polled.
pub(super) fn chunks(listening: Listening, head: Head) -> ChunkStream {
    try_unfold((listening, head), |(mut listening, mut head)| async move {
        let Some(event) = listening.next().await? else {
            return Ok(None);
        };
        if let Event::Start { model, .. } = &event
            && !model.is_empty()
        {
            head.model.clone_from(model);
        }
        let chunk = head.said(&event);
        Ok(Some((chunk, (listening, head))))
    })
    .boxed()
}

/// The whole answer.
pub(super) async fn whole(mut listening: Listening, head: &Head) -> Result<Completion, Failure> {
    let mut whole = Whole::default();
    while let Some(event) = listening.next().await? {
        whole.add(event);
    }
    Ok(head.whole(&whole))
}

/// Bytes that an event adds to the answer.
fn weight(event: &Event) -> usize {
    let text = match event {
        Event::Start { id, model } => id.len() + model.len(),
        Event::Text(text)
        | Event::Refusal(text)
        | Event::Thinking(text)
        | Event::Signature(text)
        | Event::Redacted(text) => text.len(),
        Event::ToolCall {
            id,
            name,
            signature,
            ..
        } => id.len() + name.len() + signature.as_ref().map_or(0, String::len),
        Event::Arguments { json, .. } => json.len(),
        Event::Usage(_) | Event::Finish(_) => 0,
    };
    text + 16
}
