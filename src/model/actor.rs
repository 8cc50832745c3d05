//! Owns one model's health checks and children. Supervised by the model supervisor. Never
//! makes an attempt.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::handle::{ModelHandle, Spec};
use crate::breaker::{self, BreakerActor};
use crate::mailbox::Posted;
use crate::queue::{self, QueueActor};
use crate::supervisor::restart::{Restarts, Verdict};
use crate::types::Moment;

/// Longest a health check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Orders.
#[derive(Debug)]
pub(crate) enum Message {
    /// Check the upstream's health now.
    Probe,
    /// A health check ended.
    Health(bool),
    /// The upstream is to be probed here, and nobody asks for it: ask it something.
    Ping,
    /// The settings changed.
    Reconfigure(Arc<Spec>),
    /// A child's pause before its restart is over.
    Restart(Child),
}

/// The children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    Queue,
    Breaker,
}

/// What the actor is born with.
pub(crate) struct Arguments {
    pub(crate) model: ModelHandle,
}

/// What it changes.
pub(crate) struct State {
    model: ModelHandle,
    queue: Option<ActorCell>,
    breaker: Option<ActorCell>,
    restarts: Restarts,
    probing: bool,
}

/// The actor.
pub(crate) struct ModelActor;

impl Actor for ModelActor {
    type Msg = Posted<Message>;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        given: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State {
            model: given.model,
            queue: None,
            breaker: None,
            restarts: Restarts::default(),
            probing: false,
        };
        state.start(Child::Breaker, &myself).await?;
        state.start(Child::Queue, &myself).await?;
        state.probe_later(&myself, Duration::ZERO);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        posted: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match posted.message {
            Message::Probe => state.probe(&myself),
            Message::Health(up) => state.heard(up, &myself),
            Message::Ping => state.ping(),
            Message::Reconfigure(spec) => state.reconfigure(spec, &myself),
            Message::Restart(child) => state.start(child, &myself).await?,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell, reason.unwrap_or_else(|| "ended".to_owned()))
            }
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        let child = state.lost(&cell);
        let Some(child) = child else { return Ok(()) };
        let model = state.model.name();
        match state.restarts.judge(Moment::now(), rand::random()) {
            Verdict::Escalate => Err(format!("{child:?} of {model} keeps failing: {why}").into()),
            Verdict::After(pause) => {
                tracing::warn!(%model, ?child, why, ?pause, "actor failed, restarting");
                state.model.shared.metrics.actor_restarted(child.kind());
                myself.send_after(pause, move || Posted::own(Message::Restart(child)));
                Ok(())
            }
        }
    }
}

impl Child {
    const fn kind(self) -> &'static str {
        match self {
            Child::Queue => "queue",
            Child::Breaker => "breaker",
        }
    }
}

impl State {
    async fn start(
        &mut self,
        child: Child,
        myself: &ActorRef<Posted<Message>>,
    ) -> Result<(), ActorProcessingErr> {
        let shared = &self.model.shared;
        let model = self.model.name().clone();
        match child {
            Child::Queue => {
                let arguments = queue::Arguments {
                    model,
                    handle: shared.queue.clone(),
                    breaker: shared.breaker.clone(),
                    limits: self.model.spec.queue_limits(),
                    metrics: shared.metrics.clone(),
                };
                let supervisor = myself.get_cell();
                let (actor, _) =
                    Actor::spawn_linked(None, QueueActor, arguments, supervisor).await?;
                self.queue = Some(actor.get_cell());
                shared.queue.mailbox().attach(actor);
            }
            Child::Breaker => {
                let arguments = breaker::Arguments {
                    model,
                    handle: shared.breaker.clone(),
                    queue: shared.queue.clone(),
                    settings: self.model.spec.breaker,
                    metrics: shared.metrics.clone(),
                };
                let supervisor = myself.get_cell();
                let (actor, _) =
                    Actor::spawn_linked(None, BreakerActor, arguments, supervisor).await?;
                self.breaker = Some(actor.get_cell());
                shared.breaker.mailbox().attach(actor);
            }
        }
        Ok(())
    }

    /// Which child is gone; its address is emptied so that nobody waits for it.
    fn lost(&mut self, cell: &ActorCell) -> Option<Child> {
        let gone = |known: &Option<ActorCell>| {
            known
                .as_ref()
                .is_some_and(|known| known.get_id() == cell.get_id())
        };
        if gone(&self.queue) {
            self.queue = None;
            self.model.shared.queue.mailbox().detach();
            return Some(Child::Queue);
        }
        if gone(&self.breaker) {
            self.breaker = None;
            self.model.shared.breaker.mailbox().detach();
            return Some(Child::Breaker);
        }
        None
    }

    fn reconfigure(&mut self, spec: Arc<Spec>, myself: &ActorRef<Posted<Message>>) {
        self.model = self.model.with_spec(spec);
        self.model
            .shared
            .queue
            .reconfigure(self.model.spec.queue_limits());
        self.model
            .shared
            .breaker
            .reconfigure(self.model.spec.breaker);
        self.model
            .shared
            .wallet
            .reconfigure(self.model.spec.config.limits);
        if self.model.spec.config.health.is_none() {
            self.model.shared.health.store(0, Ordering::Relaxed);
        }
        self.probe_later(myself, Duration::ZERO);
    }

    fn probe_later(&mut self, myself: &ActorRef<Posted<Message>>, pause: Duration) {
        if self.model.spec.config.health.is_some() && !self.probing {
            self.probing = true;
            myself.send_after(pause, || Posted::own(Message::Probe));
        }
    }

    /// Looks after the upstream in a task of its own, which ends within its timeout.
    fn probe(&mut self, myself: &ActorRef<Posted<Message>>) {
        if self.model.spec.config.health.is_none() {
            self.probing = false;
            return;
        }
        let (provider, myself) = (Arc::clone(&self.model.spec.provider), myself.clone());
        ractor::concurrency::spawn(async move {
            let health = tokio::time::timeout(HEALTH_TIMEOUT, provider.health()).await;
            let up = matches!(health, Ok(Ok(())));
            let _ = myself.send_message(Posted::own(Message::Health(up)));
        });
    }

    /// Asks in a task of its own, which ends within the first token's time.
    fn ping(&self) {
        let model = self.model.clone();
        ractor::concurrency::spawn(async move { model.ping().await });
    }

    fn heard(&mut self, up: bool, myself: &ActorRef<Posted<Message>>) {
        let shared = &self.model.shared;
        let before = shared
            .health
            .swap(if up { 1 } else { 2 }, Ordering::Relaxed);
        if before != if up { 1 } else { 2 } {
            let model = self.model.name();
            tracing::info!(%model, up, "health changed");
        }
        shared.metrics.backend_health(self.model.name(), Some(up));
        shared.breaker.health(up);
        self.probing = false;
        if let Some(health) = &self.model.spec.config.health {
            self.probe_later(myself, health.interval.get());
        }
    }
}
