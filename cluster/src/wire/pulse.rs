//! Reports and directives as messages of `PulseService`, and back.

use std::collections::BTreeMap;

use llm_router_proto::llm_router::cluster::v1;

use crate::identity::{BootId, MemberId};
use crate::policy::{LimitId, LimitKind};
use crate::pulse::{
    BUCKETS, Calls, Demand, Directive, Evidence, Figures, Held, LATELY, MAX_FAILURE_AGES, Probe,
    Report, Share,
};
use crate::state::{MAX_BREAKERS, TargetId};

/// Most limits in one message: each breaker's target may have one of every kind.
const MAX_LIMITS: usize = 3 * MAX_BREAKERS;
/// Most counters in one message: a few for each of some hundred models and tenants.
const MAX_COUNTERS: usize = 10_000;
/// Longest name of an upstream or a counter, in bytes, as [`TargetId`] promises.
const MAX_NAME: usize = 256;

/// A message that does not say what it should.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct BadPulse {
    /// Which part of it.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

const fn bad(field: &'static str, problem: &'static str) -> BadPulse {
    BadPulse { field, problem }
}

impl From<Report> for v1::Report {
    fn from(report: Report) -> Self {
        v1::Report {
            boot: report.boot.0,
            sequence: report.sequence,
            evidence: report.evidence.into_iter().map(evidence_out).collect(),
            demand: report.demand.into_iter().map(demand_out).collect(),
            usage: report.usage,
            draining: report.draining,
            full: report.full,
            held: report.held.into_iter().map(held_out).collect(),
        }
    }
}

impl TryFrom<v1::Report> for Report {
    type Error = BadPulse;

    fn try_from(report: v1::Report) -> Result<Self, BadPulse> {
        Ok(Report {
            boot: BootId(report.boot),
            sequence: report.sequence,
            evidence: keyed(report.evidence, evidence_in, "evidence", MAX_BREAKERS)?,
            demand: keyed(report.demand, demand_in, "demand", MAX_LIMITS)?,
            usage: counters(report.usage, "usage")?,
            draining: report.draining,
            full: report.full,
            held: keyed(report.held, held_in, "held", MAX_LIMITS)?,
        })
    }
}

fn evidence_out((target, evidence): (TargetId, Evidence)) -> v1::Evidence {
    let used = evidence
        .buckets
        .iter()
        .rposition(|calls| *calls != Calls::default())
        .map_or(0, |last| last + 1);
    v1::Evidence {
        target: target.0,
        epoch: evidence.epoch,
        buckets: evidence
            .buckets
            .into_iter()
            .take(used)
            .map(Into::into)
            .collect(),
        failure_ages_ms: evidence.failure_ages_ms,
        last_ok_age_ms: evidence.last_ok_age_ms,
        in_flight: evidence.in_flight,
        suspect: evidence.suspect,
        probe: evidence.probe.map(|probe| v1::Probe {
            good: probe.good,
            failed: probe.failed,
        }),
        declines: evidence.declines,
        healthy: evidence.healthy,
        retry_after_ms: evidence.retry_after_ms,
    }
}

fn evidence_in(evidence: v1::Evidence) -> Result<(TargetId, Evidence), BadPulse> {
    if evidence.buckets.len() > BUCKETS {
        return Err(bad("evidence.buckets", "are too many"));
    }
    if evidence.failure_ages_ms.len() > MAX_FAILURE_AGES {
        return Err(bad("evidence.failure_ages_ms", "are too many"));
    }
    let mut buckets = [Calls::default(); BUCKETS];
    for (bucket, calls) in buckets.iter_mut().zip(evidence.buckets) {
        *bucket = calls.into();
    }
    let seen = Evidence {
        epoch: evidence.epoch,
        buckets,
        failure_ages_ms: evidence.failure_ages_ms,
        last_ok_age_ms: evidence.last_ok_age_ms,
        in_flight: evidence.in_flight,
        suspect: evidence.suspect,
        probe: evidence.probe.map(|probe| Probe {
            good: probe.good,
            failed: probe.failed,
        }),
        declines: evidence.declines,
        healthy: evidence.healthy,
        retry_after_ms: evidence.retry_after_ms,
    };
    Ok((target(evidence.target, "evidence.target")?, seen))
}

