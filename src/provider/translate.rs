//! A streamed answer in another dialect than OpenAI's: messages off the wire → events → chunks.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::try_unfold;
use serde::de::IgnoredAny;

use super::key::KeyGuard;
use super::openai::stream::CUT_OFF;
use super::wire::body::Body;
use super::{ChunkStream, Class, Failure};
use crate::dialect::lines::{Lines, MAX_MEDIA};
use crate::dialect::openai::build::Head;
use crate::dialect::sse::Splitter;
use crate::dialect::whole::Whole;
use crate::types::{Chunk, Dialect, Event, Tap};

/// Reads one dialect's messages. Pure: an upstream's fault is a value.
pub(super) trait Decode: Send + 'static {
    /// What one message says, appended to `said`. A message that is no answer and cannot have
    /// carried a part of one says nothing.
    ///
    /// # Errors
    /// The upstream's own error, or a message that may have carried a part of the answer and cannot
    /// be read; nothing is read after it. Texts may quote the upstream.
    fn message(&mut self, message: &[u8], said: &mut Vec<Event>) -> Result<(), Failure>;

    /// The answer is complete; what follows means nothing.
    fn is_done(&self) -> bool;

    /// The body has ended. An answer whose dialect has no mark for its end may be complete by now.
    fn ended(&mut self, _said: &mut Vec<Event>) {}
}

/// How a body is cut into messages.
pub(super) enum Framing {
    /// Server-sent events.
    Sse(Splitter),
    /// A message a line.
    Lines(Lines),
}

impl Framing {
    pub(super) fn sse() -> Self {
        Framing::Sse(Splitter::default())
    }

    /// Server-sent events of which one may hold a picture.
    pub(super) fn media() -> Self {
        Framing::Sse(Splitter::with_limit(MAX_MEDIA))
    }

    pub(super) fn lines() -> Self {
        Framing::Lines(Lines::default())
    }

    fn push(&mut self, piece: Bytes) {
        match self {
            Framing::Sse(splitter) => splitter.push(piece),
            Framing::Lines(lines) => lines.push(piece),
        }
    }

    fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let next = match self {
            Framing::Sse(splitter) => splitter.next_event().map(|read| read.map(|e| e.data)),
            Framing::Lines(lines) => lines.next_line(),
        };
        next.transpose()
            .map_err(|long| Failure::hard(long.to_string(), long))
    }

    fn rest(&mut self) -> Option<Bytes> {
        match self {
            Framing::Sse(splitter) => splitter.rest().map(|event| event.data),
            Framing::Lines(lines) => lines.rest(),
        }
    }
}

/// What the chunks are written in.
pub(super) enum Form {
    /// OpenAI's, under this head; the upstream's own name for the model replaces the head's.
    OpenAi(Head),
    /// As they came: client and upstream share the dialect. One chunk a message.
    AsCame(Dialect),
}

/// The chunks of `body`. Reads only when polled.
pub(super) fn chunks<D: Decode>(
    body: Body,
    decoder: D,
    (framing, form): (Framing, Form),
    key: KeyGuard,
) -> ChunkStream {
    let reading = Reading {
        body,
        decoder,
        framing,
        form,
        key,
        ready: VecDeque::new(),
        finished: false,
    };
    try_unfold(reading, |mut reading| async move {
        let next = reading.next().await?;
        Ok(next.map(|chunk| (chunk, reading)))
    })
    .boxed()
}

struct Reading<D> {
    body: Body,
    decoder: D,
    framing: Framing,
    form: Form,
    key: KeyGuard,
    /// Chunks of the message read last.
    ready: VecDeque<Chunk>,
    /// Why the answer ended has been said; some upstreams say it twice.
    finished: bool,
}

