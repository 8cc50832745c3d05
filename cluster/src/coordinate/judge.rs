//! Judges breakers by what all nodes have seen. Pure: reports, records and the time go in,
//! transitions to propose come out.
//!
//! ```
//! use std::{collections::BTreeMap, sync::Arc, time::Duration};
//! use llm_router_cluster::{MemberId, Policy, coordinate::Judge, pulse::Report};
//!
//! let mut judge = Judge::new(7);
//! let now = Duration::from_secs(1); // the leader's own clock, from any start
//! let first = Report { sequence: 1, ..Report::default() };
//! assert!(judge.hear(MemberId(1), &Arc::new(first), now));
//! let agreed = BTreeMap::new();
//! judge.see(&agreed, now);
//! assert_eq!(judge.judge(&agreed, &Policy::default(), now), []);
//! ```
//!
//! Closed to open, by the rules over ten seconds of calls of all nodes (`rules.rs`):
//! - fast: so many hard failures in a row as configured, all later than the last good answer
//!   anywhere, seen by two nodes if two have traffic;
//! - rate: half of at least 20 calls failed, and no fewer than would be too many in a row; slow: four
//!   in five of them began late. Neither takes the last healthy upstream of a group;
//! - one node that fails where another had five good answers is a fault of its path: told in
//!   [`Figures::path_suspects`], and no reason to open.
//!
//! Open to half-open once the cool-down is over, or a health check is good. Where fewer than two of a
//! group are healthy it is tried after the configured time, however often it has opened: leaving it
//! alone for longer would make an outage of one more failure. One node holds the lease to probe.
//! Half-open to closed or open by that node's word, or to another holder when the lease is over, or
//! at once when the holder declines it; what it has proved until then counts.

mod case;
mod course;
mod pace;
mod rules;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::case::{Case, Wanted};
use self::course::Course;
use self::pace::Pace;
use self::tally::{Seen, WINDOW};
use super::latest::{Node, hear};
use crate::command::{BreakerChange, BreakerStep};
use crate::identity::MemberId;
use crate::policy::Policy;
use crate::pulse::{Figures, Report};
use crate::state::{BreakerRecord, Mode, Phase, TargetId};

/// A node that was not heard of for so long is gone: three of its heartbeats.
pub const SILENT: Duration = Duration::from_secs(3);
/// A new leader opens nothing before it could have heard from everybody: one node's word alone,
/// because it came first, must not pass for all there is.
const HEARING: Duration = Duration::from_millis(500);
/// Longest that one node's word waits for the others': each tells once a second.
const WORD: Duration = Duration::from_millis(1_200);
/// So long in no config and no report forgets a record.
const FORGET: Duration = Duration::from_secs(600);
/// Healthy ones that a group needs, for another to be left alone for longer than configured.
const STAND_INS: usize = 2;
/// Most faulty paths that are told: enough to see which node it is.
const MAX_SUSPECTS: usize = 256;

/// See the module.
#[derive(Clone, Debug)]
pub struct Judge {
    seed: u64,
    nodes: BTreeMap<MemberId, Node>,
    courses: BTreeMap<TargetId, Course>,
    /// Upstreams with new evidence.
    fresh: BTreeSet<TargetId>,
    suspects: BTreeMap<TargetId, MemberId>,
    pace: Pace,
    /// Since when one node's word alone would open them.
    hasty: BTreeMap<TargetId, Duration>,
    /// When leadership began.
    begun: Option<Duration>,
}

impl Judge {
    /// A judge whose jitter comes from this seed: the same seed and the same input give the same
    /// judgement.
    pub fn new(seed: u64) -> Self {
        Judge {
            seed,
            nodes: BTreeMap::new(),
            courses: BTreeMap::new(),
            fresh: BTreeSet::new(),
            suspects: BTreeMap::new(),
            pace: Pace::default(),
            hasty: BTreeMap::new(),
            begun: None,
        }
    }

    /// Leadership begins: what nodes told before, perhaps long ago, is forgotten. What was seen of
    /// the agreed records is not.
    pub fn begin(&mut self, now: Duration) {
        self.begun = Some(now);
        self.nodes.clear();
        self.fresh.clear();
        self.suspects.clear();
        self.hasty.clear();
        self.courses.values_mut().for_each(Course::settle);
    }

