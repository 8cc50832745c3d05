//! Owns one model's breaker machine. Supervised by the model's actor. Never makes an attempt: it
//! hears one-word verdicts and publishes what follows.

use llm_router_cluster::state::Phase;
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::admission::{Admission, Refused, Ticket};
use super::handle::{BreakerHandle, Offered};
use super::machine::Machine;
use super::outcome::Outcome;
use super::settings::Settings;
use super::transition::{Mode, State as Is, Transition};
use crate::mailbox::Posted;
use crate::queue::QueueHandle;
use crate::telemetry::Metrics;
use crate::types::{ModelName, Moment};

/// Orders.
#[derive(Debug)]
pub(crate) enum Message {
    /// May an attempt be made?
    Admit(oneshot::Sender<Result<Offered, Refused>>),
    /// An attempt ended.
    Record {
        /// The leave it was made with.
        ticket: Ticket,
        /// How it ended.
        outcome: Outcome,
    },
    /// A probe's answer has begun.
    Answers(Ticket),
    /// An active health check ended.
    Health(bool),
    /// Overrule.
    Force(Mode, oneshot::Sender<()>),
    /// The settings changed.
    Reconfigure(Settings),
    /// What is agreed has changed, or contact with the leader has: look again.
    Agreed(Option<oneshot::Sender<()>>),
    /// Time has passed: show what follows from it.
    Tick,
}

/// What the actor is born with.
pub(crate) struct Arguments {
    pub(crate) model: ModelName,
    pub(crate) handle: BreakerHandle,
    pub(crate) queue: QueueHandle,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
}

/// What it changes.
pub(crate) struct State {
    given: Arguments,
    machine: Machine,
    timer: Option<(Moment, Timer)>,
}

/// A wake-up call to oneself.
type Timer = JoinHandle<Result<(), MessagingErr<Posted<Message>>>>;

/// The actor.
pub(crate) struct BreakerActor;

impl Actor for BreakerActor {
    type Msg = Posted<Message>;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        given: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let machine = Machine::new(given.settings);
        let mut state = State {
            given,
            machine,
            timer: None,
        };
        // from what is agreed, never from what an earlier incarnation knew
        let now = Moment::now();
        state.given.handle.forget_goods();
        state.adopt(now);
        state.publish(now);
        let shown = state.machine.state(now);
        state
            .given
            .metrics
            .breaker_state(&state.given.model, shown.as_str());
        state.rearm(&myself, now);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        posted: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = Moment::now();
        let before = state.machine.snapshot(now);
        if state.machine.is_clustered() {
            let connected = state.given.handle.bridge().is_connected();
            state.machine.contact(connected);
        }
        let mut urgent = false;
        let transition = match posted.message {
            Message::Admit(reply) => state.admit(reply, now),
            Message::Record { ticket, outcome } => {
                for (at, count) in state.given.handle.take_goods() {
                    state.machine.record_good(at, count);
                }
                let recovers = outcome.is_answer() && before.failure_count > 0;
                urgent = outcome == Outcome::Hard || ticket.probe.is_some() || recovers;
                state.machine.record(outcome, ticket, now, rand::random())
            }
            Message::Answers(ticket) => {
                state.machine.answers(ticket, now);
                urgent = true;
                None
            }
            Message::Health(up) => state.machine.health(up, now),
            Message::Force(mode, done) => {
                let transition = state.machine.force(mode, now);
                state.publish(now);
                let _ = done.send(());
                transition
            }
            Message::Reconfigure(settings) => {
                state.machine.reconfigure(settings);
                None
            }
            Message::Agreed(done) => {
                let transition = state.adopt(now).or_else(|| state.machine.tick(now));
                state.publish(now);
                let shown = state.machine.state(now).as_str();
                state.given.metrics.breaker_state(&state.given.model, shown);
                if let Some(done) = done {
                    let _ = done.send(());
                }
                transition
            }
            Message::Tick => {
                state.timer = None;
                state.machine.tick(now)
            }
        };
        state.publish(now);
        if urgent || transition.is_some() {
            state.given.handle.bridge().urge();
        }
        if let Some(transition) = transition {
            state.tell(&transition);
        }
        state.rearm(&myself, now);
        Ok(())
    }
}

