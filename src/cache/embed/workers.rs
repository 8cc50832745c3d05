//! The threads that run the model, and the bounded queue in front of them.
//!
//! A forward pass is milliseconds of pure computation, so it runs on threads of its own and never on
//! an async one. Nobody waits for a place in the queue: a full queue is an answer, and so is one
//! that would take longer than the caller has. Under load a worker takes several texts of about one
//! length at once; it never waits for more to come, since whatever came while it was busy is there
//! already. A job whose caller has gone, or whose time is over, is skipped. A panic costs the job it
//! happened in: the others of its batch are run again one by one, the worker starts over with fresh
//! buffers, the count goes up.

mod pace;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::EmbedError;
use super::states::States;
use super::vector::Vector;
use crate::types::Moment;
use pace::{Pace, Size, batch_of};

/// Jobs that may wait: at 4 ms each that is a second of work for one core, longer than any lookup
/// is worth waiting for.
pub(super) const QUEUE_JOBS: usize = 256;
/// More threads than this would only compete for memory bandwidth.
const MAX_WORKERS: usize = 64;

/// How much of the model's output a job wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// The vector alone.
    Vector,
    /// The rows it is made of as well.
    States,
}

/// One text of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) text: &'a str,
    pub(super) want: Want,
}

/// What a text became.
#[derive(Debug)]
pub(super) enum Meaning {
    /// As [`Want::Vector`] asks.
    Vector(Arc<Vector>),
    /// As [`Want::States`] asks.
    States(Arc<States>),
}

/// What a job comes to; `None` for a text that is too long.
pub(super) type Outcome = Result<Option<Meaning>, EmbedError>;
/// What a worker does with texts: one outcome for each, in their order.
pub(super) type Work = Box<dyn FnMut(&[Ask<'_>]) -> Vec<Outcome>>;

struct Job {
    text: String,
    want: Want,
    size: Size,
    deadline: Moment,
    reply: oneshot::Sender<Outcome>,
}

struct State {
    jobs: VecDeque<Job>,
    /// Workers with nothing to do.
    idle: usize,
    /// Cost of what waits and of what runs, in word pieces.
    backlog: usize,
    pace: Pace,
    closed: bool,
}

struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
    workers: usize,
    panics: AtomicU64,
}

/// The threads. They end when this is dropped.
pub(super) struct Workers {
    queue: Arc<Queue>,
}

/// How many threads, how long a queue, and what a text took when the model was tried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// 0: one per core.
    pub(super) workers: usize,
    /// Jobs.
    pub(super) capacity: usize,
    /// A text, and the time it took.
    pub(super) tried: (&'a str, Duration),
}

impl Workers {
    /// Starts the threads, each with its own `make()`, over one queue. When a thread cannot be
    /// started, those already running end again.
    pub(super) fn start(
        plan: Plan<'_>,
        make: impl Fn() -> Work + Send + Sync + 'static,
    ) -> Result<Self, EmbedError> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let count = if plan.workers == 0 {
            cores()
        } else {
            plan.workers
        };
        let count = count.min(MAX_WORKERS);
        let (text, took) = plan.tried;
        let state = Mutex::new(State {
            jobs: VecDeque::new(),
            idle: 0,
            backlog: 0,
            pace: Pace::starting(took, Size::of(text).cost()),
            closed: false,
        });
        let queue = Queue {
            state,
            wake: Condvar::new(),
            capacity: plan.capacity,
            workers: count,
            panics: AtomicU64::new(0),
        };
        let workers = Workers {
            queue: Arc::new(queue),
        };
        let make = Arc::new(make);
        for number in 0..count {
            let (queue, make) = (Arc::clone(&workers.queue), Arc::clone(&make));
            thread::Builder::new()
                .name(format!("embed-{number}"))
                .spawn(move || run(&queue, &*make))
                .map_err(EmbedError::Threads)?;
        }
        Ok(workers)
    }

    /// Queues a text and waits for it, at most until `deadline`. Busy at once when the queue is
    /// full, or when the work before it would, at the pace seen lately, take until then.
    pub(super) async fn submit(&self, text: &str, want: Want, deadline: Moment) -> Outcome {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Job {
            text: text.to_owned(),
            want,
            size: Size::of(text),
            deadline,
            reply,
        })?;
        match tokio::time::timeout_at(deadline.to_instant(), answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(EmbedError::Lost),
            Err(_) => Err(EmbedError::Late),
        }
    }

    /// Jobs waiting.
    pub(super) fn waiting(&self) -> usize {
        self.queue.state.lock().jobs.len()
    }

    /// Panics survived.
    pub(super) fn panics(&self) -> u64 {
        self.queue.panics.load(Ordering::Relaxed)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.queue.wake.notify_all();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("waiting", &self.waiting())
            .field("panics", &self.panics())
            .finish()
    }
}

