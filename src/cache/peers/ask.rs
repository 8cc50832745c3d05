//! Looking on other nodes: who is asked, how long, and what is made of the answers.
//!
//! The nodes of the nearest cells are asked at once, one call each. One that is late or does not
//! answer is replaced by the node that has the other copy. When the time is over, whatever came is
//! what there is: a look-up is never slower than its budget and never fails.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use llm_router_cluster::MemberId;
use parking_lot::Mutex;

use super::Peers;
use super::link::Unanswered;
use super::words::{Ask, Parcel, Seen};
use crate::cache::Inner;
use crate::cache::entry::Entry;
use crate::cache::semantic::Candidate;
use crate::cache::stats::Counters;
use crate::types::{Moment, unix_millis};

/// Of the budget, after which the node with the other copy is asked too.
const HEDGE_AFTER: f64 = 0.4;
/// A node that could not be reached is passed over so long.
const UNREACHED_FOR: Duration = Duration::from_millis(500);
/// One that was late so often in a row, likewise.
const MANY_LATE: u32 = 3;
/// One that was late often is passed over so long.
const LATE_FOR: Duration = Duration::from_secs(1);

/// What other nodes hold near a question.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) own: Vec<Candidate>,
    pub(crate) everyone: Vec<Candidate>,
}

/// Asks around. `probes` nodes are asked, this one counted; it has looked for itself.
pub(crate) async fn gather(
    inner: &Inner,
    peers: &Peers,
    ask: Ask,
    vector: &[f32],
    (probes, budget): (usize, Duration),
) -> Gathered {
    let views = peers.views();
    let (first, mut others) = views.reading.asked(vector, ask.partition, probes);
    let me = peers.me();
    let mut to_ask: Vec<MemberId> = first.iter().copied().filter(|node| *node != me).collect();
    others.retain(|node| *node != me);
    let healthy = |node: &MemberId| !peers.suspects.passes_over(*node);
    let sick = to_ask.iter().filter(|node| !healthy(node)).count();
    to_ask.retain(healthy);
    others.retain(healthy);
    let spare = others.split_off(sick.min(others.len()));
    to_ask.extend(others);
    let here = usize::from(first.contains(&me));
    let counters = &peers.counters;
    Counters::add(&counters.looks);
    Counters::add_many(&counters.asked, to_ask.len() + here);
    let mut gathered = Gathered::default();
    if to_ask.is_empty() {
        return gathered;
    }
    let asking = Asking {
        peers,
        ask: &ask,
        budget,
    };
    for (node, seen) in asking.around(to_ask, spare).await {
        gathered.take(inner, peers, (node, &ask), seen);
    }
    gathered
}

struct Asking<'a> {
    peers: &'a Peers,
    ask: &'a Ask,
    budget: Duration,
}

impl Asking<'_> {
    async fn around(&self, first: Vec<MemberId>, spare: Vec<MemberId>) -> Vec<(MemberId, Seen)> {
        let began = Moment::now();
        let (hedge, over) = (
            began + self.budget.mul_f64(HEDGE_AFTER),
            began + self.budget,
        );
        let mut spare = spare.into_iter();
        let mut under_way: FuturesUnordered<_> =
            first.into_iter().map(|node| self.one(node, over)).collect();
        let mut answers = Vec::new();
        let mut hedged = false;
        while !under_way.is_empty() {
            let until = if hedged { over } else { hedge };
            let next = tokio::time::timeout_at(until.to_instant(), under_way.next()).await;
            let another = match next {
                Ok(Some((node, Ok(seen)))) => {
                    answers.push((node, seen));
                    continue;
                }
                Ok(Some((_, Err(_)))) => true,
                Ok(None) => break,
                Err(_) if hedged => break,
                Err(_) => {
                    hedged = true;
                    true
                }
            };
            let in_time = another && Moment::now() < over;
            if let Some(node) = in_time.then(|| spare.next()).flatten() {
                Counters::add(&self.peers.counters.asked);
                under_way.push(self.one(node, over));
            }
        }
        Counters::add_many(&self.peers.counters.unanswered, under_way.len());
        answers
    }

    async fn one(&self, node: MemberId, over: Moment) -> (MemberId, Result<Seen, Unanswered>) {
        let left = Moment::now().until(over);
        let seen = self.peers.link.look(node, self.ask, left).await;
        self.peers.suspects.heard(node, seen.as_ref().err());
        if seen.is_err() {
            Counters::add(&self.peers.counters.unanswered);
        }
        (node, seen)
    }
}

impl Gathered {
    /// Opens what a node sent. What does not open as this tenant's is not there.
    fn take(&mut self, inner: &Inner, peers: &Peers, (node, ask): (MemberId, &Ask), seen: Seen) {
        if seen.behind {
            Counters::add(&peers.counters.behind);
            return;
        }
        let now = unix_millis();
        let sides = [
            (seen.own, false, &mut self.own),
            (seen.everyone, true, &mut self.everyone),
        ];
        for (parcels, everyone, into) in sides {
            let partition = if everyone {
                ask.everyone
            } else {
                Some(ask.partition)
            };
            for (similarity, parcel) in parcels {
                let Some(entry) = opened(peers, ask, everyone, &parcel) else {
                    Counters::add(&peers.counters.foreign);
                    tracing::warn!(%node, "a node answered with an entry that is not the caller's");
                    continue;
                };
                let Some(meaning) = entry.meaning.clone() else {
                    continue;
                };
                let usable = Some(meaning.partition) == partition
                    && entry.is_fresh(now, ask.ttl_millis)
                    && !inner.epochs.is_off(&entry)
                    && similarity.is_finite();
                if usable {
                    into.push(Candidate {
                        entry,
                        meaning,
                        similarity,
                        from: Some(node),
                    });
                }
            }
        }
    }
}

fn opened(peers: &Peers, ask: &Ask, everyone: bool, parcel: &Parcel) -> Option<Arc<Entry>> {
    let record = peers.seals.unpack_for(&ask.tenant, everyone, parcel)?;
    Some(Arc::new(record.entry))
}

/// Nodes that do not answer are passed over for a moment.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    nodes: Mutex<HashMap<MemberId, Suspect>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Suspect {
    late: u32,
    until: Moment,
    /// It could not be reached at all.
    unreached: bool,
}

impl Suspects {
    /// Notes how a call went.
    pub(crate) fn heard(&self, node: MemberId, failed: Option<&Unanswered>) {
        let mut nodes = self.nodes.lock();
        match failed {
            None => _ = nodes.remove(&node),
            Some(Unanswered::Unreached(_)) => {
                let suspect = nodes.entry(node).or_default();
                suspect.unreached = true;
                suspect.until = Moment::now() + UNREACHED_FOR;
            }
            Some(Unanswered::Late) => {
                let suspect = nodes.entry(node).or_default();
                suspect.unreached = false;
                suspect.late += 1;
                if suspect.late >= MANY_LATE {
                    suspect.until = Moment::now() + LATE_FOR;
                }
            }
        }
    }

    /// It did not answer lately.
    pub(crate) fn passes_over(&self, node: MemberId) -> bool {
        let nodes = self.nodes.lock();
        let suspect = nodes.get(&node);
        suspect.is_some_and(|suspect| Moment::now() < suspect.until)
    }

    /// It could not be reached lately. To be slow is another matter.
    pub(crate) fn is_unreached(&self, node: MemberId) -> bool {
        let nodes = self.nodes.lock();
        let suspect = nodes.get(&node).filter(|suspect| suspect.unreached);
        suspect.is_some_and(|suspect| Moment::now() < suspect.until)
    }
}