impl State {
    fn publish(&self, now: Moment) {
        self.given.handle.publish(self.machine.snapshot(now));
        if self.machine.is_clustered() {
            self.given.handle.publish_ledger(self.machine.ledger(now));
        }
    }

    fn admit(
        &mut self,
        reply: oneshot::Sender<Result<Offered, Refused>>,
        now: Moment,
    ) -> Option<Transition> {
        let (admission, transition) = self.machine.admit(now);
        let offered = match admission {
            // asked here once more: who says that it drains begins no probe after that
            Admission::Probe(ticket) if self.lets_go(&ticket) => {
                let cancelled = Outcome::Cancelled;
                self.machine.record(cancelled, ticket, now, rand::random());
                Err(Refused::unlent())
            }
            Admission::Pass(ticket) | Admission::Probe(ticket) => {
                Ok(Offered::new(ticket, self.given.handle.clone()))
            }
            Admission::Refuse(refused) => Err(refused),
        };
        // a caller that is gone drops the offer, which comes back as a record
        let _ = reply.send(offered);
        transition
    }

    /// The ticket is by a lease that a node which drains does not use any more.
    fn lets_go(&self, ticket: &Ticket) -> bool {
        ticket.lease_until.is_some() && self.given.handle.bridge().is_draining()
    }

    /// Takes over what is agreed; whoever waits for an upstream that this node may not use now
    /// should ask elsewhere.
    fn adopt(&mut self, now: Moment) -> Option<Transition> {
        let agreed = self.given.handle.agreed(now)?;
        let era = |machine: &Machine| machine.snapshot(now).overlay.map(|overlay| overlay.era);
        let before = era(&self.machine);
        let transition = self.machine.adopt(&agreed, now, rand::random());
        if era(&self.machine) != before {
            self.given.handle.forget_goods();
            if agreed.record.phase != Phase::Closed && !agreed.mine {
                self.given.queue.breaker_opened();
            }
        }
        self.given.metrics.breaker_agreed(
            &self.given.model,
            agreed.record.epoch,
            agreed.record.phase.as_str(),
        );
        transition
    }

    fn tell(&self, transition: &Transition) {
        let model = &self.given.model;
        self.given
            .metrics
            .breaker_changed(model, transition.to.as_str());
        let (from, to) = (transition.from.as_str(), transition.to.as_str());
        let (epoch, cause) = (self.given.handle.view().epoch(), transition.cause.as_str());
        match transition.to {
            Is::Open => {
                match transition.from {
                    // a probe failed: nothing new
                    Is::HalfOpen => {
                        tracing::info!(%model, from, to, cause, epoch, "breaker moved");
                    }
                    Is::Open | Is::Closed => {
                        tracing::warn!(%model, from, to, cause, epoch, "breaker tripped");
                    }
                }
                self.given.queue.breaker_opened();
            }
            Is::HalfOpen => tracing::info!(%model, from, to, cause, epoch, "breaker moved"),
            Is::Closed => {
                tracing::info!(%model, from, to, cause, epoch, "breaker moved");
                if self.machine.is_clustered() && transition.from != Is::Closed {
                    self.given.queue.slow_start();
                }
            }
        }
    }

    /// Wakes up when the open time ends, so that what is shown is true without traffic.
    fn rearm(&mut self, myself: &ActorRef<Posted<Message>>, now: Moment) {
        let next = self
            .machine
            .snapshot(now)
            .open_until
            .filter(|until| *until > now);
        if self.timer.as_ref().map(|(at, _)| *at) == next {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
        if let Some(at) = next {
            let wait = now.until(at) + std::time::Duration::from_millis(1);
            let timer = myself.send_after(wait, || Posted::own(Message::Tick));
            self.timer = Some((at, timer));
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
    }
}
