//! Brings a node's config and what is agreed together when it starts, and keeps them so.

use std::path::PathBuf;
use std::time::Duration;

use llm_router_cluster::{Handle, Revision};
use tokio::sync::{mpsc, watch};

use super::agreed::Agreed;
use super::clustering::is_alone;
use super::doors::Tasks;
use super::file::{FileStanding, Keeper, Surroundings};
use super::follow::Following;
use crate::config::Loaded;
use crate::config::detect::Found;
use crate::config::seal::Seal;
use crate::config::watch::Follower;
use crate::error::Error;
use crate::inference::Engine;

/// How long a file may take to be agreed on before the doors open all the same: the first leader
/// of a cluster of one is elected within it.
const FIRST_CONFIG: Duration = Duration::from_secs(3);

/// What there is before anything is in service.
pub(super) struct Beginning<'a> {
    /// The node's own configuration.
    pub(super) loaded: &'a Loaded,
    /// What was found on this machine.
    pub(super) found: &'a Found,
    /// The cluster, recovered.
    pub(super) cluster: &'a Handle,
    /// The engine, without a config yet.
    pub(super) engine: &'a Engine,
}

impl Beginning<'_> {
    /// Puts the newest config in service that needs no quorum, proposes the file where that is
    /// called for, and starts what keeps both followed. `note` is the file that remembers when file
    /// and agreed config were in step.
    ///
    /// # Errors
    /// No config can be put in service.
    pub(super) async fn settle(
        &self,
        follower: Option<Follower>,
        note: PathBuf,
        tasks: &Tasks,
    ) -> Result<Agreed, Error> {
        let (cluster, engine) = (self.cluster, self.engine);
        let seal = Seal::new(cluster.seal_key());
        let (following, mut service) =
            Following::new(engine.clone(), seal.clone(), self.found.clone());
        let default = self.loaded.routing.clone();
        following.begin(&cluster.state(), default).await?;
        let stop = tasks.shutdown.clone();
        tasks.tracker.spawn(following.run(cluster.watch(), stop));
        let around = Surroundings {
            cluster: cluster.clone(),
            seal,
            metrics: engine.metrics().clone(),
            note,
        };
        let (file, proposing) = self.keep(around, follower, tasks);
        if proposing {
            let agreed = service.wait_for(|service| service.revision > Revision(0));
            if tokio::time::timeout(FIRST_CONFIG, agreed).await.is_err() {
                tracing::warn!(
                    "the file is not agreed on yet; it is served as this node's default"
                );
            }
        }
        let agreed = Agreed::new(cluster.clone(), engine.clone(), service, file);
        Ok(agreed)
    }

    /// Starts the keeper of the file, if there is one; true when it is about to propose it.
    fn keep(
        &self,
        around: Surroundings,
        follower: Option<Follower>,
        tasks: &Tasks,
    ) -> (Option<watch::Receiver<FileStanding>>, bool) {
        let Some(path) = self.loaded.source.clone() else {
            return (None, false);
        };
        let alone = is_alone(&self.cluster.status());
        let file = (path, self.loaded.routing.clone());
        let (keeper, standing) = Keeper::begin(around, file, alone);
        let proposing = keeper.is_proposing();
        // one: the next look waits until this one was heard
        let (news, heard) = mpsc::channel(1);
        if let Some(follower) = follower {
            tasks
                .tracker
                .spawn(follower.run(tasks.shutdown.clone(), news));
        }
        let stop = tasks.shutdown.clone();
        tasks
            .tracker
            .spawn(keeper.run(heard, self.cluster.watch(), stop));
        (Some(standing), proposing)
    }
}
