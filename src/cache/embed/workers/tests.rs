//! The queue and its threads, with work that the tests can hold back.

use std::sync::mpsc;
use std::time::Duration;

use super::*;

fn soon() -> Moment {
    Moment::now() + Duration::from_secs(20)
}

/// Texts are expected to take next to no time.
fn plan(workers: usize, capacity: usize) -> Plan<'static> {
    Plan {
        workers,
        capacity,
        tried: ("a text", Duration::from_nanos(100)),
    }
}

fn workers(
    capacity: usize,
    work: impl Fn(&str) -> Outcome + Clone + Send + Sync + 'static,
) -> Workers {
    let make = move || -> Work {
        let own = work.clone();
        Box::new(move |asks| asks.iter().map(|ask| own(ask.text)).collect())
    };
    Workers::start(plan(1, capacity), make).unwrap()
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
        let waiting = async {
            tokio::join!(
                workers.submit("1", Want::Vector, soon()),
                workers.submit("2", Want::Vector, soon())
            )
        };
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
        let abandoned = workers.submit(
            "abandoned",
            Want::Vector,
            Moment::now() + Duration::from_millis(1),
        );
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
        assert!(matches!(
            workers.submit("good", Want::Vector, soon()).await,
            Ok(None)
        ));
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
    let workers = Workers::start(plan(3, 4), || -> Work {
        Box::new(|asks| asks.iter().map(|_| Ok(None)).collect())
    })
    .unwrap();
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
/// Workers that hold every batch until told, and say what was in it.
fn gated_batches(pace: Duration) -> (Workers, mpsc::Receiver<Vec<String>>, mpsc::Sender<()>) {
    let (started, starts) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let make = move || -> Work {
        let (started, gate) = (started.clone(), Arc::clone(&gate));
        Box::new(move |asks| {
            started
                .send(asks.iter().map(|ask| ask.text.to_owned()).collect())
                .unwrap();
            gate.lock().recv_timeout(Duration::from_secs(20)).unwrap();
            if asks.len() > 1 && asks.iter().any(|ask| ask.text == "bad") {
                panic!("as the test wants");
            }
            asks.iter().map(|_| Ok(None)).collect()
        })
    };
    let plan = Plan {
        tried: ("a text", pace),
        ..plan(1, 64)
    };
    (Workers::start(plan, make).unwrap(), starts, go)
}

async fn next_batch(starts: &mpsc::Receiver<Vec<String>>) -> Vec<String> {
    for _ in 0..2000 {
        if let Ok(texts) = starts.try_recv() {
            return texts;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no batch was started");
}

async fn until_waiting(workers: &Workers, jobs: usize) {
    while workers.waiting() < jobs {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn texts_of_one_length_run_together_and_others_after_them() {
    let (workers, starts, go) = gated_batches(Duration::from_nanos(100));
    let long = "long ".repeat(60);
    let submit = |text| workers.submit(text, Want::Vector, soon());
    let others = async {
        assert_eq!(next_batch(&starts).await, ["first"]);
        let release = async {
            until_waiting(&workers, 4).await;
            go.send(()).unwrap();
            assert_eq!(next_batch(&starts).await, ["second", "third", "fourth"]);
            go.send(()).unwrap();
            assert_eq!(next_batch(&starts).await, [long.as_str()]);
            go.send(()).unwrap();
        };
        tokio::join!(
            submit("second"),
            submit(&long),
            submit("third"),
            submit("fourth"),
            release
        )
    };
    let (first, (second, between, third, fourth, ())) = tokio::join!(submit("first"), others);
    for outcome in [first, second, between, third, fourth] {
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
    }
}

#[tokio::test]
async fn after_a_panic_in_a_batch_its_texts_run_one_by_one() {
    let (workers, starts, go) = gated_batches(Duration::from_nanos(100));
    let submit = |text| workers.submit(text, Want::Vector, soon());
    let others = async {
        assert_eq!(next_batch(&starts).await, ["first"]);
        let release = async {
            until_waiting(&workers, 2).await;
            for batch in [&["bad", "good"][..], &["bad"], &["good"]] {
                go.send(()).unwrap();
                assert_eq!(next_batch(&starts).await, batch);
            }
            go.send(()).unwrap();
        };
        tokio::join!(submit("bad"), submit("good"), release)
    };
    let (first, (bad, good, ())) = tokio::join!(submit("first"), others);
    assert!(first.is_ok() && bad.is_ok() && good.is_ok());
    assert_eq!(workers.panics(), 1);
}

#[tokio::test]
async fn whoever_cannot_wait_so_long_hears_busy_at_once() {
    // As if a text of this length took ten seconds.
    let (workers, starts, go) = gated_batches(Duration::from_secs(10));
    let patient = || Moment::now() + Duration::from_secs(3600);
    let story = async {
        assert_eq!(next_batch(&starts).await, ["first"]);
        let hurried = Moment::now() + Duration::from_millis(200);
        let refused = workers.submit("second", Want::Vector, hurried).await;
        assert!(matches!(refused, Err(EmbedError::Busy)), "{refused:?}");
        assert!(Moment::now() < hurried);
        let release = async {
            until_waiting(&workers, 1).await;
            go.send(()).unwrap();
            assert_eq!(next_batch(&starts).await, ["third"]);
            go.send(()).unwrap();
        };
        let (third, ()) = tokio::join!(workers.submit("third", Want::Vector, patient()), release);
        assert!(third.is_ok(), "{third:?}");
    };
    // With nothing before it, a text is never refused, however slow the machine is believed to be.
    let (first, ()) = tokio::join!(workers.submit("first", Want::Vector, soon()), story);
    assert!(first.is_ok(), "{first:?}");
    // By now the belief has been put right, and the backlog is gone.
    let state = workers.queue.state.lock();
    assert_eq!((state.backlog, state.jobs.len()), (0, 0));
}
