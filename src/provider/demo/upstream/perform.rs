//! A stream being given, with whatever was ordered to go wrong on the way.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream::try_unfold;

use super::socket::Lever;
use super::speak::{Mark, Message, Reason, Refusal, Speak};
use super::{Sever, Visit};
use crate::provider::demo::pause;
use crate::provider::demo::play::{Play, Step};
use crate::provider::demo::trouble::{Orders, Trouble};

/// White space in front of a huge line, in bytes.
pub(super) const HUGE: usize = 2 << 20;
/// From one sign of life to the next.
const BEAT: Duration = Duration::from_millis(50);
/// From one word of an endless answer to the next.
const ENDLESS_BEAT: Duration = Duration::from_millis(2);
/// What was said gets this long to leave before a connection breaks.
const LEAVE: Duration = Duration::from_millis(20);
/// Bytes that a torn message lacks.
const TORN: usize = 12;

/// One stream.
pub(super) struct Performance {
    pub(super) visit: Visit,
    pub(super) play: Play,
    pub(super) speak: Box<dyn Speak>,
    pub(super) orders: Orders,
    pub(super) lever: Arc<Lever>,
    pub(super) said: u64,
    pub(super) ready: VecDeque<Bytes>,
    /// The trouble that comes once has come.
    pub(super) struck: bool,
    pub(super) over: bool,
}

impl Performance {
    pub(super) fn body(self) -> Body {
        Body::from_stream(try_unfold(self, |mut performance| async move {
            let next = performance.next().await?;
            Ok::<_, io::Error>(next.map(|bytes| (bytes, performance)))
        }))
    }

    /// All of it at once.
    pub(super) async fn whole(mut self) -> Bytes {
        let mut all = BytesMut::new();
        while let Ok(Some(bytes)) = self.next().await {
            all.extend_from_slice(&bytes);
        }
        all.freeze()
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Ok(Some(bytes));
            }
            if self.over {
                self.visit.finish();
                return Ok(None);
            }
            if let Some(beat) = self.sign_of_life().await {
                return Ok(Some(beat));
            }
            if !self.struck && self.said >= self.orders.after_tokens {
                self.strike().await?;
                if self.over || !self.ready.is_empty() {
                    continue;
                }
            }
            match self.step().await {
                Some(step) => self.take(step),
                None => self.over = true,
            }
        }
    }

    /// The next step; one that never ends has always another word.
    async fn step(&mut self) -> Option<Step> {
        let step = self.play.next().await?;
        let ends = matches!(step, Step::Finish(_) | Step::Usage(_));
        if ends && self.orders.trouble == Trouble::Endless {
            pause(ENDLESS_BEAT).await;
            self.play.back();
            return Some(Step::Word("more ".to_owned()));
        }
        Some(step)
    }

    fn take(&mut self, step: Step) {
        self.said += u64::from(step.is_said());
        for message in self.speak.step(step) {
            self.tell(message);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other trouble shows elsewhere"
    )]
    fn tell(&mut self, message: Message) {
        let Message { bytes, mark } = message;
        let part = mark == Mark::Part;
        let due = part && !self.struck && self.said > self.orders.after_tokens;
        match self.orders.trouble {
            Trouble::Unterminated if mark == Mark::End => {}
            Trouble::Unfinished if matches!(mark, Mark::Finish | Mark::End) => {}
            Trouble::FinishTwice if mark == Mark::Finish => {
                self.ready.extend([bytes.clone(), bytes]);
            }
            Trouble::Heartbeats if part => {
                self.ready.extend([self.speak.heartbeat(), bytes]);
            }
            Trouble::Torn if due => {
                self.struck = true;
                self.ready.push_back(torn(&bytes));
            }
            Trouble::HugeLine if due => {
                self.struck = true;
                self.ready.push_back(huge(&bytes));
            }
            _ => self.ready.push_back(bytes),
        }
    }

    /// What keeps a connection alive before the first word.
    async fn sign_of_life(&mut self) -> Option<Bytes> {
        let Trouble::SlowStart { millis } = self.orders.trouble else {
            return None;
        };
        let beats = u64::try_from(BEAT.as_millis()).unwrap_or(1);
        self.orders.trouble = match millis.saturating_sub(beats) {
            0 => Trouble::None,
            millis => Trouble::SlowStart { millis },
        };
        pause(BEAT).await;
        Some(self.speak.heartbeat())
    }

    /// What goes wrong once, at its moment.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other trouble shows elsewhere"
    )]
    async fn strike(&mut self) -> io::Result<()> {
        match self.orders.trouble {
            Trouble::Cut => {
                self.visit.finish();
                // a moment's silence lets the words before the cut leave the buffer
                tokio::task::yield_now().await;
                return Err(io::Error::other(Sever));
            }
            Trouble::CutByReset => {
                pause(LEAVE).await;
                self.visit.finish();
                self.lever.reset();
                return Err(io::Error::other(Sever));
            }
            Trouble::Stall => std::future::pending::<()>().await,
            Trouble::Noise => self.ready.push_back(self.speak.framed("{not json}")),
            Trouble::ErrorInside => {
                let refusal = Refusal::new(500, Reason::Told);
                self.ready.push_back(self.speak.error_message(&refusal));
                self.over = true;
            }
            // told where messages are
            Trouble::Torn | Trouble::HugeLine => return Ok(()),
            _ => {}
        }
        self.struck = true;
        Ok(())
    }
}

