//! What the cache learns of its own mistakes, off the request's path.
//!
//! ```text
//! bounds  exact confidence bounds of a rate
//! record  how often reuse was wrong, shrunk from the cache down to one entry
//! tier    one route's semantic tier: raises its bar, switches itself off, comes back
//! judge   do two answers tell the same?
//! book    all of it in memory, with the vetoes
//! file    all of it on disk
//! handle  what the cache's handle offers of it
//! ```
//!
//! A share of semantic hits is asked upstream once more after the caller was answered; whoever does
//! that brings the verdict here. A wrong entry is withdrawn and its pair vetoed; the verdicts correct
//! the estimates of other entries, and a route whose tier is broken by the evidence loses it for a
//! time.

mod book;
pub mod bounds;
mod file;
mod handle;
pub mod judge;
mod lately;
pub mod record;
pub mod tier;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use judge::Verdict;
pub use record::Evidence;
pub use tier::{Rate, TierState};

use super::key::PairId;
use crate::types::report::CacheLearning;
pub(crate) use book::About;
use book::Book;
use file::Found;
pub(crate) use handle::name_of;
use tier::Change;

/// Least time between two writes of what was learnt; vetoes by hand do not wait.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// The route of requests that matched no rule.
pub const NO_ROUTE: &str = "none";
/// Share of a tier's hits that is checked at least while it is on probation.
const PROBATION_SHARE: f64 = 0.25;

/// The book, its file and its counters.
#[derive(Debug, Default)]
pub(crate) struct Learner {
    book: Mutex<Book>,
    path: Option<PathBuf>,
    /// One writer at a time, the latest book last.
    writing: Mutex<()>,
    /// There is something to write, and somebody is on it.
    changed: AtomicBool,
    scheduled: AtomicBool,
    closing: CancellationToken,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    agreed: AtomicU64,
    disagreed: AtomicU64,
    unsure: AtomicU64,
    veto_refusals: AtomicU64,
    damaged: AtomicU64,
    not_written: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Learner {
    /// Reads what was learnt before. Blocks.
    pub(crate) fn open(path: PathBuf) -> Self {
        let learner = Learner::default();
        let book = match file::read(&path) {
            Found::None => Book::default(),
            Found::Book(book) => *book,
            Found::Damaged(why) => {
                count(&learner.counters.damaged);
                tracing::warn!(path = %path.display(), %why, "what the cache had learnt cannot be read, starting over");
                Book::default()
            }
        };
        Learner {
            book: Mutex::new(book),
            path: Some(path),
            ..learner
        }
    }

    /// What the semantic tier of a route may do at `now`.
    pub(crate) fn tier(&self, route: &str, now: u64) -> TierState {
        let (state, change) = self.book.lock().tier(route, now);
        if let Some(change) = change {
            tell(route, change);
        }
        state
    }

    /// What is known of an entry, and whether its pair is vetoed.
    pub(crate) fn about(&self, about: &About<'_>, pair: PairId, now: u64) -> (Evidence, bool) {
        let mut book = self.book.lock();
        let vetoed = book.is_vetoed(pair);
        if vetoed {
            count(&self.counters.veto_refusals);
        }
        (book.evidence(about, now), vetoed)
    }

    /// The pair must not hit.
    pub(crate) fn is_vetoed(&self, pair: PairId) -> bool {
        self.book.lock().is_vetoed(pair)
    }

    /// What is known of an entry.
    pub(crate) fn evidence(&self, about: &About<'_>, now: u64) -> Evidence {
        self.book.lock().evidence(about, now)
    }

    /// Takes a verdict in; a wrong pair is vetoed. True when the entry is to be withdrawn.
    pub(crate) fn judged(
        &self,
        about: &About<'_>,
        (pair, verdict): (PairId, Verdict),
        (now, budget): (u64, f64),
    ) -> bool {
        let wrong = match verdict {
            Verdict::Unsure => {
                count(&self.counters.unsure);
                return false;
            }
            Verdict::Agree => false,
            Verdict::Disagree => true,
        };
        let change = {
            let mut book = self.book.lock();
            if wrong {
                book.veto(pair);
            }
            book.judge(about, wrong, (now, budget))
        };
        if wrong {
            count(&self.counters.disagreed);
        } else {
            count(&self.counters.agreed);
        }
        if let Some(change) = change {
            tell(about.route, change);
        }
        wrong
    }

    /// This pair never hits again.
    pub(crate) fn veto(&self, pair: PairId) {
        self.book.lock().veto(pair);
        self.changed.store(true, Ordering::SeqCst);
    }

    /// The share of semantic hits to check on a route.
    pub(crate) fn share(&self, route: &str, (rate, now): (f64, u64)) -> f64 {
        let probation = rate > 0.0 && self.tier(route, now) == TierState::Probation;
        if probation {
            rate.max(PROBATION_SHARE)
        } else {
            rate
        }
    }

    /// What was learnt.
    pub(crate) fn shown(&self, now: u64) -> CacheLearning {
        let (mut routes, vetoes) = {
            let mut book = self.book.lock();
            (book.routes(now), book.vetoes())
        };
        for route in &mut routes {
            let rate = Rate::of(route.wrong, route.judged);
            route.false_hit_rate = rate.estimate;
            route.false_hit_lower = rate.lower;
            route.false_hit_upper = rate.upper;
        }
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        CacheLearning {
            agreed: get(&counters.agreed),
            disagreed: get(&counters.disagreed),
            unsure: get(&counters.unsure),
            vetoes: vetoes as u64,
            veto_refusals: get(&counters.veto_refusals),
            damaged: get(&counters.damaged),
            not_written: get(&counters.not_written),
            routes,
        }
    }

    /// Writes what has changed, soon and in the background; at most once a second.
    pub(crate) fn write_soon(self: &Arc<Self>, tasks: &TaskTracker) {
        self.changed.store(true, Ordering::SeqCst);
        if self.path.is_none() || self.scheduled.swap(true, Ordering::SeqCst) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            self.scheduled.store(false, Ordering::SeqCst);
            return; // written when the cache is closed
        };
        let learner = Arc::clone(self);
        tasks.spawn_on(async move { learner.write_while_changed().await }, &runtime);
    }