    /// Takes a node's report; `false` for one that is not newer than its latest.
    pub fn hear(&mut self, from: MemberId, report: &Arc<Report>, now: Duration) -> bool {
        if !hear(&mut self.nodes, from, report, now) {
            return false;
        }
        self.fresh.extend(report.evidence.keys().cloned());
        true
    }

    /// Takes note of the agreed records; to be called whenever they change, on every node.
    pub fn see(&mut self, records: &BTreeMap<TargetId, BreakerRecord>, now: Duration) {
        for (target, record) in records {
            let course = self.courses.entry(target.clone()).or_default();
            course.see(record, now);
        }
        self.courses
            .retain(|target, course| records.contains_key(target) || !course.is_idle(now));
        self.hasty
            .retain(|_, since| now.saturating_sub(*since) < FORGET);
    }

    /// The transitions to propose now. Each is held to be proposed until [`Judge::settle`].
    pub fn judge(
        &mut self,
        records: &BTreeMap<TargetId, BreakerRecord>,
        policy: &Policy,
        now: Duration,
    ) -> Vec<BreakerChange> {
        let mut targets = std::mem::take(&mut self.fresh);
        let moving = records
            .iter()
            .filter(|(target, record)| Self::has_timer(record, policy, target));
        targets.extend(moving.map(|(target, _)| target.clone()));
        let closed = BreakerRecord::default();
        let needed = self.needed(records, policy, now);
        let mut wanted = Vec::new();
        for target in targets {
            let record = records.get(&target).unwrap_or(&closed);
            let is_needed = needed.contains(&target);
            if let Some(step) = self.wanted(&target, (record, is_needed), policy, now) {
                wanted.push((rank(&step.step), target, record.epoch, step));
            }
        }
        wanted.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut changes = Vec::new();
        for (_, target, epoch, step) in wanted {
            if self.grant((&target, epoch), &step, (records, policy), now) {
                changes.push(BreakerChange {
                    target: target.0,
                    expect: epoch,
                    to: step.step,
                });
            } else {
                self.fresh.insert(target);
            }
        }
        changes
    }

