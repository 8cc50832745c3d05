//! Linearizability, by the search of Wing and Gong with the memory of Lowe.
//!
//! Every operation must seem to happen at one moment between its call and its return. The search
//! tries orders: it takes an operation that was called before any remaining one returned, lets the
//! model do it, and goes back where nothing fits. A set of operations done and the state they led
//! to is never tried twice.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

/// What an operation may answer in a state.
pub trait Model {
    /// The state.
    type State: Clone + Eq + Hash + Debug;
    /// An operation with its answer.
    type Operation: Debug;

    /// The state before any operation.
    fn initial(&self) -> Self::State;

    /// The state after the operation; `None` where its answer is impossible. An operation whose
    /// answer never came is asked in the same way; it may also never happen.
    fn step(&self, state: &Self::State, operation: &Self::Operation) -> Option<Self::State>;
}

/// An operation and when it was under way.
#[derive(Clone, Debug)]
pub struct Span<O> {
    /// When it was called.
    pub called: Duration,
    /// When its answer came; `None` where none came, so that it may happen at any time or never.
    pub returned: Option<Duration>,
    /// What it was.
    pub operation: O,
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none; in words, where the longest attempt stuck.
    Violated(String),
    /// The search was ended at its limit of steps: nothing is known.
    GaveUp,
}

/// Looks for an order, in at most so many steps.
pub fn check<M: Model>(model: &M, spans: &[Span<M::Operation>], most_steps: u64) -> Verdict {
    let mut search = Search::new(model, spans);
    for _ in 0..most_steps {
        match search.advance() {
            Progress::Going => {}
            Progress::Found => return Verdict::Linearizable,
            Progress::Exhausted => return Verdict::Violated(search.stuck()),
        }
    }
    Verdict::GaveUp
}

enum Progress {
    Going,
    Found,
    Exhausted,
}

/// An operation that was done in the order tried now, and what to return to without it.
struct Taken<S> {
    span: usize,
    before: S,
    hash_before: u128,
}

struct Search<'a, M: Model> {
    model: &'a M,
    spans: &'a [Span<M::Operation>],
    /// By the time of the call.
    order: Vec<usize>,
    /// Remaining operations, as a list through `order`'s positions; the last place is the end.
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where the search looks now.
    at: usize,
    /// The earliest return among operations looked at since the head: none called later may go
    /// before it.
    horizon: Option<Duration>,
    state: M::State,
    hash: u128,
    taken: Vec<Taken<M::State>>,
    seen: HashSet<(u128, M::State)>,
    /// Answered operations that remain.
    answered_left: usize,
    deepest: usize,
    deepest_state: M::State,
    deepest_left: Vec<usize>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, spans: &'a [Span<M::Operation>]) -> Self {
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by_key(|&span| spans[span].called);
        let places = spans.len() + 1;
        // Place 0 is the head; place n + 1 stands for `order[n]`; a next of `places` is the end.
        let next = (1..=places).collect();
        let previous = (0..=places)
            .map(|place: usize| place.saturating_sub(1))
            .collect();
        Search {
            model,
            spans,
            order,
            next,
            previous,
            at: 1,
            horizon: None,
            state: model.initial(),
            hash: 0,
            taken: Vec::new(),
            seen: HashSet::new(),
            answered_left: spans.iter().filter(|span| span.returned.is_some()).count(),
            deepest: 0,
            deepest_state: model.initial(),
            deepest_left: Vec::new(),
        }
    }

    fn span(&self, place: usize) -> Option<&'a Span<M::Operation>> {
        self.order
            .get(place.checked_sub(1)?)
            .map(|&span| &self.spans[span])
    }

    fn advance(&mut self) -> Progress {
        if self.answered_left == 0 {
            return Progress::Found;
        }
        let reachable = self
            .span(self.at)
            .filter(|span| self.horizon.is_none_or(|horizon| span.called <= horizon));
        let Some(span) = reachable else {
            return self.go_back();
        };
        if let Some(after) = self.possible(span) {
            let hash = self.hash ^ mark(self.at);
            if self.seen.insert((hash, after.clone())) {
                self.take(span, after, hash);
                return Progress::Going;
            }
        }
        self.pass(span);
        Progress::Going
    }

    /// An operation without an answer is done only where that makes a difference: otherwise it may
    /// as well be left out.
    fn possible(&self, span: &Span<M::Operation>) -> Option<M::State> {
        let after = self.model.step(&self.state, &span.operation)?;
        (span.returned.is_some() || after != self.state).then_some(after)
    }

    fn take(&mut self, span: &Span<M::Operation>, after: M::State, hash: u128) {
        let place = self.at;
        self.taken.push(Taken {
            span: place,
            before: std::mem::replace(&mut self.state, after),
            hash_before: std::mem::replace(&mut self.hash, hash),
        });
        let (previous, next) = (self.previous[place], self.next[place]);
        self.next[previous] = next;
        self.previous[next] = previous;
        if span.returned.is_some() {
            self.answered_left -= 1;
        }
        self.rewind();
        self.note_depth();
    }

    fn pass(&mut self, span: &Span<M::Operation>) {
        if let Some(returned) = span.returned {
            self.horizon = Some(
                self.horizon
                    .map_or(returned, |horizon| horizon.min(returned)),
            );
        }
        self.at = self.next[self.at];
    }

    fn go_back(&mut self) -> Progress {
        let Some(taken) = self.taken.pop() else {
            return Progress::Exhausted;
        };
        let place = taken.span;
        self.state = taken.before;
        self.hash = taken.hash_before;
        let (previous, next) = (self.previous[place], self.next[place]);
        self.next[previous] = place;
        self.previous[next] = place;
        // The horizon is that of everything before this place, and of the place itself.
        self.rewind();
        while self.at != place {
            let Some(span) = self.span(self.at) else {
                break;
            };
            self.pass(span);
        }
        if let Some(span) = self.span(place) {
            if span.returned.is_some() {
                self.answered_left += 1;
            }
            self.pass(span);
        }
        Progress::Going
    }

    fn rewind(&mut self) {
        self.at = self.next[0];
        self.horizon = None;
    }

    fn note_depth(&mut self) {
        if self.taken.len() <= self.deepest {
            return;
        }
        self.deepest = self.taken.len();
        self.deepest_state = self.state.clone();
        self.deepest_left.clear();
        let mut place = self.next[0];
        while let Some(&span) = place.checked_sub(1).and_then(|n| self.order.get(n)) {
            if self.deepest_left.len() == 8 {
                break;
            }
            if self.spans[span].returned.is_some() {
                self.deepest_left.push(span);
            }
            place = self.next[place];
        }
    }

    fn stuck(&self) -> String {
        let mut text = format!(
            "no order: after {} of {} operations the state is {:?}, and none of these can be next:",
            self.deepest,
            self.spans.len(),
            self.deepest_state
        );
        for &span in &self.deepest_left {
            let Span {
                called,
                returned,
                operation,
            } = &self.spans[span];
            text.push_str(&format!("\n  {called:?} to {returned:?}: {operation:?}"));
        }
        text
    }
}

/// A number for each place, so that a set of places is the exclusive or of theirs. With 128 bits
/// two sets meet by chance never in practice.
fn mark(place: usize) -> u128 {
    let half = |salt: u64| {
        let mut x = (place as u64).wrapping_mul(2).wrapping_add(salt);
        x = x.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    (u128::from(half(0)) << 64) | u128::from(half(1))
}