    async fn write_while_changed(self: Arc<Self>) {
        loop {
            let learner = Arc::clone(&self);
            let written = tokio::task::spawn_blocking(move || learner.write_now()).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "what the cache has learnt was not written");
            }
            tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => {}
                () = self.closing.cancelled() => {}
            }
            self.scheduled.store(false, Ordering::SeqCst);
            let more = self.changed.load(Ordering::SeqCst) && !self.closing.is_cancelled();
            if !more || self.scheduled.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }

    /// Writes what has changed and waits for the disk. Blocks.
    ///
    /// # Errors
    /// The disk's; the change stays noted and is written with the next.
    pub(crate) fn write_now(&self) -> std::io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let _one_at_a_time = self.writing.lock();
        if !self.changed.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let written = self.book.lock().written();
        let done = file::write(path, &written);
        if done.is_err() {
            self.changed.store(true, Ordering::SeqCst);
            count(&self.counters.not_written);
        }
        done
    }

    /// No further waits between writes.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }
}

/// Says what a tier did of its own accord; each change once.
fn tell(route: &str, change: Change) {
    match change {
        Change::Raised => {
            tracing::warn!(
                route,
                "semantic cache over its error budget, it risks half as much now"
            );
        }
        Change::SwitchedOff { pause_millis } => {
            let pause_s = pause_millis / 1000;
            tracing::warn!(
                route,
                pause_s,
                "semantic cache still over its error budget, exact answers only"
            );
        }
        Change::Reopened => tracing::info!(route, "semantic cache answers again, on probation"),
        Change::Trusted => tracing::info!(route, "semantic cache within its error budget"),
    }
}

#[cfg(test)]
mod tests;
