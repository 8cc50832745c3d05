//! The root. When even its children keep failing, the node is beyond repair by restarts:
//! it is told to drain and end.

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio_util::sync::CancellationToken;

use super::bridge::{self, BridgeActor};
use super::fleet::ModelMailbox;
use super::models::{ModelSupervisor, Ordered};
use super::pulse::{self, PulseActor};
use super::restart::{Restarts, Verdict};
use crate::bridge::Bridge;
use crate::telemetry::Recorder;
use crate::types::Moment;

/// What the root is born with.
pub(super) struct Arguments {
    /// The model supervisor's address.
    pub(super) models: ModelMailbox,
    /// Instruments, and the counters the cluster hears of.
    pub(super) recorder: Recorder,
    /// The way to the cluster.
    pub(super) bridge: Bridge,
    /// Set when the tree gives up.
    pub(super) broken: CancellationToken,
}

/// What it changes.
pub(super) struct State {
    given: Arguments,
    ordered: Ordered,
    children: Vec<(Child, ActorCell)>,
    restarts: Restarts,
}

/// The children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Models,
    Bridge,
    Pulse,
}

impl Child {
    const fn kind(self) -> &'static str {
        match self {
            Child::Models => "model_supervisor",
            Child::Bridge => "bridge",
            Child::Pulse => "pulse",
        }
    }
}

/// The actor. Its one order is to start a child again.
pub(super) struct NodeSupervisor;

impl Actor for NodeSupervisor {
    type Msg = Child;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Child>,
        given: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let clustered = given.bridge.is_clustered();
        let mut state = State {
            given,
            ordered: Ordered::default(),
            children: Vec::new(),
            restarts: Restarts::default(),
        };
        state.start(Child::Models, &myself).await?;
        if clustered {
            state.start(Child::Bridge, &myself).await?;
            state.start(Child::Pulse, &myself).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Child>,
        child: Child,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.start(child, &myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Child>,
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
        let Some(child) = state.lost(&cell) else {
            return Ok(());
        };
        match state.restarts.judge(Moment::now(), rand::random()) {
            Verdict::Escalate => {
                tracing::error!(why, "the actor tree keeps failing, giving up");
                state.given.broken.cancel();
            }
            Verdict::After(pause) => {
                let kind = child.kind();
                tracing::error!(kind, why, ?pause, "actor failed, restarting");
                state.given.recorder.metrics().actor_restarted(kind);
                myself.send_after(pause, move || child);
            }
        }
        Ok(())
    }
}

impl State {
    async fn start(
        &mut self,
        child: Child,
        myself: &ActorRef<Child>,
    ) -> Result<(), ActorProcessingErr> {
        let models = Arc::clone(&self.ordered);
        let (bridge, supervisor) = (self.given.bridge.clone(), myself.get_cell());
        let cell = match child {
            Child::Models => {
                let (actor, _) =
                    Actor::spawn_linked(None, ModelSupervisor, models, supervisor).await?;
                let cell = actor.get_cell();
                self.given.models.attach(actor);
                cell
            }
            Child::Bridge => {
                let arguments = bridge::Arguments { bridge, models };
                let (actor, _) =
                    Actor::spawn_linked(None, BridgeActor, arguments, supervisor).await?;
                actor.get_cell()
            }
            Child::Pulse => {
                let recorder = self.given.recorder.clone();
                let arguments = pulse::Arguments {
                    bridge,
                    models,
                    recorder,
                };
                let (actor, _) =
                    Actor::spawn_linked(None, PulseActor, arguments, supervisor).await?;
                actor.get_cell()
            }
        };
        self.children.push((child, cell));
        Ok(())
    }

    /// Which child is gone; its address is emptied so that nobody waits for it.
    fn lost(&mut self, cell: &ActorCell) -> Option<Child> {
        let is_it = |(_, known): &(Child, ActorCell)| known.get_id() == cell.get_id();
        let at = self.children.iter().position(is_it)?;
        let (child, _) = self.children.swap_remove(at);
        if child == Child::Models {
            self.given.models.detach();
        }
        Some(child)
    }
}

#[cfg(test)]
mod tests;
