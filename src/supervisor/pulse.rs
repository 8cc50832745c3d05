//! Tells the leader what this node has seen and wants of every upstream, and hands the leader's
//! shares to queues and wallets. Supervised by the node supervisor. Decides nothing: what a share
//! means is in [`shares`].

mod shares;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::handle::Heard;
use llm_router_cluster::policy::{LimitId, LimitKind};
use llm_router_cluster::pulse::{Demand, Evidence, Report};
use llm_router_cluster::state::TargetId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::shares::{Loans, Part};
use super::models::Ordered;
use crate::bridge::{Bridge, Link};
use crate::model::{ModelHandle, ModelMessage, Terms};
use crate::telemetry::Recorder;
use crate::types::Moment;

/// How often everything is looked at although nothing urgent happened.
const EVERY: Duration = Duration::from_millis(250);
/// Urgent reports are at least this far apart; what happens in between goes with the next.
const APART: Duration = Duration::from_millis(5);
/// How long a client's request may come and be the probe before the node asks something itself. It
/// doubles with each question that proved nothing, for each may cost something.
const PROBE_PATIENCE: Duration = Duration::from_millis(250);
/// And grows no longer than this.
const MAX_PATIENCE: Duration = Duration::from_secs(10);
/// Doublings that reach it.
const MAX_DOUBLINGS: u32 = 6;
/// Of what a model may have limits.
const KINDS: [LimitKind; 3] = [
    LimitKind::Concurrency,
    LimitKind::Requests,
    LimitKind::Tokens,
];
/// How often the node's counters are read for the cluster's figures.
const USAGE_EVERY: Duration = Duration::from_secs(1);

/// Look at everything.
#[derive(Debug)]
pub(super) struct Look {
    /// Something must not wait for the next report.
    urgent: bool,
    /// Told when to look again at the latest.
    next: oneshot::Sender<Instant>,
}

/// What the actor is born with.
pub(super) struct Arguments {
    pub(super) bridge: Bridge,
    pub(super) models: Ordered,
    pub(super) recorder: Recorder,
}

/// An upstream that is to be probed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Idle {
    /// Since when nobody has, or the node has asked last.
    since: Moment,
    /// The lease's epoch and the good probes by it.
    proved: (u64, u32),
    /// Questions that proved nothing more.
    fruitless: u32,
}

impl Idle {
    fn patience(&self) -> Duration {
        let doubled = PROBE_PATIENCE * (1 << self.fruitless.min(MAX_DOUBLINGS));
        doubled.min(MAX_PATIENCE)
    }
}

/// What it changes.
pub(super) struct State {
    given: Arguments,
    loans: Loans,
    connected: bool,
    /// Upstreams to be probed here.
    idle: BTreeMap<TargetId, Idle>,
    usage: (Option<Instant>, BTreeMap<String, u64>),
    last: Report,
    prompting: Option<JoinHandle<()>>,
}

/// The actor.
pub(super) struct PulseActor;

