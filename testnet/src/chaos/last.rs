//! After the faults: is everything alive, equal, and all there?

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;

use super::clients::{serial, serial_in, with_serial};
use super::seen::Seen;
use crate::check::history::{Answer, Call, History, Operation};
use crate::check::{Verdict, breaker, durable, equal};
use crate::client::{Client, chat};
use crate::cluster::Cluster;
use crate::cluster::admin::{Fresh, kept, read};
use crate::eventually;
use crate::witness::Witness;

/// How long the healed nodes may take until everything works. (reliability: within 10 s)
const LIVE_LIMIT: Duration = Duration::from_secs(10);

/// Above every serial number of the clients.
const LAST: u64 = 1 << 40;

/// Liveness: one leader, a fresh write that everybody serves, inference everywhere, breakers of
/// healthy upstreams closed.
pub(super) async fn settle(
    cluster: &Cluster,
    upstream: &Witness,
    base: &str,
    revision: u64,
) -> anyhow::Result<Vec<Verdict>> {
    let mut wrong = Vec::new();
    for id in cluster.ids() {
        let text = with_serial(base, last_serial(id));
        if let Err(error) = cluster.put(id, &text).await {
            wrong.push(format!("{error:#}"));
        }
    }
    let after = cluster.in_step_within(LIVE_LIMIT).await;
    match after {
        Ok(after) if after >= revision + cluster.size() as u64 => {}
        Ok(after) => wrong.push(format!(
            "{after} is the last revision, {revision} was before"
        )),
        Err(error) => wrong.push(format!("{error:#}")),
    }
    let before = upstream.total();
    for id in cluster.ids() {
        let closed = eventually("its breaker is closed", LIVE_LIMIT, async || {
            let (state, _) = cluster.breaker(id, "gpt").await?;
            (state == "closed").then_some(())
        });
        if let Err(error) = closed.await {
            wrong.push(format!("n{id}: {error:#}"));
        }
        let asked = cluster
            .http(id)
            .chat_with(&[("cache", "off")], &chat("gpt", "and now?"))
            .await?;
        if asked.status != 200 {
            wrong.push(format!("n{id}: {} {}", asked.status, asked.text()));
        }
    }
    let checked = cluster.size() * 3;
    if upstream.total() < before + cluster.size() as u64 {
        wrong.push("an answer did not come from the upstream".to_owned());
    }
    Ok(vec![Verdict::new("healed nodes live", checked, wrong)])
}

/// Safety, by the clients' own word.
pub(crate) fn consistent(seen: &Seen) -> Vec<Verdict> {
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

/// Safety, by what the healed nodes hold.
pub(super) async fn judge(cluster: &Cluster, history: &History) -> anyhow::Result<Vec<Verdict>> {
    let nodes: Vec<&Client> = cluster.ids().map(|id| cluster.http(id)).collect();
    let durable = durable(&nodes, history).await?;
    let mut shown = BTreeMap::new();
    for id in cluster.ids() {
        let state = cluster.shown(id, "gpt").await;
        shown.insert(id, state.with_context(|| format!("n{id} shows nothing"))?);
    }
    Ok(vec![durable, equal::check(&shown)])
}

/// No acknowledged change is missing on any of these nodes, each of which has one more that is its
/// [`last_serial`].
///
/// # Errors
/// A node does not answer.
pub(crate) async fn durable(nodes: &[&Client], history: &History) -> anyhow::Result<Verdict> {
    let mut last = (0, 0);
    for &node in nodes {
        // a linearizable read first: nothing acknowledged is missing on the node after it
        let (revision, config) = read(node, Fresh::Linearizable).await?;
        last = (revision, serial(&config));
    }
    let first = nodes.first().context("no node")?;
    let old = kept(first).await?;
    let mut held: BTreeMap<u64, u64> = old
        .iter()
        .map(|(revision, routes)| (*revision, serial_in(routes)))
        .collect();
    // it differs in nothing from the one in force
    held.insert(last.0, last.1);
    let mut all = history.clone();
    all.operations.extend((1..=nodes.len()).map(last_write));
    Ok(durable::check(&all, &held))
}

/// The serial number of a node's last write.
pub(crate) fn last_serial(node: usize) -> u64 {
    LAST + node as u64
}

/// A node's last write, whose end nobody recorded.
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
