//! Lends each node its part of the cluster's limits. Pure: reports, limits and the time go in,
//! shares come out.
//!
//! ```
//! use std::{collections::{BTreeMap, BTreeSet}, sync::Arc, time::Duration};
//! use llm_router_cluster::{MemberId, coordinate::Lender, pulse::Report};
//! use llm_router_cluster::policy::{LimitId, LimitKind};
//! use llm_router_cluster::state::TargetId;
//!
//! let id = LimitId { target: TargetId("gpu".into()), kind: LimitKind::Concurrency };
//! let (limits, me, now) = (BTreeMap::from([(id.clone(), 8)]), MemberId(1), Duration::ZERO);
//! let mut lender = Lender::default();
//! lender.begin(1, BTreeMap::new(), now);
//! lender.hear(me, &Arc::new(Report { sequence: 1, ..Report::default() }), now);
//! lender.round(&limits, &BTreeSet::from([me]), now);
//! assert_eq!(lender.shares(me)[&id].amount, 8);
//! ```
//!
//! **The bound.** While nodes are in contact with the leader, the attempts that run never exceed a
//! concurrency limit, and what is spent in any sixty seconds never exceeds a rate:
//! - a share is cut first, and the freed part is lent only once the node's report shows that it
//!   took the cut over, or the node was silent for so long that all its shares have ended;
//! - a share ends [`VALID`] after the *report* it answers was sent, so it does not matter how long
//!   a directive was under way;
//! - of a rate, what nodes say they spent counts for a minute, what they are lent counts until they
//!   say that they spent it or gave it back. A node that is gone counts as having spent it.
//!
//! A node goes by its share to its end or until a leader names another, whether or not it is in
//! contact. Without one it uses `max(1, limit / n)` of `n` members: while it is isolated, before it was
//! lent its first, and where a new leader could lend it none in time. With `k` such nodes the sum is at
//! most `limit + k × max(1, limit / n)` once the shares held at the cut have ended, plus what ran at the
//! cut and has not finished; a limit that was lowered is kept once every node has taken its cut.
//!
//! A new leader is told what nodes hold and spent by their first reports; it lends nothing more while
//! a member that it has not heard of could still hold something. Of a rate it counts what the last
//! leader knew; what that one lent itself in its last round, if it died, is missed.

mod part;
mod rate;
mod slots;
mod split;
mod table;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::table::{Table, Turn};
use super::latest::{Node, hear};
use crate::identity::MemberId;
use crate::policy::{LimitId, LimitKind};
use crate::pulse::{Report, Share};

/// How long a share may be used after the report that its directive answers.
pub const VALID: Duration = Duration::from_secs(3);
/// After so long a silence every share of a node has ended: clocks may differ by some percent.
const ENDED: Duration = Duration::from_millis(3_250);
/// Numbers of one leader's shares; the term stands above them, so they grow over leaders too.
const TERM_SHIFT: u32 = 40;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Lender {
    nodes: BTreeMap<MemberId, Node>,
    tables: BTreeMap<LimitId, Table>,
    /// What the last leader knew of the rates.
    prior: BTreeMap<LimitId, u64>,
    begun: Duration,
    number: u64,
}

impl Lender {
    /// Leadership begins, with what the last leader told of the rates.
    pub fn begin(&mut self, term: u64, prior: BTreeMap<LimitId, u64>, now: Duration) {
        *self = Lender {
            prior,
            begun: now,
            // leadership may come back within a term: numbers go on growing
            number: self.number.max(term << TERM_SHIFT),
            ..Lender::default()
        };
    }

    /// Takes a node's report; `false` for one that is not newer than its latest.
    pub fn hear(&mut self, from: MemberId, report: &Arc<Report>, now: Duration) -> bool {
        hear(&mut self.nodes, from, report, now)
    }

    /// Cuts and lends by the latest reports. Returns the nodes whose shares changed.
    pub fn round(
        &mut self,
        limits: &BTreeMap<LimitId, u64>,
        members: &BTreeSet<MemberId>,
        now: Duration,
    ) -> BTreeSet<MemberId> {
        let leads = now.saturating_sub(self.begun);
        let unheard = leads < ENDED && members.iter().any(|one| !self.nodes.contains_key(one));
        let live = self.nodes.iter();
        let live: BTreeMap<_, _> = live
            .filter(|(_, node)| now.saturating_sub(node.heard) < ENDED)
            .map(|(member, node)| (*member, Arc::clone(&node.report)))
            .collect();
        let mut changed = BTreeSet::new();
        self.tables.retain(|id, _| limits.contains_key(id));
        for (id, limit) in limits {
            let prior = self.prior.remove(id);
            let table = self.tables.entry(id.clone());
            let table = table.or_insert_with(|| Table::new(prior.unwrap_or(0)));
            let mut turn = Turn {
                limit: *limit,
                members: members.len() as u64,
                now,
                leads,
                unheard,
                number: &mut self.number,
                changed: &mut changed,
            };
            table.round(id, &live, &mut turn);
        }
        changed
    }

    /// A node's shares, all of them; none while it is silent.
    pub fn shares(&self, member: MemberId) -> BTreeMap<LimitId, Share> {
        let parts = self.tables.iter().filter_map(|(id, table)| {
            let (number, amount) = table.parts.get(&member)?.latest()?;
            let valid_ms = u64::try_from(VALID.as_millis()).unwrap_or(u64::MAX);
            let share = Share {
                number,
                amount,
                valid_ms,
            };
            Some((id.clone(), share))
        });
        parts.collect()
    }

    /// Of each rate, what was spent in the last minute or is lent.
    pub fn spent(&mut self, now: Duration) -> BTreeMap<LimitId, u64> {
        let rates = self.tables.iter_mut();
        let rates = rates.filter(|(id, _)| id.kind != LimitKind::Concurrency);
        rates
            .map(|(id, table)| (id.clone(), table.spent(now)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
