//! The node-to-node door: its own listener, TLS, and who may come in.
//!
//! Runs on the runtime it is served on, which is Raft's own: requests of applications and
//! embeddings cannot starve the heartbeats that come in here.

mod accept;
mod caller;
mod guest;
mod pulse;
mod receiving;
mod service;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use llm_router_proto::llm_router::cluster::v1;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use v1::pulse_service_server::PulseServiceServer;
use v1::raft_service_server::RaftServiceServer;

use super::Seat;
use super::call::MAX_MESSAGE;
use crate::error::Error;
use crate::tls::{Keyring, loopback_only};

pub(crate) use guest::GuestRoom;
pub use guest::{Guest, Visitor};

/// Requests at once on a connection. A peer has one append, one heartbeat, one snapshot and some
/// proposals under way; its cache has a look-up for each of its clients' requests, and a flight for
/// each answer under way that others may wait for.
const MAX_STREAMS: u32 = 4096;
/// Bytes of one request under way before they are taken: a piece of a snapshot, or a link with
/// some delay would carry but little of one at a time.
const WINDOW: u32 = 1 << 20;
/// Connections that have passed the handshake and wait to be served.
const WAITING: usize = 16;
/// Requests a peer may open and reset before they were looked at, until the connection ends: a cache
/// gives up its look-ups after some milliseconds, and a machine may be busy.
const MAX_RESETS: usize = 1024;
/// Header bytes of one request.
const MAX_HEADERS: u32 = 16 << 10;
/// A caller that does not answer a ping is gone; its place is free after both.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// After an hour a connection is made again, so that a certificate that was replaced is in use
/// everywhere within it.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// What is under way then has this long: streams of answers are relayed to other nodes.
const GRACE: Duration = Duration::from_secs(600);
/// What is under way when the node stops has this long. Peers try elsewhere.
const STOPPING: Duration = Duration::from_millis(500);

/// The door of one node.
pub(crate) struct Door;

impl Door {
    /// Serves until `shutdown`, then ends what is under way within half a second.
    ///
    /// # Errors
    /// [`Error::Refused`] without certificates on an address that is not loopback,
    /// [`Error::Stopped`] when the listener fails.
    pub(crate) async fn serve(
        listener: TcpListener,
        seat: Arc<dyn Seat>,
        keyring: Option<Keyring>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let address = listener.local_addr().map_err(|error| {
            tracing::error!(%error, "the node-to-node door has no address");
            Error::Stopped
        })?;
        if keyring.is_none() {
            loopback_only(address, "the address of the node-to-node door")?;
        }
        let raft = RaftServiceServer::new(service::Service::new(Arc::clone(&seat)))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let pulse = PulseServiceServer::new(pulse::Service::new(Arc::clone(&seat)))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let cache = guest::Reception::new(seat);

        let (let_in, accepted) = mpsc::channel(WAITING);
        let accepted = ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
        let (closed, close) = tokio::sync::oneshot::channel::<()>();
        let serving = server()
            .add_service(raft)
            .add_service(pulse)
            .add_service(cache)
            .serve_with_incoming_shutdown(accepted, async {
                let _ = close.await;
            });
        let fresh = async {
            match &keyring {
                Some(keyring) => keyring.keep_fresh().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(serving);
        tokio::select! {
            () = accept::accept(&listener, keyring.as_ref(), let_in) => {}
            () = fresh => {}
            served = &mut serving => {
                tracing::error!(error = ?served.err(), "the node-to-node door has stopped");
                return Err(Error::Stopped);
            }
            () = shutdown => {
                drop(listener);
                drop(closed);
                let _ = tokio::time::timeout(STOPPING, &mut serving).await;
                return Ok(());
            }
        }
        Err(Error::Stopped)
    }
}

fn server() -> Server {
    // no timeout over all calls: a snapshot takes as long as the link needs. Each call bounds
    // itself, and each is given up when its caller's deadline is over
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .concurrency_limit_per_connection(MAX_STREAMS as usize)
        .load_shed(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
        .http2_max_header_list_size(MAX_HEADERS)
        .max_connection_age(MAX_AGE)
        .max_connection_age_grace(GRACE)
}
