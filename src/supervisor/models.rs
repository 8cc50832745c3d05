//! One child per model. Supervised by the node supervisor. Follows config changes live.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use super::fleet::ModelOrder;
use super::restart::{Restarts, Verdict};
use crate::model::{Arguments as ModelArguments, ModelActor, ModelHandle, ModelMessage};
use crate::types::{ModelName, Moment};

/// How long the actors of a model taken out of service live on: longer than anything may wait in
/// its queue.
const RETIRE_AFTER: Duration = Duration::from_secs(310);

/// Orders.
#[derive(Debug)]
pub(crate) enum Message {
    /// Serve these models and no others.
    Apply {
        /// Their handles.
        models: Vec<ModelHandle>,
        /// Told when their actors run.
        reply: oneshot::Sender<()>,
    },
    /// A model's pause before its restart is over.
    Restart(ModelName),
    /// Nobody can be waiting any more in the queue of a model taken out of service.
    Retire(ActorCell),
}

/// The models last ordered; outlives the supervisor so that its next incarnation serves them too.
pub(super) type Ordered = Arc<Mutex<Vec<ModelHandle>>>;

/// What it changes.
pub(super) struct State {
    ordered: Ordered,
    children: HashMap<ModelName, (ModelHandle, Option<ActorCell>)>,
    restarts: HashMap<ModelName, Restarts>,
}

/// The actor.
pub(super) struct ModelSupervisor;

impl Actor for ModelSupervisor {
    type Msg = ModelOrder;
    type State = State;
    type Arguments = Ordered;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        ordered: Ordered,
    ) -> Result<State, ActorProcessingErr> {
        let mut state = State {
            ordered: Arc::clone(&ordered),
            children: HashMap::new(),
            restarts: HashMap::new(),
        };
        let models = ordered.lock().clone();
        for model in models {
            state.start(model, &myself).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        order: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match order.message {
            Message::Apply { models, reply } => {
                state.ordered.lock().clone_from(&models);
                state.apply(models, &myself).await?;
                let _ = reply.send(());
            }
            Message::Retire(cell) => cell.stop(Some("out of service".to_owned())),
            Message::Restart(name) => {
                let model = state.children.get(&name).map(|(model, _)| model.clone());
                if let Some(model) = model {
                    state.start(model, &myself).await?;
                }
            }
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
        let Some(name) = state.lost(&cell) else {
            return Ok(());
        };
        let restarts = state.restarts.entry(name.clone()).or_default();
        match restarts.judge(Moment::now(), rand::random()) {
            Verdict::Escalate => Err(format!("model {name} keeps failing: {why}").into()),
            Verdict::After(pause) => {
                tracing::warn!(model = %name, why, ?pause, "model actor failed, restarting");
                if let Some((model, _)) = state.children.get(&name) {
                    model.shared.metrics.actor_restarted("model");
                }
                myself.send_after(pause, move || ModelOrder::own(Message::Restart(name)));
                Ok(())
            }
        }
    }
}

impl State {
    async fn apply(
        &mut self,
        models: Vec<ModelHandle>,
        myself: &ActorRef<ModelOrder>,
    ) -> Result<(), ActorProcessingErr> {
        let wanted: HashMap<&ModelName, &ModelHandle> =
            models.iter().map(|model| (model.name(), model)).collect();
        let stays = |name: &ModelName, old: &ModelHandle| {
            wanted
                .get(name)
                .is_some_and(|new| Arc::ptr_eq(&new.shared, &old.shared))
        };
        let mut gone = Vec::new();
        self.children.retain(|name, (model, cell)| {
            let keep = stays(name, model);
            if !keep {
                gone.extend(cell.take());
            }
            keep
        });
        for cell in gone {
            // requests that took the old plan may still wait in its queue: it serves them out
            myself.send_after(RETIRE_AFTER, || ModelOrder::own(Message::Retire(cell)));
        }
        for model in models {
            match self.children.get_mut(model.name()) {
                Some((known, _)) => {
                    *known = model.clone();
                    let spec = Arc::clone(&model.spec);
                    model
                        .shared
                        .mailbox
                        .post_owed(ModelMessage::Reconfigure(spec));
                }
                None => self.start(model, myself).await?,
            }
        }
        self.restarts
            .retain(|name, _| self.children.contains_key(name));
        Ok(())
    }

    async fn start(
        &mut self,
        model: ModelHandle,
        myself: &ActorRef<ModelOrder>,
    ) -> Result<(), ActorProcessingErr> {
        let arguments = ModelArguments {
            model: model.clone(),
        };
        let supervisor = myself.get_cell();
        let (actor, _) = Actor::spawn_linked(None, ModelActor, arguments, supervisor).await?;
        let cell = actor.get_cell();
        model.shared.mailbox.attach(actor);
        self.children
            .insert(model.name().clone(), (model, Some(cell)));
        Ok(())
    }

    /// Which model's actor is gone; its addresses are emptied so that nobody waits for them.
    fn lost(&mut self, cell: &ActorCell) -> Option<ModelName> {
        let is_it = |known: &ActorCell| known.get_id() == cell.get_id();
        let (name, (model, known)) = self
            .children
            .iter_mut()
            .find(|(_, (_, known))| known.as_ref().is_some_and(is_it))?;
        *known = None;
        model.shared.mailbox.detach();
        model.shared.queue.mailbox().detach();
        model.shared.breaker.mailbox().detach();
        Some(name.clone())
    }
}
