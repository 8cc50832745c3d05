//! The threads that run the model, and the bounded queue in front of them.
//!
//! A forward pass is milliseconds of pure computation, so it runs on threads of its own and never on
//! an async one. Nobody waits for a place in the queue: a full queue is an answer. A job whose
//! caller has gone, or whose time is over, is skipped. A panic costs the job it happened in: its
//! caller hears of it, the worker starts over with fresh buffers, the count goes up.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::EmbedError;
use super::states::States;
use super::vector::Vector;
use crate::types::Moment;

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
/// What a worker does with a text.
pub(super) type Work = Box<dyn FnMut(&str, Want) -> Outcome>;

struct Job {
    text: String,
    want: Want,
    deadline: Moment,
    reply: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    capacity: usize,
    panics: AtomicU64,
}

/// The threads. They end when this is dropped.
pub(super) struct Workers {
    queue: Arc<Queue>,
}

impl Workers {
    /// Starts `count` threads (0: one per core), each with its own `make()`, over one queue of
    /// `capacity` jobs. When a thread cannot be started, those already running end again.
    pub(super) fn start(
        count: usize,
        capacity: usize,
        make: impl Fn() -> Work + Send + Sync + 'static,
    ) -> Result<Self, EmbedError> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let count = if count == 0 { cores() } else { count }.min(MAX_WORKERS);
        let state = Mutex::new(State::default());
        let queue = Queue {
            state,
            wake: Condvar::new(),
            capacity,
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

    /// Queues a text and waits for it, at most until `deadline`.
    pub(super) async fn submit(&self, text: &str, want: Want, deadline: Moment) -> Outcome {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Job {
            text: text.to_owned(),
            want,
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
        let mut state = self.state.lock();
        if state.jobs.len() >= self.capacity {
            // Jobs that nobody waits for any more do not count against those that someone does.
            state.jobs.retain(|job| !job.reply.is_closed());
        }
        if state.jobs.len() >= self.capacity {
            return Err(EmbedError::Busy);
        }
        state.jobs.push_back(job);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// The next job someone still waits for; `None` once the queue is closed.
    fn pop(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            match state.jobs.pop_front() {
                Some(job) if job.reply.is_closed() => {}
                Some(job) if Moment::now() >= job.deadline => {
                    // Says so itself: a reply dropped without a word would look like a panic.
                    let _ = job.reply.send(Err(EmbedError::Late));
                }
                Some(job) => return Some(job),
                None => self.wake.wait(&mut state),
            }
        }
    }
}

fn run(queue: &Queue, make: &(dyn Fn() -> Work + Send + Sync)) {
    // Whatever a panic left half-written is dropped with the worker's buffers.
    while catch_unwind(AssertUnwindSafe(|| work(queue, make))).is_err() {
        queue.panics.fetch_add(1, Ordering::Relaxed);
    }
}

fn work(queue: &Queue, make: &(dyn Fn() -> Work + Send + Sync)) {
    let Some(mut job) = queue.pop() else { return };
    // Made for the first job rather than before it: a `make` that panics costs jobs, never a loop.
    let mut work = make();
    loop {
        let outcome = work(&job.text, job.want);
        // The caller may have stopped waiting meanwhile; then nobody misses the answer.
        let _ = job.reply.send(outcome);
        match queue.pop() {
            Some(next) => job = next,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn soon() -> Moment {
        Moment::now() + Duration::from_secs(20)
    }

    fn workers(
        capacity: usize,
        work: impl Fn(&str) -> Outcome + Clone + Send + Sync + 'static,
    ) -> Workers {
        let make = move || -> Work {
            let own = work.clone();
            Box::new(move |text, _| own(text))
        };
        Workers::start(1, capacity, make).unwrap()
    }

    /// A worker that says when it starts a job and ends it when told.
    fn gated(capacity: usize) -> (Workers, mpsc::Receiver<String>, mpsc::Sender<()>) {
        let (started, starts) = mpsc::channel();
        let (go, gate) = mpsc::channel();
        let gate = Arc::new(Mutex::new(gate));
        let workers = workers(capacity, move |text| {
            started.send(text.to_owned()).unwrap();
            gate.lock().recv_timeout(Duration::from_secs(20)).unwrap();
            Ok(None)
        });
        (workers, starts, go)
    }

    async fn next(starts: &mpsc::Receiver<String>) -> String {
        for _ in 0..2000 {
            if let Ok(text) = starts.try_recv() {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no job was started");
    }

    #[tokio::test]
    async fn a_full_queue_answers_busy_at_once() {
        let (workers, starts, go) = gated(2);
        let workers = &workers;
        let story = async {
            assert_eq!(next(&starts).await, "running");
            let waiting =
                async { tokio::join!(workers.submit("1", Want::Vector, soon()), workers.submit("2", Want::Vector, soon())) };
            let refusal = async {
                while workers.waiting() < 2 {
                    tokio::task::yield_now().await;
                }
                let refused = workers.submit("3", Want::Vector, soon()).await;
                assert!(matches!(refused, Err(EmbedError::Busy)), "{refused:?}");
                for _ in 0..3 {
                    go.send(()).unwrap();
                }
            };
            tokio::join!(waiting, refusal).0
        };
        let (first, waiting) = tokio::join!(workers.submit("running", Want::Vector, soon()), story);
        assert!(first.is_ok() && waiting.0.is_ok() && waiting.1.is_ok());
    }

    #[tokio::test]
    async fn a_job_whose_caller_went_away_is_skipped_and_frees_its_place() {
        let (workers, starts, go) = gated(1);
        let first = workers.submit("first", Want::Vector, soon());
        let story = async {
            assert_eq!(next(&starts).await, "first");
            let abandoned = workers.submit("abandoned", Want::Vector, Moment::now() + Duration::from_millis(1));
            assert!(matches!(abandoned.await, Err(EmbedError::Late)));
            assert_eq!(workers.waiting(), 1);
            let third = workers.submit("third", Want::Vector, soon());
            let release = async {
                go.send(()).unwrap();
                assert_eq!(next(&starts).await, "third");
                go.send(()).unwrap();
            };
            let (third, ()) = tokio::join!(third, release);
            assert!(third.is_ok());
        };
        let (first, ()) = tokio::join!(first, story);
        assert!(first.is_ok());
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_job_and_nothing_else() {
        let workers = workers(4, |text| match text {
            "bad" => panic!("as the test wants"),
            _ => Ok(None),
        });
        for round in 1..=2 {
            let lost = workers.submit("bad", Want::Vector, soon()).await;
            assert!(matches!(lost, Err(EmbedError::Lost)), "{lost:?}");
            assert!(matches!(workers.submit("good", Want::Vector, soon()).await, Ok(None)));
            assert_eq!(workers.panics(), round);
        }
    }

    #[tokio::test]
    async fn a_job_past_its_deadline_is_not_run() {
        let (workers, starts, go) = gated(4);
        assert!(matches!(
            workers.submit("late", Want::Vector, Moment::ZERO).await,
            Err(EmbedError::Late)
        ));
        let live = workers.submit("live", Want::Vector, soon());
        let story = async {
            assert_eq!(next(&starts).await, "live");
            go.send(()).unwrap();
        };
        let (live, ()) = tokio::join!(live, story);
        assert!(live.is_ok());
    }

    #[tokio::test]
    async fn the_threads_end_when_the_workers_are_dropped() {
        let workers = Workers::start(3, 4, || -> Work { Box::new(|_, _| Ok(None)) }).unwrap();
        assert!(workers.submit("once", Want::Vector, soon()).await.is_ok());
        let queue = Arc::downgrade(&workers.queue);
        drop(workers);
        for _ in 0..2000 {
            if queue.strong_count() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("threads still hold the queue");
    }
}