impl<D: Decode> Reading<D> {
    async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            if self.decoder.is_done() {
                self.body.drain().await;
                return if self.finished {
                    Ok(None)
                } else {
                    Err(cut_off())
                };
            }
            if let Some(message) = self.framing.next()? {
                self.read(&message)?;
                continue;
            }
            match self.body.piece().await? {
                Some(piece) => self.framing.push(piece),
                None => self.rest()?,
            }
        }
    }

    fn read(&mut self, message: &Bytes) -> Result<(), Failure> {
        if message.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        self.check(message)?;
        let mut said = Vec::new();
        let read = self.decoder.message(message, &mut said);
        self.say(said, Some(message));
        read.map_err(|failure| failure.struck(&self.key))
    }

    fn check(&self, message: &[u8]) -> Result<(), Failure> {
        match self.form {
            Form::AsCame(_) if may_carry(message) => as_text(message),
            Form::AsCame(_) | Form::OpenAi(_) => Ok(()),
        }
    }

    fn say(&mut self, said: Vec<Event>, message: Option<&Bytes>) {
        let speaks = |event: &Event| {
            !matches!(
                event,
                Event::Start { .. } | Event::Usage(_) | Event::Signature(_)
            )
        };
        if said.iter().any(speaks) {
            self.body.watch.first_token();
        }
        let ends = said.iter().any(|event| matches!(event, Event::Finish(_)));
        let again = ends && std::mem::replace(&mut self.finished, true);
        match &mut self.form {
            Form::OpenAi(head) => {
                let repeats = |event: &Event| again && matches!(event, Event::Finish(_));
                for event in said.into_iter().filter(|event| !repeats(event)) {
                    if let Event::Start { model, .. } = &event
                        && !model.is_empty()
                    {
                        head.model.clone_from(model);
                    }
                    self.ready.push_back(head.said(&event));
                }
            }
            Form::AsCame(dialect) => {
                // noise on the line is nothing to pass on
                let raw = message.filter(|raw| !again && may_carry(raw)).cloned();
                self.ready.extend(raw.map(|raw| Chunk {
                    raw,
                    dialect: *dialect,
                    tap: tap(said),
                    usage_only: false,
                }));
            }
        }
    }

    /// The body ended: its last message may lack its end, or be cut anywhere.
    fn rest(&mut self) -> Result<(), Failure> {
        if let Some(last) = self.framing.rest() {
            let mut said = Vec::new();
            match self.decoder.message(&last, &mut said) {
                Ok(()) => {
                    self.check(&last)?;
                    self.say(said, Some(&last));
                }
                // a whole message, and its own words say more than that something is missing
                Err(failure) if serde_json::from_slice::<IgnoredAny>(&last).is_ok() => {
                    return Err(failure.struck(&self.key));
                }
                Err(_) => return Err(cut_off()),
            }
        }
        let mut said = Vec::new();
        self.decoder.ended(&mut said);
        self.say(said, None);
        if self.decoder.is_done() || !self.ready.is_empty() {
            return Ok(());
        }
        Err(cut_off())
    }
}

/// What is passed on unread has to be text all the same.
///
/// # Errors
/// It is not valid UTF-8.
pub(super) fn as_text(answer: &[u8]) -> Result<(), Failure> {
    std::str::from_utf8(answer)
        .map(|_| ())
        .map_err(|error| Failure::hard("upstream sent an answer that is not valid UTF-8", error))
}

fn cut_off() -> Failure {
    Failure::new(Class::Hard, CUT_OFF)
}

/// The facts of one message kept as it came.
fn tap(said: Vec<Event>) -> Tap {
    let real = said.iter().any(|event| match event {
        Event::Text(text) | Event::Refusal(text) | Event::Thinking(text) => !text.is_empty(),
        Event::ToolCall { .. } | Event::Arguments { .. } | Event::Redacted(_) => true,
        Event::Start { .. } | Event::Signature(_) | Event::Usage(_) | Event::Finish(_) => false,
    });
    Tap {
        real,
        ..Whole::of(said).tap()
    }
}

/// Whether a message that cannot be read may have carried a part of an answer: it looks like the
/// beginning of an object with a name in it. Anything else is noise on the line, and skipped.
pub(super) fn may_carry(message: &[u8]) -> bool {
    let text = message.trim_ascii_start();
    matches!(text.first(), Some(b'{' | b'[')) && text.contains(&b'"')
}

#[cfg(test)]
mod tests;