impl From<Calls> for v1::Calls {
    fn from(Calls { ok, hard, slow }: Calls) -> Self {
        v1::Calls { ok, hard, slow }
    }
}

impl From<v1::Calls> for Calls {
    fn from(v1::Calls { ok, hard, slow }: v1::Calls) -> Self {
        Calls { ok, hard, slow }
    }
}

impl From<LimitId> for v1::Limit {
    fn from(limit: LimitId) -> Self {
        let kind = match limit.kind {
            LimitKind::Concurrency => v1::LimitKind::Concurrency,
            LimitKind::Requests => v1::LimitKind::Requests,
            LimitKind::Tokens => v1::LimitKind::Tokens,
        };
        v1::Limit {
            target: limit.target.0,
            kind: kind.into(),
        }
    }
}

impl TryFrom<v1::Limit> for LimitId {
    type Error = BadPulse;

    fn try_from(limit: v1::Limit) -> Result<Self, BadPulse> {
        let kind = match limit.kind() {
            v1::LimitKind::Unspecified => return Err(bad("limit.kind", "is missing or unknown")),
            v1::LimitKind::Concurrency => LimitKind::Concurrency,
            v1::LimitKind::Requests => LimitKind::Requests,
            v1::LimitKind::Tokens => LimitKind::Tokens,
        };
        let target = target(limit.target, "limit.target")?;
        Ok(LimitId { target, kind })
    }
}

fn demand_out((limit, demand): (LimitId, Demand)) -> v1::Demand {
    v1::Demand {
        limit: Some(limit.into()),
        used: demand.used,
        wanted: demand.wanted,
        taken: demand.taken,
    }
}

fn demand_in(demand: v1::Demand) -> Result<(LimitId, Demand), BadPulse> {
    let limit = demand.limit.ok_or(bad("demand.limit", "is missing"))?;
    let stated = Demand {
        used: demand.used,
        wanted: demand.wanted,
        taken: demand.taken,
    };
    Ok((limit.try_into()?, stated))
}

fn held_out((limit, held): (LimitId, Held)) -> v1::Held {
    let told = held.lately.iter().rposition(|spent| *spent > 0);
    let told = told.map_or(0, |last| last + 1);
    v1::Held {
        limit: Some(limit.into()),
        amount: held.amount,
        lately: held.lately.into_iter().take(told).collect(),
    }
}

fn held_in(held: v1::Held) -> Result<(LimitId, Held), BadPulse> {
    let limit = held.limit.ok_or(bad("held.limit", "is missing"))?;
    if held.lately.len() > LATELY {
        return Err(bad("held.lately", "has too many parts"));
    }
    let mut lately = [0; LATELY];
    for (part, spent) in lately.iter_mut().zip(held.lately) {
        *part = spent;
    }
    let amount = held.amount;
    Ok((limit.try_into()?, Held { amount, lately }))
}

impl From<Directive> for v1::Directive {
    fn from(directive: Directive) -> Self {
        v1::Directive {
            term: directive.term,
            leader: directive.leader.0,
            sequence: directive.sequence,
            committed: directive.committed,
            shares: directive.shares.into_iter().map(share_out).collect(),
            figures: Some(directive.figures.into()),
        }
    }
}

impl TryFrom<v1::Directive> for Directive {
    type Error = BadPulse;

    fn try_from(directive: v1::Directive) -> Result<Self, BadPulse> {
        let figures = directive.figures.ok_or(bad("figures", "are missing"))?;
        Ok(Directive {
            term: directive.term,
            leader: MemberId(directive.leader),
            sequence: directive.sequence,
            committed: directive.committed,
            shares: keyed(directive.shares, share_in, "shares", MAX_LIMITS)?,
            figures: figures.try_into()?,
        })
    }
}

