//! Which requests were answered, and how: a command that comes twice changes something once.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::MAX_REMEMBERED;
use super::rows;
use crate::command::{Outcome, RequestId};

/// Most bytes of all outcomes kept; an outcome of several breakers is large, and those are
/// recognised by their epochs anyway.
const MAX_BYTES: usize = 8 << 20;
/// Requests in one shared part: a new one copies at most so many while older states are held.
const PART: usize = 128;

/// A request and its outcome, as they are stored.
#[derive(Serialize, Deserialize)]
struct Answered {
    request: RequestId,
    outcome: Outcome,
}

/// The latest requests, numbered from 1. Cheap to clone: only the last part is ever copied.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    parts: VecDeque<Arc<Part>>,
    /// Requests forgotten in the first part.
    gone: usize,
    /// The number of the first that is still known.
    first: u64,
    len: usize,
    bytes: usize,
}

/// Ids beside values, so that a search reads ids only.
#[derive(Clone, Debug, Default)]
struct Part {
    ids: Vec<RequestId>,
    values: Vec<Arc<[u8]>>,
}

impl Remembered {
    /// The outcome it had.
    pub(super) fn outcome(&self, request: RequestId) -> Option<Outcome> {
        let value = self.find(request)?;
        rows::decode::<Answered>(value)
            .ok()
            .map(|known| known.outcome)
    }

    /// Keeps an outcome; tells the numbers that changed: the new one, and those that gave way.
    pub(super) fn remember(&mut self, request: RequestId, outcome: &Outcome) -> Vec<u64> {
        let value = rows::encode(&Answered {
            request,
            outcome: outcome.clone(),
        });
        let number = self.next();
        self.push(request, value);
        let mut changed = vec![number];
        while self.len > MAX_REMEMBERED || (self.bytes > MAX_BYTES && self.len > 1) {
            changed.push(self.first);
            self.forget_first();
        }
        changed
    }

    /// Puts a stored row back, in the order of numbers.
    pub(super) fn restore(&mut self, number: u64, value: Vec<u8>) -> Result<(), String> {
        let known: Answered = rows::decode(&value)?;
        if self.len == 0 {
            self.first = number;
        } else if number != self.next() {
            return Err(format!("request {} is missing before it", self.next()));
        }
        self.push(known.request, value);
        Ok(())
    }

    /// The stored form of a number; `None` when it is forgotten.
    pub(super) fn value(&self, number: u64) -> Option<&[u8]> {
        let offset = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let at = offset.checked_add(self.gone)?;
        let part = self.parts.get(at / PART)?;
        part.values.get(at % PART).map(AsRef::as_ref)
    }

    /// Every number that is known, with its stored form.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let values = self.parts.iter().flat_map(|part| &part.values);
        let known = values.skip(self.gone).map(AsRef::as_ref);
        (self.first..).zip(known)
    }

    /// The number of the next request; the first ever is 1.
    fn next(&self) -> u64 {
        self.first.max(1).saturating_add(self.len as u64)
    }

    fn find(&self, request: RequestId) -> Option<&[u8]> {
        let mut skip = self.gone;
        for part in &self.parts {
            let known = part.ids.get(skip..).unwrap_or_default();
            if let Some(at) = known.iter().position(|id| *id == request) {
                return part.values.get(skip + at).map(AsRef::as_ref);
            }
            skip = 0;
        }
        None
    }

    fn push(&mut self, request: RequestId, value: Vec<u8>) {
        self.first = self.first.max(1);
        if self.parts.back().is_none_or(|part| part.ids.len() == PART) {
            self.parts.push_back(Arc::default());
        }
        if let Some(part) = self.parts.back_mut() {
            let part = Arc::make_mut(part);
            self.bytes += value.len();
            self.len += 1;
            part.ids.push(request);
            part.values.push(value.into());
        }
    }

    fn forget_first(&mut self) {
        if let Some(value) = self.value(self.first) {
            self.bytes -= value.len();
        }
        self.len -= 1;
        self.first += 1;
        self.gone += 1;
        if self.gone == PART {
            self.parts.pop_front();
            self.gone = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, MAX_REMEMBERED, PART, Remembered};
    use crate::command::{Done, Outcome, RequestId};

    fn done(text: &str) -> Outcome {
        Outcome::Done(Done::Key {
            id: text.to_owned(),
        })
    }

    #[test]
    fn the_oldest_gives_way_and_the_others_are_still_known() {
        let mut table = Remembered::default();
        let more = PART * 2 + 7;
        for n in 0..MAX_REMEMBERED + more {
            let changed = table.remember(RequestId(n as u128), &done("x"));
            assert_eq!(changed[0], n as u64 + 1);
            assert_eq!(changed.len(), if n < MAX_REMEMBERED { 1 } else { 2 });
        }
        assert_eq!(table.outcome(RequestId(more as u128 - 1)), None);
        assert_eq!(table.value(more as u64), None);
        assert_eq!(table.outcome(RequestId(more as u128)), Some(done("x")));
        assert_eq!(table.iter().count(), MAX_REMEMBERED);
        let (number, value) = table.iter().next().unwrap();
        assert_eq!(number, more as u64 + 1);
        assert_eq!(table.value(number), Some(value));
    }

    #[test]
    fn large_outcomes_are_bounded_by_their_bytes_and_the_latest_is_always_kept() {
        let mut table = Remembered::default();
        let large = done(&"x".repeat(MAX_BYTES / 3));
        for n in 0..5u128 {
            table.remember(RequestId(n), &large);
        }
        assert_eq!(table.iter().count(), 2);
        table.remember(RequestId(9), &done(&"x".repeat(MAX_BYTES + 1)));
        assert_eq!(table.iter().count(), 1);
        assert!(table.outcome(RequestId(9)).is_some());
    }

    #[test]
    fn restoring_refuses_a_gap_and_goes_on_counting() {
        let mut table = Remembered::default();
        for n in 0..3u128 {
            table.remember(RequestId(n), &done("x"));
        }
        let stored: Vec<(u64, Vec<u8>)> = table
            .iter()
            .map(|(n, value)| (n + 40, value.to_vec()))
            .collect();
        let mut back = Remembered::default();
        back.restore(stored[0].0, stored[0].1.clone()).unwrap();
        assert!(back.restore(stored[2].0, stored[2].1.clone()).is_err());
        back.restore(stored[1].0, stored[1].1.clone()).unwrap();
        assert_eq!(back.remember(RequestId(8), &done("y")), vec![43]);
        assert!(back.restore(44, vec![1, b'{']).is_err());
    }
}
