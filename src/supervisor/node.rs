//! The root. When even the model supervisor keeps failing, the node is beyond repair by restarts:
//! it is told to drain and end.

use std::sync::Arc;

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio_util::sync::CancellationToken;

use super::fleet::ModelMailbox;
use super::models::{ModelSupervisor, Ordered};
use super::restart::{Restarts, Verdict};
use crate::telemetry::Metrics;
use crate::types::Moment;

/// What the root is born with.
pub(super) struct Arguments {
    /// The model supervisor's address.
    pub(super) models: ModelMailbox,
    /// Instruments.
    pub(super) metrics: Metrics,
    /// Set when the tree gives up.
    pub(super) broken: CancellationToken,
}

/// What it changes.
pub(super) struct State {
    given: Arguments,
    ordered: Ordered,
    restarts: Restarts,
}

/// The actor. It takes no orders: an empty message starts its child again.
pub(super) struct NodeSupervisor;

impl Actor for NodeSupervisor {
    type Msg = ();
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        given: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let ordered = Arc::new(Mutex::new(Vec::new()));
        let state = State {
            given,
            ordered,
            restarts: Restarts::default(),
        };
        state.start(&myself).await?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<()>,
        (): (),
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.start(&myself).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let why = match event {
            SupervisionEvent::ActorTerminated(_, _, reason) => {
                reason.unwrap_or_else(|| "ended".to_owned())
            }
            SupervisionEvent::ActorFailed(_, error) => error.to_string(),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        state.given.models.detach();
        match state.restarts.judge(Moment::now(), rand::random()) {
            Verdict::Escalate => {
                tracing::error!(why, "the actor tree keeps failing, giving up");
                state.given.broken.cancel();
            }
            Verdict::After(pause) => {
                tracing::error!(why, ?pause, "model supervisor failed, restarting");
                state.given.metrics.actor_restarted("model_supervisor");
                myself.send_after(pause, || ());
            }
        }
        Ok(())
    }
}

impl State {
    async fn start(&self, myself: &ActorRef<()>) -> Result<(), ActorProcessingErr> {
        let ordered = Arc::clone(&self.ordered);
        let supervisor = myself.get_cell();
        let (actor, _) = Actor::spawn_linked(None, ModelSupervisor, ordered, supervisor).await?;
        self.given.models.attach(actor);
        Ok(())
    }
}