fn share_out((limit, share): (LimitId, Share)) -> v1::Share {
    v1::Share {
        limit: Some(limit.into()),
        number: share.number,
        amount: share.amount,
        valid_ms: share.valid_ms,
    }
}

fn share_in(share: v1::Share) -> Result<(LimitId, Share), BadPulse> {
    let limit = share.limit.ok_or(bad("share.limit", "is missing"))?;
    let lent = Share {
        number: share.number,
        amount: share.amount,
        valid_ms: share.valid_ms,
    };
    Ok((limit.try_into()?, lent))
}

impl From<Figures> for v1::Figures {
    fn from(figures: Figures) -> Self {
        let suspects = figures.path_suspects.into_iter();
        let spent = figures.spent.into_iter();
        v1::Figures {
            nodes: figures.nodes,
            alive: figures.alive.into_iter().map(|member| member.0).collect(),
            usage: figures.usage,
            path_suspects: suspects
                .map(|(member, target)| v1::PathSuspect {
                    member: member.0,
                    target: target.0,
                })
                .collect(),
            spent: spent
                .map(|(limit, amount)| v1::Spent {
                    limit: Some(limit.into()),
                    amount,
                })
                .collect(),
        }
    }
}

impl TryFrom<v1::Figures> for Figures {
    type Error = BadPulse;

    fn try_from(figures: v1::Figures) -> Result<Self, BadPulse> {
        if figures.path_suspects.len() > MAX_BREAKERS {
            return Err(bad("figures.path_suspects", "are too many"));
        }
        let suspects = figures.path_suspects.into_iter();
        let suspects = suspects
            .map(|one| {
                let target = target(one.target, "figures.path_suspects.target")?;
                Ok((MemberId(one.member), target))
            })
            .collect::<Result<_, BadPulse>>()?;
        Ok(Figures {
            nodes: figures.nodes,
            alive: figures.alive.into_iter().map(MemberId).collect(),
            usage: counters(figures.usage, "figures.usage")?,
            path_suspects: suspects,
            spent: keyed(figures.spent, spent_in, "figures.spent", MAX_LIMITS)?,
        })
    }
}

fn spent_in(spent: v1::Spent) -> Result<(LimitId, u64), BadPulse> {
    let limit = spent.limit.ok_or(bad("spent.limit", "is missing"))?;
    Ok((limit.try_into()?, spent.amount))
}

fn target(text: String, field: &'static str) -> Result<TargetId, BadPulse> {
    if text.is_empty() {
        return Err(bad(field, "is missing"));
    }
    if text.len() > MAX_NAME {
        return Err(bad(field, "is too long"));
    }
    Ok(TargetId(text))
}

fn counters(
    counters: BTreeMap<String, u64>,
    field: &'static str,
) -> Result<BTreeMap<String, u64>, BadPulse> {
    if counters.len() > MAX_COUNTERS {
        return Err(bad(field, "has too many counters"));
    }
    if counters.keys().any(|name| name.len() > MAX_NAME) {
        return Err(bad(field, "has a counter with too long a name"));
    }
    Ok(counters)
}

/// A list of messages as the map they stand for: no key twice, no more than a node may have.
fn keyed<K: Ord, V, M>(
    list: Vec<M>,
    read: fn(M) -> Result<(K, V), BadPulse>,
    field: &'static str,
    most: usize,
) -> Result<BTreeMap<K, V>, BadPulse> {
    if list.len() > most {
        return Err(bad(field, "has too many entries"));
    }
    let mut map = BTreeMap::new();
    for message in list {
        let (key, value) = read(message)?;
        if map.insert(key, value).is_some() {
            return Err(bad(field, "has an entry twice"));
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests;
