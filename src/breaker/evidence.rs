//! What this node has seen of one upstream under one agreed epoch, for the leader. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use llm_router_cluster::pulse::{BUCKETS, Calls, Evidence, MAX_FAILURE_AGES, Probe};

use super::goods::Goods;
use super::outcome::Outcome;
use super::window::Window;
use crate::types::Moment;

/// Everything seen since the agreed epoch began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// The agreed epoch.
    pub(super) epoch: u64,
    window: Window,
    /// The latest hard failures in a row, the latest first.
    failures: VecDeque<Moment>,
    last_answer: Option<Moment>,
    /// How leased probes went.
    probe: Option<Probe>,
    /// A health check was good since it opened.
    pub(super) healthy: bool,
    /// It is agreed not to be closed: the leader hears of it though nothing happens.
    pub(super) watched: bool,
    /// The node leaves the upstream alone by its own evidence.
    pub(super) suspect: bool,
    /// Until when the upstream asked for patience.
    pub(super) gated_until: Option<Moment>,
}

impl Ledger {
    /// Nothing seen yet under this epoch.
    pub(super) fn new(epoch: u64) -> Self {
        Ledger {
            epoch,
            ..Ledger::default()
        }
    }

    /// Takes in one outcome; `probe` when it was a leased probe's.
    pub(super) fn record(&mut self, outcome: Outcome, probe: bool, now: Moment) {
        match outcome {
            Outcome::Ok | Outcome::Slow => {
                self.failures.clear();
                self.last_answer = Some(now);
                self.window.good(now);
                if outcome == Outcome::Slow {
                    self.window.slow(now);
                }
                if probe {
                    let probe = self.probe.get_or_insert_default();
                    probe.good = probe.good.saturating_add(1);
                }
            }
            Outcome::Hard => {
                self.failures.push_front(now);
                self.failures.truncate(MAX_FAILURE_AGES);
                self.window.hard(now);
                if probe {
                    *self.probe.get_or_insert_default() = Probe {
                        good: 0,
                        failed: true,
                    };
                }
            }
            Outcome::Gate { .. } | Outcome::Credential | Outcome::Caller | Outcome::Cancelled => {}
        }
    }

    /// Takes in good answers counted elsewhere while nothing failed.
    pub(super) fn record_good(&mut self, at: Moment, count: u32) {
        self.window.good_many(at, count);
        self.last_answer = self.last_answer.max(Some(at));
    }

    /// Good probes by the lease of this epoch.
    pub(super) fn proved(&self) -> (u64, u32) {
        (self.epoch, self.probe.map_or(0, |probe| probe.good))
    }

    /// As the leader hears it, counts still lying in `goods` included; nothing when there is
    /// nothing to say.
    pub(super) fn evidence(&self, goods: &Goods, in_flight: u32, now: Moment) -> Option<Evidence> {
        let mut window = self.window.clone();
        for (at, count) in goods.peek() {
            window.good_many(at, count);
        }
        let mut buckets = [Calls::default(); BUCKETS];
        for (age, calls) in window.by_age(now) {
            if let Some(bucket) = buckets.get_mut(age) {
                *bucket = Calls {
                    ok: calls.good,
                    hard: calls.hard,
                    slow: calls.slow,
                };
            }
        }
        let idle = buckets == [Calls::default(); BUCKETS] && in_flight == 0;
        let silent = self.failures.is_empty() && self.probe.is_none();
        if idle && silent && !self.healthy && !self.suspect && !self.watched {
            return None;
        }
        let age = |at: &Moment| millis(now.since(*at));
        let retry_after = self.gated_until.map(|until| now.until(until));
        Some(Evidence {
            epoch: self.epoch,
            buckets,
            failure_ages_ms: self.failures.iter().map(age).collect(),
            last_ok_age_ms: self.last_answer.max(goods.last()).as_ref().map(age),
            in_flight,
            suspect: self.suspect,
            probe: self.probe,
            declines: false,
            healthy: self.healthy,
            retry_after_ms: retry_after
                .filter(|left| !left.is_zero())
                .map(|left| u64::from(millis(left))),
        })
    }
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
