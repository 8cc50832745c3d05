//! `RaftService`: checks the caller, converts, hands over to Raft or the seat.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use llm_router_proto::llm_router::cluster::v1;
use openraft::raft::VoteRequest;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;
use v1::raft_service_server::RaftService;

use super::caller::{Caller, Door, caller, in_own_name};
use super::receiving::Receiving;
use crate::command::decode;
use crate::error::{Error, Refused};
use crate::raft::TypeConfig;
use crate::trace::{self, Call};
use crate::transport::call::{nonsense, status};
use crate::transport::{Core, ORDER, PROPOSE, READ_INDEX, Seat, Stopped};
use crate::wire::raft::fault::Fault;
use crate::wire::raft::{BadWire, append, member, vote, vote_out};

/// Longest time one call may take here, whatever its caller allows: the longest patience of a
/// proposal, with room.
const LONGEST: Duration = Duration::from_secs(60);

/// What answers peers.
pub(super) struct Service {
    seat: Arc<dyn Seat>,
    receiving: Receiving,
}

impl Service {
    pub(super) fn new(seat: Arc<dyn Seat>) -> Self {
        Service {
            receiving: Receiving::new(Arc::clone(&seat)),
            seat,
        }
    }

    fn raft(&self) -> Result<Arc<dyn Core>, Status> {
        self.seat.raft().ok_or_else(|| {
            refusal(Error::Refused(Refused::NotMember {
                name: self.seat.node().to_string(),
            }))
        })
    }

    /// The caller of one of Raft's own calls.
    fn peer<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        caller(self.seat.as_ref(), request, Door::Raft)
    }

    /// What a vote and its rehearsal begin with.
    fn asked_to_vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<(Arc<dyn Core>, VoteRequest<TypeConfig>), Status> {
        let caller = self.peer(&request)?;
        let raft = self.raft()?;
        let asked = vote::request_in(request.into_inner()).map_err(told)?;
        in_own_name(&caller, &asked.vote)?;
        Ok((raft, asked))
    }

    /// A member's question, in the trace of the request it is asked for.
    fn traced<T>(&self, method: &'static str, request: &Request<T>) -> Result<Call, Status> {
        let caller = caller(self.seat.as_ref(), request, Door::Member)?;
        let peer = caller.node.as_str();
        Ok(trace::answering(method, request.metadata(), peer))
    }

    /// The answer of something that only a leader does. One that does not lead says who does.
    async fn led<T>(
        &self,
        call: Call,
        asked: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Status> {
        let answer = within(asked.instrument(call.span().clone())).await;
        let answer = answer.and_then(|answer| self.settled(answer));
        let failed = answer.as_ref().map(drop);
        call.end(failed.map_err(|status| trace::code_name(status.code())));
        answer
    }

    fn settled<T>(&self, answer: Result<T, Error>) -> Result<T, Status> {
        answer.map_err(|error| {
            let sent = matches!(
                error,
                Error::NoQuorum {
                    maybe_applied: true,
                    ..
                }
            );
            let no_leader = matches!(error, Error::NoQuorum { .. }) && !sent;
            let leader = self.seat.leader();
            let other = leader.filter(|(member, _)| Some(*member) != self.seat.member());
            match other {
                Some(leader) if no_leader => status(&Fault::NotLeader(Some(leader))),
                _ => refusal(error),
            }
        })
    }
}

