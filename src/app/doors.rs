//! The doors of a node, open, and the order in which everything ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use llm_router_cluster::Handle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::node::Node;
use crate::api::grpc::{GrpcDoor, Health};
use crate::api::http::{routes, server};
use crate::config::node::NodeConfig;

/// How long running answers may take after shutdown began.
const GRACE: Duration = Duration::from_secs(30);
/// How long load balancers get to notice that the node drains.
const NOTICE: Duration = Duration::from_millis(200);
/// How long handing leadership over may hold up the rest; others elect a leader by themselves.
const HAND_OVER: Duration = Duration::from_secs(3);
/// How long the store may take to close.
const CLOSE: Duration = Duration::from_secs(5);

/// Every door, bound.
#[derive(Debug)]
pub(super) struct Bound {
    /// For clients.
    pub(super) http: TcpListener,
    /// For clients.
    pub(super) grpc: TcpListener,
    /// For other nodes.
    pub(super) cluster: TcpListener,
}

/// Where the doors are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// For clients.
    pub(super) http: SocketAddr,
    /// For clients.
    pub(super) grpc: SocketAddr,
    /// For other nodes.
    pub(super) cluster: SocketAddr,
}

impl Bound {
    /// Binds all doors.
    pub(super) async fn bind(config: &NodeConfig) -> anyhow::Result<Self> {
        let listen = &config.listen;
        let bound = Bound {
            http: bind("--http", &listen.http).await?,
            grpc: bind("--grpc", &listen.grpc).await?,
            cluster: bind("--cluster", &listen.cluster).await?,
        };
        let inner = bound.cluster.local_addr()?;
        if !inner.ip().is_loopback() && config.cluster.tls.is_none() {
            bail!(
                "{inner} can be reached from other machines, and there are no certificates: bind \
                 --cluster to 127.0.0.1, or add `cluster: {{ tls: {{ ca, cert, key }} }}`"
            );
        }
        Ok(bound)
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            http: self.http.local_addr()?,
            grpc: self.grpc.local_addr()?,
            cluster: self.cluster.local_addr()?,
        })
    }
}

async fn bind(flag: &str, address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another with {flag} ADDR"))
}

/// The tasks of a node that are no actors.
#[derive(Debug)]
pub(super) struct Tasks {
    /// They are waited for.
    pub(super) tracker: TaskTracker,
    /// They end with it.
    pub(super) shutdown: CancellationToken,
}

impl Tasks {
    /// None yet.
    pub(super) fn new() -> Self {
        Tasks {
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Opens the doors for clients.
    pub(super) async fn open(
        self,
        node: &Arc<Node>,
        (http, grpc): (TcpListener, TcpListener),
    ) -> Running {
        let limits = server::Limits {
            grace: GRACE,
            ..server::Limits::default()
        };
        let door = (routes(Arc::clone(node)), node.engine.metrics().clone());
        let serving = server::serve(http, door, limits, self.shutdown.clone());
        self.tracker.spawn(serving);
        let door = GrpcDoor::open(Arc::clone(node)).await;
        let health = door.health();
        let stop = self.shutdown.clone();
        self.tracker.spawn(async move {
            if let Err(error) = door.serve(grpc, stop, GRACE).await {
                tracing::error!(%error, "gRPC door closed");
            }
        });
        Running {
            tasks: self,
            health,
        }
    }
}

/// Everything that runs beside the actors.
#[derive(Debug)]
pub(super) struct Running {
    tasks: Tasks,
    health: Health,
}

impl Running {
    /// Ends in order: no new work in the eyes of load balancers, leadership to another node, doors
    /// closed, running answers finished, actors, store.
    pub(super) async fn stop(self, node: &Node, cluster: &Handle) {
        node.set_ready(false);
        self.health.drain().await;
        let hand_over = tokio::time::timeout(HAND_OVER, cluster.drain());
        if let ((), Err(_)) = tokio::join!(tokio::time::sleep(NOTICE), hand_over) {
            tracing::warn!("leadership was not handed over in time");
        }
        self.tasks.shutdown.cancel();
        self.tasks.tracker.close();
        let patience = GRACE + Duration::from_secs(5);
        if tokio::time::timeout(patience, self.tasks.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("some tasks did not end in time");
        }
        node.engine.stop().await;
        if tokio::time::timeout(CLOSE, cluster.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("the store did not close in time");
        }
    }
}
