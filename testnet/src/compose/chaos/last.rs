//! After the faults: is everything alive, equal, and all there?

use std::collections::BTreeMap;
use std::time::Duration;

use super::WATCHED;
use anyhow::Context;

use super::crew::Crew;
use super::hand::Hand;
use crate::chaos::clients::{Seen, Text, serial, serial_in, write};
use crate::check::history::{Answer, Call, History, Operation, Recorder};
use crate::check::{Verdict, breaker, durable, equal};
use crate::cluster::admin::{Fresh, kept, read};
use crate::cluster::shown;
use crate::doors::{Door, Outcome, Question};
use crate::eventually;

/// How long healed nodes may take until everything works.
const LIVE_LIMIT: Duration = Duration::from_secs(10);
/// Above every serial number of the clients.
const LAST: u64 = 1 << 40;

/// Safety, by the clients' own word.
pub(super) fn consistent(seen: &Seen) -> Vec<Verdict> {
    let (history, count) = (&seen.history, seen.history.operations.len());
    vec![
        Verdict::of(
            "reads and writes are linearizable",
            count,
            history.linearizable(),
        ),
        Verdict::of("a node never goes back", count, history.monotonic()),
        breaker::epochs(&seen.looks),
    ]
}

/// A verdict over how something went.
pub(super) fn outcome<T>(
    promise: &'static str,
    checked: usize,
    told: &anyhow::Result<T>,
) -> Verdict {
    let told = told
        .as_ref()
        .map(drop)
        .map_err(|error| format!("{error:#}"));
    Verdict::of(promise, checked, told)
}

/// Liveness: a fresh write through every node, and answers through every door of each.
pub(super) async fn settle(hand: &Hand, text: &Text) -> Vec<Verdict> {
    let (crew, mut wrong, mut checked) = (&hand.crew, Vec::new(), 0);
    let recorder = (Recorder::default(), tokio::time::Instant::now());
    for id in crew.ids() {
        let serial = last_serial(id);
        let what = (None, serial);
        let told = write(
            crew.node(id),
            &text(serial),
            what,
            (&recorder.0, recorder.1),
        )
        .await;
        checked += 1;
        if !matches!(told, Answer::Set { .. }) {
            wrong.push(format!("n{id} takes no change: {told:?}"));
        }
    }
    if let Err(error) = crew.in_step(LIVE_LIMIT).await {
        wrong.push(format!("{error:#}"));
    }
    for id in crew.ids() {
        for door in Door::ALL {
            checked += 1;
            let question = Question::new("auto", format!("n{id}, and now?"));
            let heard = door.ask_at(&crew.tenants[0][id - 1], &question).await;
            if heard.outcome() != Outcome::Answered || heard.text != question.prompt {
                wrong.push(format!("n{id}, {}: {}", door.name(), heard.told()));
            }
        }
    }
    vec![Verdict::new(
        "healed nodes live within 10 s",
        checked,
        wrong,
    )]
}

/// Safety, by what the healed nodes hold.
pub(super) async fn judge(crew: &Crew, history: &History) -> anyhow::Result<Vec<Verdict>> {
    let mut last = (0, 0);
    for id in crew.ids() {
        // a linearizable read first: nothing acknowledged is missing on the node after it
        let (revision, config) = read(crew.node(id), Fresh::Linearizable).await?;
        last = (revision, serial(&config));
    }
    // a breaker that is just being told of may differ for a moment: it is looked at until it does not
    let same = eventually("every node shows the same", LIVE_LIMIT, async || {
        let states = all_shown(crew).await?;
        equal::check(&states).holds().then_some(states)
    });
    let states = match same.await {
        Ok(states) => states,
        Err(_) => all_shown(crew)
            .await
            .context("a node does not show its state")?,
    };
    let old = kept(crew.node(1)).await?;
    let mut held: BTreeMap<u64, u64> = old
        .iter()
        .map(|(revision, routes)| (*revision, serial_in(routes)))
        .collect();
    // it differs in nothing from the one in force
    held.insert(last.0, last.1);
    let mut all = history.clone();
    all.operations.extend(crew.ids().map(last_write));
    Ok(vec![durable::check(&all, &held), equal::check(&states)])
}

async fn all_shown(crew: &Crew) -> Option<BTreeMap<usize, serde_json::Value>> {
    let mut states = BTreeMap::new();
    for id in crew.ids() {
        states.insert(id, shown(crew.node(id), WATCHED[0]).await?);
    }
    Some(states)
}

/// The serial number of a node's last write.
fn last_serial(node: usize) -> u64 {
    LAST + node as u64
}

/// The writes of [`settle`], whose ends nobody recorded.
fn last_write(node: usize) -> Operation {
    Operation {
        client: u64::MAX,
        call: Call::Set {
            expected: None,
            value: last_serial(node),
        },
        called: Duration::MAX,
        returned: None,
        answer: Answer::Unknown,
    }
}
