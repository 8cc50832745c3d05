//! The gRPC listener: services, layers, limits, and how it shuts.

use std::sync::Arc;
use std::time::Duration;

use llm_router_proto::FILE_DESCRIPTOR_SET;
use llm_router_proto::llm_router::v1::admin_service_server::AdminServiceServer;
use llm_router_proto::llm_router::v1::router_service_server::RouterServiceServer;
use llm_router_proto::llm_router::v1::stats_service_server::StatsServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_reflection::server::Builder as Reflection;

use super::admin::AdminDoor;
use super::authorize::Authorize;
use super::connection::incoming;
use super::deadline::DeadlineLayer;
use super::health::Health;
use super::identify::IdentifyLayer;
use super::router::RouterDoor;
use super::stats::StatsDoor;
use super::trace::Traced;
use super::use_case::UseCase;
use crate::app::{Agreed, Node};
use crate::tenancy::{Keys, Scope};

/// Largest request, decoded.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;
/// Most open connections; more wait in the kernel's accept queue.
const MAX_CONNECTIONS: usize = 10_000;
/// Most calls at once on one connection: with [`MAX_MESSAGE`] it bounds what one peer can make us hold.
const MAX_STREAMS: u32 = 100;
/// Streams opened and reset before we answered; more end the connection (rapid reset).
const MAX_RESETS: usize = 20;
/// Largest header list of one call in bytes.
const MAX_HEADERS: u32 = 16 * 1024;
/// How often a silent peer is pinged, and how long it may take to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Age at which a connection takes no further calls, so that load balancers can spread anew. No
/// grace is set: with one, the server would skip GOAWAY and break running calls at the grace's end.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// The listener stopped for a reason of its own, or could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors for reflection are broken.
    #[error("grpc reflection could not be set up")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener failed.
    #[error("grpc listener failed")]
    Listener(#[from] tonic::transport::Error),
}

/// The gRPC door of a node.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use llm_router::{api::grpc::{GrpcDoor, ServeError}, app::Node};
/// # async fn open(
/// #     node: Arc<Node>, listener: tokio::net::TcpListener, shutdown: tokio_util::sync::CancellationToken,
/// # ) -> Result<(), ServeError> {
/// let door = GrpcDoor::open(node).await;
/// let health = door.health(); // health.drain().await when the node drains
/// door.serve(listener, shutdown, std::time::Duration::from_secs(30)).await
/// # }
/// ```
#[derive(Debug)]
pub struct GrpcDoor {
    node: Arc<Node>,
    health: Health,
}

impl GrpcDoor {
    /// A door to this node, healthy from the start.
    pub async fn open(node: Arc<Node>) -> Self {
        GrpcDoor {
            node,
            health: Health::serving().await,
        }
    }

    /// The handle that flips health while draining.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until `shutdown`, then takes no more connections, lets running calls finish for at
    /// most `grace`, and breaks what is left. Returns once every connection is closed.
    ///
    /// # Errors
    /// See [`ServeError`]. A failed accept is not an error; it is tried again.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> Result<(), ServeError> {
        let node = self.node;
        let (keys, health) = (&node.keys, &self.health);
        let admin = AdminServiceServer::new(AdminDoor::new(Arc::clone(&node)))
            .max_decoding_message_size(MAX_MESSAGE);
        let routes = routes(&node.engine, keys, health, &shutdown)?.add_service(Traced::new(
            Authorize::scope(keys, Scope::Admin).guard(admin),
            keys,
        ));
        let door = Door {
            routes,
            node: node.id.as_str().to_owned(),
            agreed: node.agreed().ok().cloned(),
            health: self.health,
        };
        door.serve(listener, shutdown, grace).await
    }
}

/// Everything mounted, ready to listen.
pub(super) struct Door {
    pub(super) routes: Routes,
    pub(super) node: String,
    pub(super) agreed: Option<Agreed>,
    pub(super) health: Health,
}

/// Mounts every service that asks the engine alone, each behind what it needs of its callers;
/// health is open to all.
pub(super) fn routes<U: UseCase>(
    node: &U,
    keys: &Keys,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<Routes, ServeError> {
    let router = RouterServiceServer::new(RouterDoor::new(node.clone()))
        .max_decoding_message_size(MAX_MESSAGE);
    let stats = StatsServiceServer::new(StatsDoor::new(node.clone(), shutdown.clone()))
        .max_decoding_message_size(MAX_MESSAGE);
    let reflection = || {
        Reflection::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let any = || Authorize::any(keys);
    Ok(
        Routes::new(Authorize::scope(keys, Scope::Use).guard(router))
            .add_service(any().guard(stats))
            .add_service(health.service(shutdown.clone()))
            .add_service(any().guard(reflection().build_v1()?))
            .add_service(any().guard(reflection().build_v1alpha()?)),
    )
}

impl Door {
    /// See [`GrpcDoor::serve`].
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
        grace: Duration,
    ) -> Result<(), ServeError> {
        let (interval, patience) = KEEPALIVE;
        let closed = CancellationToken::new();
        let connections = incoming(listener, MAX_CONNECTIONS, closed.clone());
        let serving = Server::builder()
            .http2_keepalive_interval(Some(interval))
            .http2_keepalive_timeout(Some(patience))
            .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
            .http2_max_header_list_size(MAX_HEADERS)
            .max_concurrent_streams(MAX_STREAMS)
            .max_connection_age(MAX_AGE)
            .layer(IdentifyLayer::new(&self.node, self.agreed))
            .layer(DeadlineLayer)
            .add_routes(self.routes)
            .serve_with_incoming_shutdown(connections, shutdown.clone().cancelled_owned());
        let overdue = async {
            shutdown.cancelled().await;
            self.health.drain().await;
            tokio::time::sleep(grace).await;
            closed.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = serving => Ok(served?),
            () = overdue => Ok(()),
        }
    }
}