impl Queue {
    fn push(&self, job: Job) -> Result<(), EmbedError> {
        let now = Moment::now();
        if now >= job.deadline {
            return Err(EmbedError::Late);
        }
        let mut state = self.state.lock();
        if !state.has_room(&job, now, self) {
            // Jobs that nobody waits for any more do not count against those that someone does.
            state.forget_the_gone();
            if !state.has_room(&job, now, self) {
                return Err(EmbedError::Busy);
            }
        }
        state.backlog += job.size.cost();
        state.jobs.push_back(job);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// The next jobs someone still waits for; `None` once the queue is closed.
    fn pop(&self) -> Option<Vec<Job>> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            match state.next() {
                Some(first) => return Some(state.batch_with(first)),
                None => {
                    state.idle += 1;
                    self.wake.wait(&mut state);
                    state.idle -= 1;
                }
            }
        }
    }

    /// Jobs of this cost are done; `took` when they ran to the end.
    fn done(&self, cost: usize, took: Option<Duration>) {
        let mut state = self.state.lock();
        state.backlog = state.backlog.saturating_sub(cost);
        if let Some(took) = took {
            state.pace.saw(took, cost);
        }
    }
}

impl State {
    /// Whether the job may wait, and would come to its turn in time. With nothing before it, it
    /// always would: so a pace that was misjudged is soon put right.
    fn has_room(&self, job: &Job, now: Moment, queue: &Queue) -> bool {
        let work = self.backlog + job.size.cost();
        let in_time = now + self.pace.expects(work, queue.workers) < job.deadline;
        self.jobs.len() < queue.capacity && (self.backlog == 0 || in_time)
    }

    fn forget_the_gone(&mut self) {
        let mut gone = 0;
        self.jobs.retain(|job| {
            let stays = !job.reply.is_closed();
            gone += if stays { 0 } else { job.size.cost() };
            stays
        });
        self.backlog = self.backlog.saturating_sub(gone);
    }

    /// The first job someone still waits for.
    fn next(&mut self) -> Option<Job> {
        while let Some(job) = self.jobs.pop_front() {
            if job.reply.is_closed() {
                self.backlog = self.backlog.saturating_sub(job.size.cost());
            } else if Moment::now() >= job.deadline {
                self.backlog = self.backlog.saturating_sub(job.size.cost());
                // Says so itself: a reply dropped without a word would look like a panic.
                let _ = job.reply.send(Err(EmbedError::Late));
            } else {
                return Some(job);
            }
        }
        None
    }

    /// The job and others of its length, as many as belong to one worker.
    fn batch_with(&mut self, first: Job) -> Vec<Job> {
        let bucket = first.size.bucket();
        let alike = |job: &Job| job.size.bucket() == bucket && !job.reply.is_closed();
        let waiting = self.jobs.iter().filter(|job| alike(job)).count();
        let most = batch_of(first.size, waiting, self.idle);
        let mut batch = vec![first];
        let mut place = 0;
        while batch.len() < most && place < self.jobs.len() {
            if self.jobs.get(place).is_some_and(alike) {
                batch.extend(self.jobs.remove(place));
            } else {
                place += 1;
            }
        }
        batch
    }
}

fn run(queue: &Queue, make: &(dyn Fn() -> Work + Send + Sync)) {
    // Made for the first job rather than before it: a `make` that panics costs jobs, never a loop.
    let mut work = None;
    while let Some(batch) = queue.pop() {
        let cost = batch.iter().map(|job| job.size.cost()).sum();
        let started = Moment::now();
        let outcomes = attempt(queue, make, &mut work, &batch);
        let took = outcomes.is_some().then(|| Moment::now().since(started));
        // Before the answers: whoever has one in hand finds its work gone from the backlog.
        queue.done(cost, took);
        match outcomes {
            Some(outcomes) => {
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    // The caller may have stopped waiting meanwhile; then nobody misses the answer.
                    let _ = job.reply.send(outcome);
                }
            }
            None if batch.len() > 1 => {
                for job in batch {
                    let alone = attempt(queue, make, &mut work, std::slice::from_ref(&job));
                    if let Some(outcome) = alone.and_then(|mut outcomes| outcomes.pop()) {
                        let _ = job.reply.send(outcome);
                    }
                }
            }
            None => {}
        }
    }
}

/// Runs a batch; `None` after a panic, whose half-written buffers go with the work.
fn attempt(
    queue: &Queue,
    make: &(dyn Fn() -> Work + Send + Sync),
    work: &mut Option<Work>,
    batch: &[Job],
) -> Option<Vec<Outcome>> {
    let asks = batch
        .iter()
        .map(|Job { text, want, .. }| Ask { text, want: *want });
    let asks: Vec<Ask<'_>> = asks.collect();
    let outcomes = catch_unwind(AssertUnwindSafe(|| work.get_or_insert_with(make)(&asks)));
    if outcomes.is_err() {
        *work = None;
        queue.panics.fetch_add(1, Ordering::Relaxed);
    }
    outcomes.ok()
}

#[cfg(test)]
mod tests;
