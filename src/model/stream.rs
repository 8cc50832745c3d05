//! A running stream with its permit, its verdict and its time limits inside.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{StreamExt, stream};

use super::verdict::Verdict;
use crate::provider::{ChunkStream, Class, Failure};
use crate::queue::Permit;
use crate::types::{Chunk, Moment};

/// Longest that counts are waited for once the answer is whole: what comes after it comes at once.
const AFTER_THE_END: Duration = Duration::from_secs(5);

/// When a stream is cut off, and on whose account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// The attempt's total limit: the model's fault.
    pub(super) attempt: Moment,
    /// The client's own deadline: nobody's fault.
    pub(super) client: Moment,
}

/// What travels with a stream. Dropping it aborts the upstream and gives the permit back.
pub(super) struct Guarded {
    first: VecDeque<Chunk>,
    rest: ChunkStream,
    _permit: Permit,
    verdict: Option<Verdict>,
    idle: Duration,
    ends: Ends,
    out_of_time: bool,
    finished: bool,
}

impl Guarded {
    pub(super) fn new(
        first: Vec<Chunk>,
        rest: ChunkStream,
        (permit, verdict): (Permit, Verdict),
        (idle, ends): (Duration, Ends),
    ) -> Self {
        Guarded {
            first: first.into(),
            rest,
            _permit: permit,
            verdict: Some(verdict),
            idle,
            ends,
            out_of_time: false,
            finished: false,
        }
    }

    fn saw(&mut self, chunk: &Chunk) {
        self.finished |= chunk.tap.finish.is_some();
        if let Some(verdict) = &mut self.verdict {
            verdict.saw(&chunk.tap);
        }
    }

    async fn next(&mut self) -> Option<Result<Chunk, Failure>> {
        if let Some(chunk) = self.first.pop_front() {
            self.saw(&chunk);
            return Some(Ok(chunk));
        }
        let (now, ends) = (Moment::now(), self.ends.attempt.min(self.ends.client));
        let left = now.until(ends);
        let most = if self.finished {
            self.idle.min(AFTER_THE_END)
        } else {
            self.idle
        };
        let next = tokio::time::timeout(most.min(left), self.rest.next()).await;
        match next {
            Ok(Some(Ok(chunk))) => {
                self.saw(&chunk);
                Some(Ok(chunk))
            }
            // the answer is whole: what breaks after it is no concern of the client's
            Ok(Some(Err(_))) if self.finished => None,
            Ok(Some(Err(failure))) => Some(Err(failure)),
            Ok(None) if self.finished => None,
            Ok(None) => Some(Err(Failure::new(
                Class::Hard,
                "upstream cut the stream off before it finished",
            ))),
            Err(_) if self.finished => None,
            Err(_) if left < self.idle && self.ends.client <= self.ends.attempt => {
                self.out_of_time = true;
                Some(Err(Failure::timed_out("the request's time ran out")))
            }
            Err(_) if left < self.idle => Some(Err(Failure::timed_out(
                "answer took longer than the total limit",
            ))),
            Err(_) => Some(Err(Failure::timed_out(format!(
                "stream silent for {:?}",
                self.idle
            )))),
        }
    }
}

/// The stream itself. An `Err` is its last item.
pub(super) fn guarded(parts: Guarded) -> ChunkStream {
    stream::unfold(Some(parts), |parts| async move {
        let mut parts = parts?;
        match parts.next().await {
            Some(Ok(chunk)) => Some((Ok(chunk), Some(parts))),
            Some(Err(failure)) => {
                match parts.verdict.take() {
                    Some(verdict) if parts.out_of_time => verdict.out_of_time(false),
                    Some(verdict) => verdict.failed(&failure),
                    None => {}
                }
                Some((Err(failure), None))
            }
            None => {
                if let Some(verdict) = parts.verdict.take() {
                    verdict.answered();
                }
                None
            }
        }
    })
    .boxed()
}