impl Actor for PulseActor {
    type Msg = Look;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Look>,
        given: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let prompting = given.bridge.link().map(|link| {
            let prompter = Prompter {
                bridge: given.bridge.clone(),
                heard: link.heard(),
                actor: myself,
            };
            ractor::concurrency::spawn(prompter.run())
        });
        Ok(State {
            given,
            loans: Loans::default(),
            connected: false,
            idle: BTreeMap::new(),
            usage: (None, BTreeMap::new()),
            last: Report::default(),
            prompting,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Look>,
        look: Look,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let next = state.look(look.urgent);
        let _ = look.next.send(next);
        Ok(())
    }
}

/// Prompts the actor: when something is urgent, when the leader spoke, and every now and then.
struct Prompter {
    bridge: Bridge,
    heard: tokio::sync::watch::Receiver<Arc<Heard>>,
    actor: ActorRef<Look>,
}

impl Prompter {
    async fn run(mut self) {
        let mut next = Instant::now();
        let mut leaderless = false;
        loop {
            let urgent = tokio::select! {
                () = self.bridge.urged() => true,
                spoke = self.heard.changed(), if !leaderless => {
                    leaderless = spoke.is_err(); // the cluster has been left
                    false
                }
                () = tokio::time::sleep_until(next) => false,
            };
            let (reply, answer) = oneshot::channel();
            let look = Look {
                urgent,
                next: reply,
            };
            if self.actor.send_message(look).is_err() {
                return;
            }
            match answer.await {
                Ok(at) => next = at,
                Err(_) => return,
            }
            if urgent {
                tokio::time::sleep(APART).await;
            }
        }
    }
}

impl State {
    /// Takes over shares, then reports.
    fn look(&mut self, urgent: bool) -> Instant {
        let (now, instant) = (Moment::now(), Instant::now());
        let bridge = self.given.bridge.clone();
        let Some(link) = bridge.link() else {
            return instant + EVERY;
        };
        let models = self.given.models.lock().clone();
        let heard = Arc::clone(&link.heard().borrow());
        let connected = link.is_connected();
        self.loans.hear(&heard);
        self.loans.serve(models.iter().flat_map(limited));
        for model in &models {
            self.lend(model, connected, (now, instant));
            if connected != self.connected {
                model.shared.breaker.look_again();
            }
        }
        self.connected = connected;
        self.probe(&models, now);
        self.show_suspects(link, &heard, &models);
        self.report((link, urgent), &models, (now, instant));
        let expiry = self.loans.next_expiry(instant);
        expiry.unwrap_or(instant + EVERY).min(instant + EVERY)
    }

    /// Hands a model its parts of its limits.
    fn lend(&self, model: &ModelHandle, connected: bool, (now, instant): (Moment, Instant)) {
        let (shared, metrics) = (&model.shared, self.given.recorder.metrics());
        for kind in KINDS {
            let Some(limit) = limit(model, kind) else {
                metrics.limit_share(model.name(), kind.as_str(), None);
                continue;
            };
            let part = match self.loans.part(&id(model, kind), instant) {
                // nobody is there who could lend more, and of a rate what was lent is soon spent
                Part::Lent { amount, number }
                    if !connected && shared.wallet.outgrew(kind, (number, amount), now) =>
                {
                    Part::Own
                }
                part @ (Part::Lent { .. } | Part::Own) => part,
            };
            let (amount, taken) = match part {
                Part::Lent { amount, number } => (amount, Some(number)),
                Part::Own => (self.given.bridge.part_of(limit), None),
            };
            if kind == LimitKind::Concurrency {
                let cap = u32::try_from(amount).unwrap_or(u32::MAX);
                shared.queue.set_share(cap);
            } else {
                let terms = if taken.is_some() {
                    Terms::Lent(amount)
                } else {
                    Terms::Own(amount)
                };
                shared.wallet.lend(kind, terms, taken);
            }
            metrics.limit_share(model.name(), kind.as_str(), Some(amount));
        }
    }

    /// Sees to it that an upstream that is to be probed here is, though no client asks for it.
    fn probe(&mut self, models: &[ModelHandle], now: Moment) {
        let mut idle = BTreeMap::new();
        for model in models {
            let breaker = &model.shared.breaker;
            let Some(proved) = breaker.proved() else {
                continue;
            };
            let target = &model.spec.target;
            let known = self.idle.get(target).filter(|idle| idle.proved == proved);
            let mut one = known.copied().unwrap_or(Idle {
                since: now,
                proved,
                fruitless: 0,
            });
            if !breaker.awaits_probe(now) {
                one.since = now;
            } else if now.since(one.since) >= one.patience() {
                one.since = now;
                one.fruitless = one.fruitless.saturating_add(1);
                model.shared.mailbox.post_owed(ModelMessage::Ping);
            }
            idle.insert(target.clone(), one);
        }
        self.idle = idle;
    }

    fn show_suspects(&self, link: &dyn Link, heard: &Heard, models: &[ModelHandle]) {
        let suspects = &heard.directive.figures.path_suspects;
        let named = suspects.iter().filter_map(|(member, target)| {
            let model = models
                .iter()
                .find(|model| model.spec.target == *target)?
                .name();
            Some([link.name_of(*member)?, model.as_str().to_owned()])
        });
        self.given.recorder.metrics().path_suspects(named.collect());
    }

