//! After the faults: is everything alive, equal, and all there?

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;

use super::clients::{serial, serial_in, with_serial};
use crate::check::history::{Answer, Call, History, Operation};
use crate::check::{Verdict, durable, equal};
use crate::client::chat;
use crate::cluster::Cluster;
use crate::cluster::admin::{Fresh, read};
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
pub(super) fn consistent(history: &History) -> Vec<Verdict> {
    let count = history.operations.len();
    vec![
        Verdict::of(
            "reads and writes are linearizable",
            count,
            history.linearizable(),
        ),
        Verdict::of("a node never goes back", count, history.monotonic()),
    ]
}

/// Safety, by what the healed nodes hold.
pub(super) async fn judge(cluster: &Cluster, history: &History) -> anyhow::Result<Vec<Verdict>> {
    let mut shown = BTreeMap::new();
    let mut last = (0, 0);
    for id in cluster.ids() {
        // A linearizable read first: nothing acknowledged is missing on the node after it.
        let (revision, config) = read(cluster.http(id), Fresh::Linearizable).await?;
        last = (revision, serial(&config));
        let state = cluster.shown(id, "gpt").await;
        shown.insert(id, state.with_context(|| format!("n{id} shows nothing"))?);
    }
    let kept = cluster.kept(1).await?;
    let mut kept: BTreeMap<u64, u64> = kept
        .iter()
        .map(|(revision, routes)| (*revision, serial_in(routes)))
        .collect();
    // It differs in nothing from the one in force.
    kept.insert(last.0, last.1);
    let mut all = history.clone();
    all.operations.extend(cluster.ids().map(last_write));
    Ok(vec![durable::check(&all, &kept), equal::check(&shown)])
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
