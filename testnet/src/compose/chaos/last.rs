//! After the faults: is everything alive, equal, and all there?

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;

use super::WATCHED;
use super::crew::Crew;
use super::hand::Hand;
use crate::chaos::clients::Text;
use crate::chaos::last::{durable, last_serial};
use crate::check::history::History;
use crate::check::{Verdict, equal};
use crate::client::Client;
use crate::cluster::admin::put;
use crate::cluster::shown;
use crate::doors::{Door, Outcome, Question};
use crate::eventually;

/// How long healed nodes may take until everything works.
const LIVE_LIMIT: Duration = Duration::from_secs(10);

/// Liveness: a fresh write through every node, and answers through every door of each.
pub(super) async fn settle(hand: &Hand, text: &Text) -> Vec<Verdict> {
    let (crew, mut wrong, mut checked) = (&hand.crew, Vec::new(), 0);
    for id in crew.ids() {
        let told = put(crew.node(id), &text(last_serial(id)), None).await;
        checked += 1;
        if told.agreed().is_none() {
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
    let nodes: Vec<&Client> = crew.admin.iter().collect();
    let durable = durable(&nodes, history).await?;
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
    Ok(vec![durable, equal::check(&states)])
}

async fn all_shown(crew: &Crew) -> Option<BTreeMap<usize, serde_json::Value>> {
    let mut states = BTreeMap::new();
    for id in crew.ids() {
        states.insert(id, shown(crew.node(id), WATCHED[0]).await?);
    }
    Some(states)
}