    fn report(
        &mut self,
        (link, urgent): (&dyn Link, bool),
        models: &[ModelHandle],
        (now, instant): (Moment, Instant),
    ) {
        if self.usage.0.is_none_or(|at| at + USAGE_EVERY <= instant) {
            self.usage = (Some(instant), usage(&self.given.recorder));
        }
        let report = Report {
            evidence: models.iter().filter_map(|model| seen(model, now)).collect(),
            demand: models
                .iter()
                .flat_map(|model| demand(model, &self.loans, now))
                .collect(),
            usage: self.usage.1.clone(),
            ..Report::default()
        };
        if urgent || report != self.last {
            self.last = report.clone();
            link.report(report, urgent);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(prompting) = self.prompting.take() {
            prompting.abort();
        }
    }
}

/// The limits that a model has.
fn limited(model: &ModelHandle) -> impl Iterator<Item = LimitId> {
    let has = |kind: &LimitKind| limit(model, *kind).is_some();
    KINDS.into_iter().filter(has).map(|kind| id(model, kind))
}

fn limit(model: &ModelHandle, kind: LimitKind) -> Option<u64> {
    let config = &model.spec.config;
    match kind {
        LimitKind::Concurrency => Some(u64::from(config.max_concurrency)),
        LimitKind::Requests => config.limits.rpm,
        LimitKind::Tokens => config.limits.tpm,
    }
}

fn id(model: &ModelHandle, kind: LimitKind) -> LimitId {
    LimitId {
        target: model.spec.target.clone(),
        kind,
    }
}

fn seen(model: &ModelHandle, now: Moment) -> Option<(TargetId, Evidence)> {
    // in this order: nothing that began before it declined is missed
    let declines = model.shared.breaker.declines();
    let in_flight = u32::try_from(model.shared.queue.in_flight()).unwrap_or(u32::MAX);
    let evidence = model.shared.breaker.evidence(in_flight, now)?;
    let evidence = Evidence {
        declines,
        ..evidence
    };
    Some((model.spec.target.clone(), evidence))
}

/// What the node does with a model's limits; one it neither uses nor holds a part of is left out.
fn demand(model: &ModelHandle, loans: &Loans, now: Moment) -> Vec<(LimitId, Demand)> {
    let queue = &model.shared.queue;
    let concurrency = id(model, LimitKind::Concurrency);
    let running = Demand {
        used: queue.in_flight(),
        wanted: queue.wanted(),
        taken: loans.taken(&concurrency),
    };
    let rates = [LimitKind::Requests, LimitKind::Tokens]
        .into_iter()
        .filter_map(|kind| Some((id(model, kind), model.shared.wallet.demand(kind, now)?)));
    rates
        .chain([(concurrency, running)])
        .filter(|(_, demand)| *demand != Demand::default())
        .collect()
}

/// The node's counters, under the names that its stats have.
fn usage(recorder: &Recorder) -> BTreeMap<String, u64> {
    let stats = recorder.stats();
    let totals = [
        ("total_requests", stats.total_requests),
        ("successes", stats.successes),
        ("failures", stats.failures),
        ("cache_hits", stats.cache_hits),
        ("semantic_hits", stats.semantic_hits),
    ];
    let split = |group: &'static str, counts: BTreeMap<String, u64>| {
        counts
            .into_iter()
            .map(move |(name, count)| (format!("{group}.{name}"), count))
    };
    totals
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .chain(split("requests_by_model", stats.requests_by_model))
        .chain(split("requests_by_priority", stats.requests_by_priority))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Idle;
    use crate::types::Moment;

    #[test]
    fn questions_that_prove_nothing_come_ever_more_rarely() {
        let patience = |fruitless| {
            let idle = Idle {
                since: Moment::ZERO,
                proved: (1, 0),
                fruitless,
            };
            idle.patience().as_millis()
        };
        assert_eq!([0, 1, 2, 5].map(patience), [250, 500, 1_000, 8_000]);
        assert_eq!([6, 7, u32::MAX].map(patience), [10_000; 3]);
    }
}
