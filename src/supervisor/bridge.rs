//! Watches what is agreed and tells each breaker whose record has changed. Supervised by the node
//! supervisor. Never decides and never proposes.

use std::collections::{BTreeMap, HashSet};

use futures::StreamExt;
use llm_router_cluster::state::TargetId;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::models::Ordered;
use crate::bridge::{Agreed, Bridge};
use crate::types::Moment;

/// Something was agreed on.
#[derive(Debug)]
pub(super) struct Changed {
    /// Told when it has been looked at: until then further changes come to one.
    seen: oneshot::Sender<()>,
}

/// What the actor is born with.
pub(super) struct Arguments {
    pub(super) bridge: Bridge,
    pub(super) models: Ordered,
}

/// What it changes.
pub(super) struct State {
    given: Arguments,
    /// What each breaker in service was told of last.
    told: BTreeMap<TargetId, Agreed>,
    watching: Option<JoinHandle<()>>,
}

/// The actor.
pub(super) struct BridgeActor;

impl Actor for BridgeActor {
    type Msg = Changed;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Changed>,
        given: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let watching = given.bridge.link().map(|link| {
            let mut changes = link.changes();
            ractor::concurrency::spawn(async move {
                while changes.next().await.is_some() {
                    let (seen, done) = oneshot::channel();
                    if myself.send_message(Changed { seen }).is_err() || done.await.is_err() {
                        return;
                    }
                } // the cluster has been left: nothing changes any more
            })
        });
        Ok(State {
            given,
            told: BTreeMap::new(),
            watching,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<Changed>,
        changed: Changed,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.look(Moment::now());
        let _ = changed.seen.send(());
        Ok(())
    }
}

impl State {
    fn look(&mut self, now: Moment) {
        let models = self.given.models.lock();
        for model in models.iter() {
            let breaker = &model.shared.breaker;
            let target = breaker.target();
            let Some(agreed) = self.given.bridge.agreed(target, now) else {
                return;
            };
            if self.told.get(target) != Some(&agreed) {
                self.told.insert(target.clone(), agreed);
                breaker.look_again();
            }
        }
        let served: HashSet<_> = models
            .iter()
            .map(|model| model.shared.breaker.target())
            .collect();
        self.given.bridge.retain(&served);
        self.told.retain(|target, _| served.contains(target));
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(watching) = self.watching.take() {
            watching.abort();
        }
    }
}