    /// What was proposed for these has come to an end: applied, refused or lost.
    pub fn settle<'a>(&mut self, targets: impl IntoIterator<Item = &'a TargetId>) {
        for target in targets {
            if let Some(course) = self.courses.get_mut(target) {
                course.settle();
            }
        }
    }

    /// The latest of a node's reports, by its number; 0 before the first.
    pub fn heard(&self, member: MemberId) -> u64 {
        let node = self.nodes.get(&member);
        node.map_or(0, |node| node.latest.sequence())
    }

    /// It opens again and again: with the next opening five times within ten minutes.
    pub fn flaps(&self, target: &TargetId, now: Duration) -> bool {
        let course = self.courses.get(target);
        course.is_some_and(|course| course.is_flapping(now))
    }

    /// Nodes alive that told of a full disk, and what is left on it in MiB.
    pub fn full(&self, now: Duration) -> BTreeMap<MemberId, u64> {
        let live = self.nodes.iter().filter(|(_, node)| node.is_live(now));
        live.filter_map(|(member, node)| Some((*member, node.report.full?)))
            .collect()
    }

    /// Sums over the nodes alive.
    pub fn figures(&self, now: Duration) -> Figures {
        let mut figures = Figures::default();
        for (member, node) in self.nodes.iter().filter(|(_, node)| node.is_live(now)) {
            figures.nodes += 1;
            figures.alive.push(*member);
            for (name, count) in &node.report.usage {
                let sum = figures.usage.entry(name.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        let suspects = self.suspects.iter();
        let suspects = suspects.filter(|(_, by)| figures.alive.contains(by));
        let suspects = suspects.map(|(target, member)| (*member, target.clone()));
        figures.path_suspects = suspects.take(MAX_SUSPECTS).collect();
        figures
    }

    /// Whether time alone can move it.
    fn has_timer(record: &BreakerRecord, policy: &Policy, target: &TargetId) -> bool {
        record.phase != Phase::Closed || record.opens > 0 || !policy.breakers.contains_key(target)
    }

    /// What the rules ask for one upstream.
    fn wanted(
        &mut self,
        target: &TargetId,
        (record, needed): (&BreakerRecord, bool),
        policy: &Policy,
        now: Duration,
    ) -> Option<Wanted> {
        self.suspects.remove(target);
        let Some(numbers) = policy.breakers.get(target) else {
            return self.forgotten(target, record, now);
        };
        let live = self.probers(target, now);
        let seen = self.seen(target, record.epoch, now);
        if let Some(course) = self.courses.get_mut(target) {
            course.unknown_since = None;
            course.heed(&seen, now);
        }
        if let Some(member) = rules::path_suspect(&seen)
            && record.phase == Phase::Closed
        {
            self.suspects.insert(target.clone(), member);
        }
        let unseen = Course::default();
        let case = Case {
            record,
            numbers,
            seen: &seen,
            live: &live,
            needed,
            holder_unheard: record
                .holder
                .is_some_and(|holder| self.is_unheard(holder, now)),
            course: self.courses.get(target).unwrap_or(&unseen),
            lot: pace::lot(self.seed, target, record.epoch),
            now,
        };
        case.wanted()
    }

    /// Whether what is wanted may be proposed now; notes that it is.
    fn grant(
        &mut self,
        (target, epoch): (&TargetId, u64),
        wanted: &Wanted,
        (records, policy): (&BTreeMap<TargetId, BreakerRecord>, &Policy),
        now: Duration,
    ) -> bool {
        let at_once = wanted.step == BreakerStep::Close;
        let opens = matches!(wanted.step, BreakerStep::Open { .. });
        if opens && (self.leads_less_than(HEARING, now) || self.waits(target, epoch, now)) {
            return false;
        }
        let course = self.courses.get(target);
        let free = course.is_none_or(|course| course.is_free(epoch, at_once, now));
        if !free
            || wanted.capped && self.is_last(target, records, policy, now)
            || !self.pace.take(rank(&wanted.step) > PRESSING, now)
        {
            return false;
        }
        let live = self.probers(target, now);
        let course = self.courses.entry(target.clone()).or_default();
        if matches!(wanted.step, BreakerStep::HalfOpen { .. }) {
            course.forget_tried(&live);
        }
        course.propose(epoch, opens, wanted.by_health, now);
        true
    }

    /// It is too soon to open, for a while at most.
    fn waits(&mut self, target: &TargetId, epoch: u64, now: Duration) -> bool {
        if !self.is_hasty(target, epoch, now) {
            self.hasty.remove(target);
            return false;
        }
        let since = *self.hasty.entry(target.clone()).or_insert(now);
        now.saturating_sub(since) < WORD
    }

    /// One node alone has traffic, as far as was told, and another has not been heard of since: it
    /// may have good answers to tell of, and tells within its heartbeat. The one that fails trips by
    /// itself meanwhile, so that nothing is wasted.
    fn is_hasty(&self, target: &TargetId, epoch: u64, now: Duration) -> bool {
        let seen = self.seen(target, epoch, now);
        let mut busy = seen.iter().filter(|node| node.calls() > 0);
        let (Some(one), None) = (busy.next(), busy.next()) else {
            return false;
        };
        let failed = one.failures.iter().copied().max();
        let failed = failed.unwrap_or_else(|| tally::millis(now.saturating_sub(HEARING)));
        let mut others = self
            .nodes
            .iter()
            .filter(|(member, _)| **member != one.member);
        others.any(|(_, node)| node.is_live(now) && tally::millis(node.heard) < failed)
    }

    /// In some group nothing else is healthy.
    fn is_last(
        &self,
        target: &TargetId,
        records: &BTreeMap<TargetId, BreakerRecord>,
        policy: &Policy,
        now: Duration,
    ) -> bool {
        let healthy = |other: &TargetId| self.is_healthy(other, records, now);
        let groups = policy.groups.iter();
        let mut with_it = groups.filter(|group| group.contains(target));
        with_it.any(|group| !group.iter().any(|other| other != target && healthy(other)))
    }

    /// Its breaker is closed, and is not about to open.
    fn is_healthy(
        &self,
        target: &TargetId,
        records: &BTreeMap<TargetId, BreakerRecord>,
        now: Duration,
    ) -> bool {
        let agreed = records.get(target).is_none_or(|record| match record.mode {
            Mode::Auto => record.phase == Phase::Closed,
            Mode::ForceOpen => false,
            Mode::ForceClosed => true,
        });
        let course = self.courses.get(target);
        agreed && !course.is_some_and(|course| course.is_opening(now))
    }

    /// Upstreams of groups of which fewer than [`STAND_INS`] are healthy; nobody's where no breaker
    /// stays open for longer than configured, and while a new leader was not told yet what upstreams
    /// have asked for.
    fn needed<'a>(
        &self,
        records: &BTreeMap<TargetId, BreakerRecord>,
        policy: &'a Policy,
        now: Duration,
    ) -> BTreeSet<&'a TargetId> {
        let patient = |(target, record): (&TargetId, &BreakerRecord)| {
            let rest = Duration::from_millis(record.cooldown_ms);
            let numbers = policy.breakers.get(target);
            record.phase == Phase::Open
                && numbers.is_some_and(|numbers| rest > numbers.longest_first())
        };
        if !records.iter().any(patient) || self.leads_less_than(SILENT, now) {
            return BTreeSet::new();
        }
        let mut health = BTreeMap::new();
        let mut healthy = |target: &'a TargetId| {
            let known = health.entry(target);
            *known.or_insert_with(|| self.is_healthy(target, records, now))
        };
        let mut lacks = |group: &'a [TargetId]| {
            let good = group.iter().filter(|target| healthy(target));
            good.count() < STAND_INS
        };
        let groups = policy.groups.iter().map(Vec::as_slice);
        groups.filter(|group| lacks(group)).flatten().collect()
    }

    /// A record that no config knows goes once no node has told of it for long.
    fn forgotten(
        &mut self,
        target: &TargetId,
        record: &BreakerRecord,
        now: Duration,
    ) -> Option<Wanted> {
        let mut live = self.nodes.values().filter(|node| node.is_live(now));
        let told = live.any(|node| node.report.evidence.contains_key(target));
        let course = self.courses.get_mut(target)?;
        if told || record.epoch == 0 || record.mode != Mode::Auto {
            course.unknown_since = None;
            return None;
        }
        let since = *course.unknown_since.get_or_insert(now);
        (now.saturating_sub(since) >= FORGET).then(|| BreakerStep::Forget.into())
    }

    /// What the nodes have seen of it under this epoch.
    fn seen(&self, target: &TargetId, epoch: u64, now: Duration) -> Vec<Seen> {
        let recent = self
            .nodes
            .iter()
            .filter(|(_, node)| now.saturating_sub(node.heard) < WINDOW);
        let told = recent.filter_map(|(member, node)| {
            let evidence = node.report.evidence.get(target)?;
            (evidence.epoch == epoch).then(|| Seen::of(*member, evidence, node.heard, now))
        });
        told.collect()
    }

    fn leads_less_than(&self, time: Duration, now: Duration) -> bool {
        self.begun
            .is_some_and(|begun| now.saturating_sub(begun) < time)
    }

    /// This leader was not told yet what the member does.
    fn is_unheard(&self, member: MemberId, now: Duration) -> bool {
        !self.nodes.contains_key(&member) && self.leads_less_than(SILENT, now)
    }

    /// Nodes that may hold a lease, in the order of their numbers: those that tell of the upstream.
    /// Where nobody does, nobody is known not to serve it.
    fn probers(&self, target: &TargetId, now: Duration) -> Vec<MemberId> {
        let able = |node: &Node| node.is_live(now) && !node.report.draining;
        let able = || self.nodes.iter().filter(move |(_, node)| able(node));
        let serving = able().filter(|(_, node)| node.report.evidence.contains_key(target));
        let serving: Vec<_> = serving.map(|(member, _)| *member).collect();
        if serving.is_empty() {
            return able().map(|(member, _)| *member).collect();
        }
        serving
    }
}

impl Node {
    fn is_live(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) < SILENT
    }
}

/// Ranks up to this free or protect an upstream.
const PRESSING: u8 = 2;

/// What goes first where not everything may: what frees an upstream, then what protects it, then
/// what tidies up.
const fn rank(step: &BreakerStep) -> u8 {
    match step {
        BreakerStep::Close => 0,
        BreakerStep::Reopen { .. } => 1,
        BreakerStep::Open { .. } => 2,
        BreakerStep::HalfOpen { .. } => 3,
        BreakerStep::Decay | BreakerStep::Override { .. } => 4,
        BreakerStep::Forget => 5,
    }
}

#[cfg(test)]
mod tests;
