//! openraft's side: entries, votes and snapshots to the other members.

use std::future::Future;
use std::time::Duration;

use llm_router_proto::llm_router::cluster::v1;
use openraft::OptionalSend;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use tonic::Status;
use tonic::transport::Channel;
use v1::raft_service_client::RaftServiceClient;

use super::call::{Failure, MAX_MESSAGE, TO, signed, within};
use super::lines::{Lines, Purpose};
use super::sending::{Sending, Unsent};
use crate::raft::{Peer, TypeConfig};
use crate::store::SnapshotFile;
use crate::wire::raft::{BadWire, append, vote, vote_in};

/// The least an append with entries is given. openraft allows it one heartbeat; but its answer
/// waits for a disk, and one that is always given up before the disk is done never succeeds.
const DISK: Duration = Duration::from_millis(500);
/// Waits between tries to reach a member that cannot be reached; the last is repeated. Short, so
/// that a link that heals is used at once: a try costs one connection attempt.
const WAITS: [u64; 3] = [50, 100, 150];

type Client = RaftServiceClient<Channel>;

/// Makes openraft's clients. Each is for one member and one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    lines: Lines,
}

impl Network {
    pub(crate) fn new(lines: Lines) -> Self {
        Network { lines }
    }

    fn link(&self, target: u64, peer: &Peer, purpose: Purpose) -> Link {
        let me = self.lines.place().map_or(0, |place| place.member.0);
        // openraft never asks for it; a member that talks to itself would answer its own votes
        debug_assert_ne!(me, target, "a member has no connection to itself");
        let channel = self.lines.to(peer, purpose);
        let client = Client::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Link {
            lines: self.lines.clone(),
            client,
            me,
            target,
            peer: peer.clone(),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Link {
        self.link(target, node, Purpose::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Peer) -> Link {
        self.link(target, node, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Peer) -> Link {
        self.link(target, node, Purpose::Snapshot)
    }
}

/// One member, for one purpose.
#[derive(Debug)]
pub(crate) struct Link {
    lines: Lines,
    client: Client,
    me: u64,
    target: u64,
    peer: Peer,
}

impl Link {
    /// Refuses to talk to itself, in words instead of a vote for itself.
    fn other(&self) -> Result<(), RPCError<TypeConfig>> {
        if self.me == self.target {
            let words = "a member has no connection to itself";
            return Err(RPCError::Unreachable(Unreachable::from_string(words)));
        }
        Ok(())
    }

    fn request<T>(&self, message: T, patience: Duration) -> tonic::Request<T> {
        let mut request = signed(&self.lines, message);
        request.set_timeout(patience);
        request.metadata_mut().insert(TO, self.target.into());
        request
    }

    /// One call: the request carries the soft deadline, the hard one ends it here.
    async fn call<T, F>(
        &self,
        action: RPCTypes,
        hard: Duration,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, RPCError<TypeConfig>>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        self.other()?;
        let made = call(self.client.clone());
        let answer = within(hard, self.peer.name.as_str(), made).await;
        answer.map_err(|failure| self.rpc_error(&failure, action, hard))
    }

    /// A vote, or its rehearsal.
    async fn voted<F>(
        &self,
        option: RPCOption,
        ask: impl FnOnce(Client) -> F,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>>
    where
        F: Future<Output = Result<tonic::Response<v1::VoteResponse>, Status>>,
    {
        let answer = self.call(RPCTypes::Vote, option.hard_ttl(), ask).await?;
        vote::response_in(answer).map_err(|bad| self.nonsense(&bad))
    }

    fn rpc_error(
        &self,
        failure: &Failure,
        action: RPCTypes,
        timeout: Duration,
    ) -> RPCError<TypeConfig> {
        let said = || format!("{}: {}", self.peer.name, failure.words());
        match failure {
            Failure::TimedOut => RPCError::Timeout(Timeout {
                action,
                id: self.me,
                target: self.target,
                timeout,
            }),
            // it was there a moment ago: the next try connects again, or says that it cannot
            Failure::Broken(_) => RPCError::Network(NetworkError::from_string(said())),
            Failure::Refused(error) => {
                tracing::debug!(peer = %self.peer, %error, "refused by a peer");
                RPCError::Unreachable(Unreachable::from_string(said()))
            }
            Failure::Unreached(_) | Failure::NotLeader(_) => {
                RPCError::Unreachable(Unreachable::from_string(said()))
            }
        }
    }

    fn nonsense(&self, bad: &BadWire) -> RPCError<TypeConfig> {
        let words = format!("{} answers nonsense: {bad}", self.peer.name);
        RPCError::Unreachable(Unreachable::from_string(words))
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let least = if rpc.entries.is_empty() {
            Duration::ZERO
        } else {
            DISK
        };
        let (message, cut) = append::request_out(&rpc);
        let request = self.request(message, option.soft_ttl().max(least));
        let hard = option.hard_ttl().max(least);
        let answer = self
            .call(RPCTypes::AppendEntries, hard, |mut client| async move {
                client.append(request).await
            })
            .await?;
        let answer = append::response_in(answer).map_err(|bad| self.nonsense(&bad))?;
        if answer.is_success() && cut.is_some() {
            return Ok(AppendEntriesResponse::PartialSuccess(cut));
        }
        // openraft takes the entry before the first for granted here
        if answer.is_conflict() && rpc.prev_log_id.is_none() {
            let bad = BadWire::bad("append.answer", "a conflict with nothing");
            return Err(self.nonsense(&bad));
        }
        Ok(answer)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = self.request(vote::request_out(&rpc), option.soft_ttl());
        self.voted(
            option,
            |mut client| async move { client.vote(request).await },
        )
        .await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = self.request(vote::request_out(&rpc), option.soft_ttl());
        self.voted(option, |mut client| async move {
            client.pre_vote(request).await
        })
        .await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        self.other()?;
        let stall = option.hard_ttl();
        let name = self.peer.name.as_str();
        let sending = Sending {
            lines: &self.lines,
            target: self.target,
            stall,
        };
        let sent = sending.send(self.client.clone(), vote, snapshot);
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = sent => answer,
        };
        let action = RPCTypes::InstallSnapshot;
        match answer {
            Ok(answer) => {
                let vote = vote_in(answer.vote, "snapshot.vote");
                let vote = vote.map_err(|bad| self.nonsense(&bad))?;
                Ok(SnapshotResponse { vote })
            }
            Err(Unsent::File(reason)) => {
                tracing::warn!(peer = name, reason, "a snapshot cannot be read");
                Err(StreamingError::Network(NetworkError::from_string(reason)))
            }
            Err(Unsent::Call(failure)) => Err(self.rpc_error(&failure, action, stall).into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = self.request(vote::transfer_out(&rpc), option.soft_ttl());
        let hard = option.hard_ttl();
        let answer = self
            .call(RPCTypes::TransferLeader, hard, |mut client| async move {
                client.transfer_leader(request).await
            })
            .await?;
        vote::transferred_in(answer).map_err(|bad| self.nonsense(&bad))
    }

    fn backoff(&self) -> Option<Backoff> {
        let [first, second, then] = WAITS.map(Duration::from_millis);
        let rest = std::iter::repeat(then);
        Some(Backoff::new([first, second].into_iter().chain(rest)))
    }
}
