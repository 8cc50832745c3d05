//! A cluster of one for tests: a real store, real consensus, a config file, and no listener for
//! clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use llm_router_cluster::{Handle, NodeId};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::agreeing::Beginning;
use super::doors::Tasks;
use super::file::FileStanding;
use super::{Agreed, Node, clustering};
use crate::bridge::Bridge;
use crate::cache::AnswerCache;
use crate::config::detect::Found;
use crate::config::env::Environment;
use crate::config::watch::Follower;
use crate::config::{Flags, load};
use crate::inference::{Engine, Parts};
use crate::telemetry::Metrics;
use crate::tenancy::Keys;

/// The node `n1`, alone, or `n2`, which has joined it.
pub(crate) struct One {
    pub(crate) node: Arc<Node>,
    pub(crate) cluster: Handle,
    dir: TempDir,
    tasks: Tasks,
}

impl One {
    /// A fresh node with this config file.
    pub(crate) async fn begin(file: &str) -> Self {
        One::over(tempfile::tempdir().unwrap(), file, &[]).await
    }

    /// A second node, which learns from this one: once that is gone it is isolated.
    pub(crate) async fn second(&self, file: &str) -> Self {
        let status = self.cluster.status();
        let address = [status.nodes[0].address.clone()];
        One::over(tempfile::tempdir().unwrap(), file, &address).await
    }

    /// The same node once more, over its data, with this in its file.
    pub(crate) async fn again(self, file: &str) -> Self {
        self.tasks.shutdown.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
        self.node.engine.stop().await;
        self.cluster.shutdown().await;
        let One {
            node, cluster, dir, ..
        } = self;
        drop((node, cluster));
        One::over(dir, file, &[]).await
    }

    async fn over(dir: TempDir, file: &str, join: &[String]) -> Self {
        std::fs::write(dir.path().join("llm-router.yaml"), file).unwrap();
        let flags = Flags {
            config: Some(dir.path().join("llm-router.yaml")),
            ..Flags::default()
        };
        let mut loaded = load(&flags, &Environment::default()).unwrap();
        loaded.node.cluster.join = join.to_vec();
        let id = NodeId::parse(if join.is_empty() { "n1" } else { "n2" }).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cluster = clustering::start(&id, &loaded.node.cluster, (listener, dir.path()), None)
            .await
            .unwrap();
        let parts = Parts {
            cache: AnswerCache::disabled(),
            metrics: Metrics::detached(),
            bridge: Bridge::of(cluster.clone()),
        };
        let engine = Engine::start(parts).await.unwrap();
        let tasks = Tasks::new();
        let found = Found::default();
        let beginning = Beginning {
            loaded: &loaded,
            found: &found,
            cluster: &cluster,
            engine: &engine,
        };
        let note = clustering::note(dir.path());
        let follower = Follower::new(&loaded);
        let agreed = beginning.settle(follower, note, &tasks).await.unwrap();
        let keys = Keys::of(Arc::new(cluster.clone()), false);
        let node = Node::new(id, engine, true).agreeing(agreed).asking(keys);
        One {
            node: Arc::new(node),
            cluster,
            dir,
            tasks,
        }
    }

    pub(crate) fn agreed(&self) -> &Agreed {
        self.node.agreed().unwrap()
    }

    /// The config file.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("llm-router.yaml")
    }

    /// How the file stands.
    pub(crate) fn standing(&self) -> FileStanding {
        self.agreed().cluster().file.unwrap()
    }

    /// Waits until the file stands so; the follower looks twice a second.
    pub(crate) async fn stands(&self, so: impl Fn(&FileStanding) -> bool) -> FileStanding {
        let mut file = self.agreed().file().unwrap();
        let stood = file.wait_for(so);
        let stood = tokio::time::timeout(Duration::from_secs(20), stood).await;
        stood.unwrap().unwrap().clone()
    }
}