#[tonic::async_trait]
impl RaftService for Service {
    async fn append(
        &self,
        request: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendResponse>, Status> {
        let caller = self.peer(&request)?;
        let raft = self.raft()?;
        let append = append::request_in(request.into_inner()).map_err(told)?;
        in_own_name(&caller, &append.vote)?;
        let answer = within(raft.append(append)).await?.map_err(stopped)?;
        Ok(Response::new(append::response_out(&answer)))
    }

    async fn vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<Response<v1::VoteResponse>, Status> {
        let (raft, asked) = self.asked_to_vote(request)?;
        let answer = within(raft.vote(asked)).await?.map_err(stopped)?;
        Ok(Response::new(vote::response_out(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<v1::VoteRequest>,
    ) -> Result<Response<v1::VoteResponse>, Status> {
        let (raft, asked) = self.asked_to_vote(request)?;
        let answer = within(raft.pre_vote(asked)).await?.map_err(stopped)?;
        Ok(Response::new(vote::response_out(&answer)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotChunk>>,
    ) -> Result<Response<v1::SnapshotResponse>, Status> {
        let caller = self.peer(&request)?;
        let raft = self.raft()?;
        let (vote, snapshot) = self
            .receiving
            .receive(&caller, request.into_inner())
            .await?;
        let answer = within(raft.install(vote, snapshot))
            .await?
            .map_err(stopped)?;
        Ok(Response::new(v1::SnapshotResponse {
            vote: Some(vote_out(&answer.vote)),
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let caller = self.peer(&request)?;
        let raft = self.raft()?;
        let transfer = vote::transfer_in(request.into_inner()).map_err(told)?;
        in_own_name(&caller, transfer.from_leader())?;
        let answer = within(raft.transfer(transfer)).await?.map_err(stopped)?;
        Ok(Response::new(vote::transferred_out(&answer)))
    }

    async fn propose(
        &self,
        request: Request<v1::ProposeRequest>,
    ) -> Result<Response<v1::ProposeResponse>, Status> {
        let call = self.traced(PROPOSE, &request)?;
        let command = match decode(&request.into_inner().command) {
            Ok(command) => command,
            Err(bad) => return Err(call.refused(told(bad.into()))),
        };
        let proposed = self.led(call, self.seat.propose(command)).await?;
        let index = proposed.index;
        let outcome = serde_json::to_vec(&proposed.outcome)
            .map_err(|error| Status::internal(format!("the outcome has no JSON form: {error}")))?;
        Ok(Response::new(v1::ProposeResponse { outcome, index }))
    }

    async fn read_index(
        &self,
        request: Request<v1::ReadIndexRequest>,
    ) -> Result<Response<v1::ReadIndexResponse>, Status> {
        let call = self.traced(READ_INDEX, &request)?;
        let index = self.led(call, self.seat.read_index()).await?;
        Ok(Response::new(v1::ReadIndexResponse { index }))
    }

    async fn join(
        &self,
        request: Request<v1::JoinRequest>,
    ) -> Result<Response<v1::JoinResponse>, Status> {
        let caller = caller(self.seat.as_ref(), &request, Door::Join)?;
        let join = member::join_in(request.into_inner()).map_err(told)?;
        if join.node != caller.node {
            return Err(refusal(Error::Refused(Refused::Impostor {
                certificate: caller.node.to_string(),
                claimed: join.node.to_string(),
            })));
        }
        let joined = self.led(Call::untold(), self.seat.join(join)).await?;
        Ok(Response::new(member::joined_out(&joined)))
    }

    async fn order(
        &self,
        request: Request<v1::OrderRequest>,
    ) -> Result<Response<v1::OrderResponse>, Status> {
        let call = self.traced(ORDER, &request)?;
        let order = match member::order_in(request.into_inner()) {
            Ok(order) => order,
            Err(bad) => return Err(call.refused(told(bad))),
        };
        self.led(call, self.seat.order(order)).await?;
        Ok(Response::new(v1::OrderResponse {}))
    }
}

async fn within<T>(call: impl Future<Output = T> + Send) -> Result<T, Status> {
    let answer = tokio::time::timeout(LONGEST, call).await;
    answer.map_err(|_| refusal(Error::Timeout))
}

fn refusal(error: Error) -> Status {
    status(&Fault::Error(error))
}

/// A message that makes no sense is worth a line: peers do not send such.
fn told(bad: BadWire) -> Status {
    tracing::warn!(reason = %bad, "a message from a peer is refused");
    nonsense(&bad)
}

fn stopped(stopped: Stopped) -> Status {
    tracing::debug!(reason = stopped.0, "raft answers nobody any more");
    refusal(Error::Stopped)
}
