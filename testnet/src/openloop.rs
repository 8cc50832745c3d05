//! Open-loop load through every door: requests leave when their time has come, whether or not earlier
//! ones have been answered, and each is timed from when it should have left. A node that stands still
//! for a second shows a second, not one slow request.

mod report;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::doors::{At, Door, Ended, Outcome, Question};
pub use report::{Report, Tally};
use texts::Texts;

/// What is asked, and how fast.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests a second, over all nodes.
    pub rate: f64,
    /// For so long.
    pub lasting: Duration,
    /// Through these doors, drawn for each request.
    pub doors: Vec<Door>,
    /// The model, route or `auto` that is asked for.
    pub model: String,
    /// Of all requests so many are streams, 0 to 1.
    pub streams: f64,
    /// So many different questions, the first ones often and the last ones seldom; every one is another
    /// when `None`.
    pub distinct: Option<u32>,
    /// The cache may answer.
    pub cached: bool,
    /// Most requests under way at once; one more is not sent, and counted as such.
    pub most: usize,
    /// What everything drawn follows from.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            rate: 50.0,
            lasting: Duration::from_secs(10),
            doors: Door::ALL.to_vec(),
            model: "auto".to_owned(),
            streams: 0.5,
            distinct: None,
            cached: false,
            most: 2048,
            seed: 1,
        }
    }
}

/// One request to be sent.
struct Order {
    due: Instant,
    door: Door,
    question: Question,
    at: At,
    permit: OwnedSemaphorePermit,
}

/// Asks the nodes in turn until the time is over and the last answer is in.
///
/// # Errors
/// There is nobody to ask, or a rate that is none.
pub async fn run(nodes: &[At], options: &Options) -> anyhow::Result<Report> {
    anyhow::ensure!(!nodes.is_empty(), "no node is known to ask");
    anyhow::ensure!(!options.doors.is_empty(), "no door is known to ask through");
    let rate = options.rate;
    anyhow::ensure!(
        (0.01..=100_000.0).contains(&rate),
        "a rate from 0.01 to 100000"
    );
    warm(nodes, options).await;
    let mut random = SmallRng::seed_from_u64(options.seed);
    let texts = Texts::new(options.distinct);
    let room = Arc::new(Semaphore::new(options.most));
    let mut report = Report::new(&options.doors);
    let (began, mut sent) = (Instant::now(), 0usize);
    let (mut due, end) = (began, began + options.lasting);
    let mut under_way = JoinSet::new();
    loop {
        // arrivals of many clients that know nothing of one another
        let wait = -random.random_range(f64::MIN_POSITIVE..1.0_f64).ln() / rate;
        due += Duration::from_secs_f64(wait.min(60.0));
        if due >= end {
            break;
        }
        sleep_until(due).await;
        let door = options.doors[random.random_range(0..options.doors.len())];
        let stream = random.random_bool(options.streams.clamp(0.0, 1.0));
        let text = texts.draw(&mut random, sent);
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            report.unsent(door);
            continue;
        };
        let question = Question {
            cached: options.cached,
            ..Question::new(options.model.as_str(), text).streamed(stream)
        };
        let at = nodes[sent % nodes.len()].clone();
        sent += 1;
        let order = Order {
            due,
            door,
            question,
            at,
            permit,
        };
        under_way.spawn(send(order));
        while let Some(done) = under_way.try_join_next() {
            report.add(done?);
        }
    }
    while let Some(done) = under_way.join_next().await {
        report.add(done?);
    }
    report.took = began.elapsed();
    Ok(report)
}

/// Opens connections, so that the first answers are not timed with them.
async fn warm(nodes: &[At], options: &Options) {
    let ask = |at: &At, door: Door| {
        let (at, question) = (
            at.clone(),
            Question::new(options.model.as_str(), "warming up"),
        );
        async move { door.ask_at(&at, &question).await }
    };
    let pairs = nodes
        .iter()
        .flat_map(|at| options.doors.iter().map(move |door| (at, *door)));
    // what comes back is not counted, and what is wrong shows again in what is
    join_all(pairs.map(|(at, door)| ask(at, door))).await;
}

async fn send(order: Order) -> Tally {
    let heard = order.door.ask_at(&order.at, &order.question).await;
    let took = order.due.elapsed();
    drop(order.permit);
    let answered = heard.outcome() == Outcome::Answered && heard.ended == Some(Ended::Stop);
    // an echo past the cache has one right answer
    let right = order.question.cached || heard.text == order.question.prompt;
    let problem = match (answered, right) {
        (true, true) => None,
        (true, false) => Some(format!("another answer: {}", heard.told())),
        (false, _) => Some(heard.told()),
    };
    Tally {
        door: order.door,
        took,
        problem,
        outcome: heard.outcome(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_load_that_cannot_be_is_refused() {
        let node = [At::new("127.0.0.1:1", "127.0.0.1:1").unwrap()];
        assert!(run(&[], &Options::default()).await.is_err());
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let options = Options {
                rate,
                ..Options::default()
            };
            assert!(run(&node, &options).await.is_err(), "{rate}");
        }
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_fails_every_request_and_holds_none_back() {
        let node = [At::new("127.0.0.1:1", "127.0.0.1:1").unwrap()];
        let options = Options {
            rate: 400.0,
            lasting: Duration::from_millis(500),
            ..Options::default()
        };
        let report = run(&node, &options).await.unwrap();
        assert!((100..350).contains(&report.sent()), "{}", report.sent());
        assert_eq!(report.failures(), report.sent());
        assert!(!report.holds());
    }
}
