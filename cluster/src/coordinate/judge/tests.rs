//! Each rule by itself, then what holds whatever happens.

mod cap;
mod probes;
mod properties;
mod rules;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Judge;
use crate::command::{BreakerChange, BreakerStep};
use crate::identity::{BootId, MemberId};
use crate::policy::{BreakerPolicy, Policy};
use crate::pulse::{Calls, Evidence, Probe, Report};
use crate::state::{BreakerRecord, Cause, Mode, Phase, TargetId};

pub(super) const NUMBERS: BreakerPolicy = BreakerPolicy {
    failure_threshold: 5,
    recovery_ms: 5_000,
    success_threshold: 3,
    first_token_ms: 2_000,
};

/// A judge, the records it judges and its clock.
#[derive(Clone)]
pub(super) struct Court {
    pub(super) judge: Judge,
    pub(super) records: BTreeMap<TargetId, BreakerRecord>,
    pub(super) policy: Policy,
    pub(super) now: Duration,
    pub(super) sequence: u64,
}

pub(super) fn target(name: &str) -> TargetId {
    TargetId(name.to_owned())
}

pub(super) fn gpu() -> TargetId {
    target("gpu")
}

pub(super) fn court(targets: &[&str]) -> Court {
    let breakers = targets.iter().map(|name| (target(name), NUMBERS));
    Court {
        judge: Judge::new(7),
        records: BTreeMap::new(),
        policy: Policy {
            breakers: breakers.collect(),
            ..Policy::default()
        },
        now: Duration::from_secs(1_000),
        sequence: 0,
    }
}

impl Court {
    pub(super) fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    /// One node tells what it has seen of some upstreams.
    pub(super) fn hear(&mut self, member: u64, evidence: &[(&str, Evidence)]) {
        self.hear_report(member, Report::default(), evidence);
    }

    pub(super) fn hear_report(
        &mut self,
        member: u64,
        report: Report,
        evidence: &[(&str, Evidence)],
    ) {
        self.sequence += 1;
        let evidence = evidence.iter().cloned();
        let report = Report {
            sequence: self.sequence,
            evidence: evidence.map(|(name, seen)| (target(name), seen)).collect(),
            ..report
        };
        self.judge
            .hear(MemberId(member), &Arc::new(report), self.now);
    }

    pub(super) fn judge(&mut self) -> Vec<BreakerChange> {
        self.judge.see(&self.records, self.now);
        self.judge.judge(&self.records, &self.policy, self.now)
    }

    /// Judges, and agrees to everything.
    pub(super) fn round(&mut self) -> Vec<BreakerStep> {
        let changes = self.judge();
        for change in &changes {
            self.apply(change);
        }
        let steps = changes.into_iter().map(|change| change.to);
        steps.collect()
    }

    /// As the agreed state does it, for the steps a judge may make.
    pub(super) fn apply(&mut self, change: &BreakerChange) {
        let name = target(&change.target);
        let record = self.records.entry(name.clone()).or_default();
        assert_eq!(record.epoch, change.expect, "a stale proposal");
        assert_eq!(record.mode, Mode::Auto, "an operator's word was overruled");
        record.epoch += 1;
        match (record.phase, &change.to) {
            (Phase::Closed, BreakerStep::Open { cause, cooldown_ms })
            | (Phase::HalfOpen, BreakerStep::Reopen { cause, cooldown_ms }) => {
                record.phase = Phase::Open;
                record.cause = *cause;
                record.cooldown_ms = *cooldown_ms;
                record.opens += 1;
                record.holder = None;
            }
            (
                Phase::Open | Phase::HalfOpen,
                BreakerStep::HalfOpen {
                    holder,
                    lease_ms,
                    need_ok,
                },
            ) => {
                record.phase = Phase::HalfOpen;
                record.holder = Some(*holder);
                record.lease_ms = *lease_ms;
                record.need_ok = *need_ok;
            }
            (Phase::HalfOpen, BreakerStep::Close) => {
                record.phase = Phase::Closed;
                record.holder = None;
            }
            (Phase::Closed, BreakerStep::Decay) => record.opens -= 1,
            (_, BreakerStep::Forget) => {
                self.records.remove(&name);
            }
            (from, step) => panic!("{step:?} from {from:?}"),
        }
        self.judge.see(&self.records, self.now);
        self.judge.settle([&name]);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.records.get(&gpu()).map_or(0, |record| record.epoch)
    }

    /// Opens the gpu's breaker by the fast rule.
    pub(super) fn open_gpu(&mut self) {
        let failing = Evidence {
            epoch: self.epoch(),
            ..streak(5)
        };
        self.hear(1, &[("gpu", failing)]);
        let steps = self.round();
        assert!(matches!(steps[..], [BreakerStep::Open { .. }]), "{steps:?}");
    }
}

/// So many calls in the last second.
pub(super) fn calls(ok: u32, hard: u32) -> Evidence {
    let mut evidence = Evidence::default();
    evidence.buckets[0] = Calls { ok, hard, slow: 0 };
    evidence
}

/// So many failures in a row, one each 10 ms, the last one now.
pub(super) fn streak(failures: u32) -> Evidence {
    Evidence {
        failure_ages_ms: (0..failures).map(|n| n * 10).collect(),
        ..calls(0, failures)
    }
}
