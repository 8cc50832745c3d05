//! The handle on the whole tree: start it, change the models in service, stop it.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use ractor::{Actor, ActorRef};
use tokio::sync::{Mutex, oneshot};
use tokio_util::sync::CancellationToken;

use super::models::Message;
use super::node::{Arguments, Child, NodeSupervisor};
use crate::breaker::Settings;
use crate::bridge::Bridge;
use crate::config::routing::BreakerConfig;
use crate::error::{Error, Kind};
use crate::inference::Deployment;
use crate::mailbox::{Mailbox, Posted};
use crate::model::{ModelHandle, Spec};
use crate::telemetry::{Metrics, Recorder};
use crate::types::ModelName;

/// Longest a change of models may take.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The actor tree.
#[derive(Debug)]
pub(crate) struct Fleet {
    root: ActorRef<Child>,
    models: Mailbox<Message>,
    metrics: Metrics,
    bridge: Bridge,
    broken: CancellationToken,
    serving: Mutex<IndexMap<ModelName, ModelHandle>>,
}

impl Fleet {
    /// Starts the tree without models.
    pub(crate) async fn start(recorder: &Recorder, bridge: Bridge) -> Result<Self, Error> {
        let (models, broken) = (Mailbox::new(16), CancellationToken::new());
        let arguments = Arguments {
            models: models.clone(),
            recorder: recorder.clone(),
            bridge: bridge.clone(),
            broken: broken.clone(),
        };
        let (root, _) = Actor::spawn(None, NodeSupervisor, arguments)
            .await
            .map_err(|source| {
                Error::new(Kind::Internal, "the actors could not be started").with_source(source)
            })?;
        Ok(Fleet {
            root,
            models,
            metrics: recorder.metrics().clone(),
            bridge,
            broken,
            serving: Mutex::default(),
        })
    }

    /// Puts these models in service and takes all others out. A model that stays the same
    /// upstream keeps its queue, breaker and profile.
    pub(crate) async fn apply(
        &self,
        deployments: Vec<Deployment>,
        breaker: &BreakerConfig,
    ) -> Result<IndexMap<ModelName, ModelHandle>, Error> {
        let mut serving = self.serving.lock().await;
        let settings = Settings::new(
            breaker.failure_threshold,
            breaker.recovery_timeout.get(),
            breaker.success_threshold,
        );
        let handles: IndexMap<ModelName, ModelHandle> = deployments
            .into_iter()
            .map(|deployment| {
                let name = deployment.name.clone();
                let spec = Arc::new(Spec::new(deployment, settings));
                let known = serving.get(&name);
                // what is agreed and limited goes by the name that every node knows it under
                let known = known.filter(|known| known.spec.target == spec.target);
                let (metrics, bridge) = (self.metrics.clone(), self.bridge.clone());
                let handle = match known {
                    Some(known) if known.spec.identity == spec.identity => known.with_spec(spec),
                    Some(known) => known.after(spec, metrics, bridge),
                    None => ModelHandle::new(spec, metrics, bridge),
                };
                (name, handle)
            })
            .collect();
        let (reply, done) = oneshot::channel();
        let order = Message::Apply {
            models: handles.values().cloned().collect(),
            reply,
        };
        let unavailable = || Error::new(Kind::Unavailable, "the model supervisor is restarting");
        self.models.try_post(order).map_err(|_| unavailable())?;
        let done = tokio::time::timeout(MAX_WAIT, done).await;
        done.map_err(|_| unavailable())?
            .map_err(|_| unavailable())?;
        serving.clone_from(&handles);
        self.bridge.urge(); // what the models may use is lent at once
        Ok(handles)
    }

    /// Resolves when the tree has given up.
    pub(crate) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Stops every actor.
    pub(crate) async fn stop(&self) {
        let _ = self
            .root
            .stop_and_wait(None, Some(Duration::from_secs(5)))
            .await;
    }
}

/// Kept so that a supervisor can be given its orders again after a restart.
pub(super) type ModelMailbox = Mailbox<Message>;

/// What the model supervisor's mailbox carries.
pub(super) type ModelOrder = Posted<Message>;

#[cfg(test)]
mod tests;