/// A message that lacks the end of its JSON, not the end of its frame.
fn torn(bytes: &[u8]) -> Bytes {
    let end = bytes.trim_ascii_end().len();
    let kept = &bytes[..end.saturating_sub(TORN)];
    Bytes::from([kept, &bytes[end..]].concat())
}

/// JSON with two mebibytes of white space in it.
pub(super) fn huge(bytes: &[u8]) -> Bytes {
    let at = bytes
        .iter()
        .position(|byte| *byte == b'{')
        .map_or(0, |at| at + 1);
    Bytes::from([&bytes[..at], &vec![b' '; HUGE], &bytes[at..]].concat())
}

/// An answer that is not streamed.
pub(super) struct Whole {
    pub(super) visit: Visit,
    pub(super) text: Bytes,
    pub(super) trouble: Trouble,
    pub(super) lever: Arc<Lever>,
}

impl Whole {
    /// The body, where something goes wrong while it is sent; the text where nothing does.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other trouble shows elsewhere"
    )]
    pub(super) fn body(mut self) -> Body {
        let half = self.text.slice(..self.text.len() / 2);
        match self.trouble {
            Trouble::Cut => {
                self.visit.finish();
                broken(half)
            }
            Trouble::CutByReset => {
                let lever = Arc::clone(&self.lever);
                self.visit.finish();
                after(half, async move {
                    pause(LEAVE).await;
                    lever.reset();
                    Err(io::Error::other(Sever))
                })
            }
            Trouble::Stall => {
                let visit = self.visit;
                after(half, async move {
                    std::future::pending::<()>().await;
                    drop(visit);
                    Ok(Bytes::new())
                })
            }
            Trouble::Endless => endless(self.visit, half),
            Trouble::SlowStart { millis } => slow(self.visit, self.text, millis),
            Trouble::Noise => self.done(Bytes::from_static(b"{not json}")),
            Trouble::Torn => {
                let torn = torn(&self.text);
                self.done(torn)
            }
            Trouble::HugeLine => {
                let huge = huge(&self.text);
                self.done(huge)
            }
            _ => {
                let text = self.text.clone();
                self.done(text)
            }
        }
    }

    fn done(mut self, text: Bytes) -> Body {
        self.visit.finish();
        Body::from(text)
    }
}

/// `said`, and then a closed connection.
pub(super) fn broken(said: Bytes) -> Body {
    after(said, async {
        pause(LEAVE).await;
        Err(io::Error::other(Sever))
    })
}

/// `first`, and then whatever comes of `then`.
fn after(first: Bytes, then: impl Future<Output = io::Result<Bytes>> + Send + 'static) -> Body {
    use futures::StreamExt;
    let first = futures::stream::once(async { Ok(first) });
    Body::from_stream(first.chain(futures::stream::once(then)))
}

fn endless(visit: Visit, half: Bytes) -> Body {
    let more = Bytes::from(vec![b' '; 1024]);
    let state = (visit, Some(half));
    Body::from_stream(try_unfold(state, move |(visit, first)| {
        let more = more.clone();
        async move {
            if first.is_none() {
                pause(ENDLESS_BEAT).await;
            }
            Ok::<_, io::Error>(Some((first.unwrap_or(more), (visit, None))))
        }
    }))
}

/// White space until it is time: a sign of life that JSON allows.
fn slow(visit: Visit, text: Bytes, millis: u64) -> Body {
    let beats = Duration::from_millis(millis).div_duration_f64(BEAT).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an hour has 72,000 beats"
    )]
    let beats = beats as u64;
    let state = (visit, beats, Some(text));
    Body::from_stream(try_unfold(state, |(mut visit, beats, text)| async move {
        if let Some(left) = beats.checked_sub(1) {
            pause(BEAT).await;
            return Ok::<_, io::Error>(Some((Bytes::from_static(b" "), (visit, left, text))));
        }
        if text.is_none() {
            visit.finish();
        }
        Ok(text.map(|text| (text, (visit, 0, None))))
    }))
}
