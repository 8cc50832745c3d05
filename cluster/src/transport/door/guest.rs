//! `CacheService`, as far as this crate knows it: who calls is judged here, what is answered is the
//! business of the guest that the node has put behind the door.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use llm_router_proto::llm_router::cluster::v1;
use tonic::Request;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};
use v1::cache_service_server::SERVICE_NAME;

use super::caller::{Door, caller};
use crate::error::{Error, Refused};
use crate::identity::{MemberId, NodeId};
use crate::transport::Seat;
use crate::transport::call::status;
use crate::wire::raft::fault::Fault;

type Answer = http::Response<Body>;

/// A service that peers may call through the node-to-node door; each request carries a
/// [`Visitor`].
pub type Guest = BoxCloneSyncService<http::Request<Body>, Answer, Infallible>;

/// The member that calls, as its certificate has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Its name.
    pub node: NodeId,
    /// Its number.
    pub member: MemberId,
}

/// Where the guest sits once there is one.
#[derive(Clone, Default)]
pub(crate) struct GuestRoom(Arc<OnceLock<Guest>>);

impl fmt::Debug for GuestRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestRoom(taken: {})", self.0.get().is_some())
    }
}

impl GuestRoom {
    /// Lets the guest in; false when there is one already.
    pub(crate) fn take(&self, guest: Guest) -> bool {
        self.0.set(guest).is_ok()
    }

    fn guest(&self) -> Option<Guest> {
        self.0.get().cloned()
    }
}

/// Leads members to the guest, and nobody else.
#[derive(Clone)]
pub(super) struct Reception {
    seat: Arc<dyn Seat>,
}

impl Reception {
    pub(super) fn new(seat: Arc<dyn Seat>) -> Self {
        Reception { seat }
    }

    /// The request as the guest gets it, and the guest; or what the caller is told.
    fn admit(
        &self,
        request: http::Request<Body>,
    ) -> Result<(http::Request<Body>, Guest), tonic::Status> {
        let (mut parts, body) = request.into_parts();
        // what a caller could have put there itself must not pass for our word
        parts.extensions.remove::<Visitor>();
        let mut told = Request::new(());
        *told.metadata_mut() = MetadataMap::from_headers(parts.headers.clone());
        *told.extensions_mut() = parts.extensions.clone();
        let caller = caller(self.seat.as_ref(), &told, Door::Member)?;
        let member = caller.member.ok_or_else(|| {
            refusal(Refused::NotMember {
                name: caller.node.to_string(),
            })
        })?;
        let guest = self.seat.guests().guest();
        let guest = guest.ok_or_else(|| tonic::Status::unavailable("no cache is here yet"))?;
        parts.extensions.insert(Visitor {
            node: caller.node,
            member,
        });
        Ok((http::Request::from_parts(parts, body), guest))
    }
}

fn refusal(refused: Refused) -> tonic::Status {
    status(&Fault::Error(Error::Refused(refused)))
}

impl NamedService for Reception {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for Reception {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.admit(request) {
            Ok((request, guest)) => Box::pin(guest.oneshot(request)),
            Err(status) => Box::pin(std::future::ready(Ok(status.into_http()))),
        }
    }
}
