//! Asking the leader, wherever it is: proposals, reads, orders, joining.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use llm_router_proto::llm_router::cluster::v1;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;
use v1::pulse_service_client::PulseServiceClient;
use v1::raft_service_client::RaftServiceClient;

use super::call::{CLUSTER, Failure, MAX_MESSAGE, MEMBER, failure, signed, within};
use super::lines::{Lines, Purpose};
use super::{JoinRequest, Joined, Proposed};
use crate::command::{Command, encode};
use crate::error::Error;
use crate::handle::Order;
use crate::pulse::{Directive, Report};
use crate::raft::Peer;
use crate::trace;
use crate::wire::raft::member::{join_out, joined_in, order_out};

/// When it makes sense to ask again after a leader was lost: about as long as an election takes.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// For the opening of a pulse: a leader that lives answers at once.
const OPENING: Duration = Duration::from_secs(1);

/// The calls by name, as both ends tell them in traces.
pub(crate) const PROPOSE: &str = "llm_router.cluster.v1.RaftService/Propose";
pub(crate) const READ_INDEX: &str = "llm_router.cluster.v1.RaftService/ReadIndex";
pub(crate) const ORDER: &str = "llm_router.cluster.v1.RaftService/Order";

type Client = RaftServiceClient<Channel>;

/// The other members, for what is not Raft's own. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    lines: Lines,
}

impl Peers {
    pub(crate) fn new(lines: Lines) -> Self {
        Peers { lines }
    }

    /// Has the leader agree on a command.
    ///
    /// # Errors
    /// The leader's own, as they are; [`Error::NoQuorum`] when it was lost on the way, and then the
    /// command may yet take effect; [`Error::Unreachable`] when nothing was sent.
    pub(crate) async fn propose(
        &self,
        leader: &Peer,
        command: &Command,
        patience: Duration,
    ) -> Result<Proposed, Error> {
        let message = v1::ProposeRequest {
            command: encode(command),
        };
        let answer = self
            .ask(
                (PROPOSE, leader),
                patience,
                message,
                |mut client, request| async move { client.propose(request).await },
            )
            .await?;
        let outcome = serde_json::from_slice(&answer.outcome).map_err(|error| {
            tracing::warn!(%leader, %error, "an outcome cannot be read");
            lost(true)
        })?;
        Ok(Proposed {
            outcome,
            index: answer.index,
        })
    }

    /// The index a linearizable read waits for.
    ///
    /// # Errors
    /// As [`Peers::propose`].
    pub(crate) async fn read_index(&self, leader: &Peer, patience: Duration) -> Result<u64, Error> {
        let message = v1::ReadIndexRequest {};
        let answer = self
            .ask(
                (READ_INDEX, leader),
                patience,
                message,
                |mut client, request| async move { client.read_index(request).await },
            )
            .await?;
        Ok(answer.index)
    }

    /// Has the leader carry out an order.
    ///
    /// # Errors
    /// As [`Peers::propose`].
    pub(crate) async fn order(
        &self,
        leader: &Peer,
        order: &Order,
        patience: Duration,
    ) -> Result<(), Error> {
        let message = order_out(order);
        self.ask(
            (ORDER, leader),
            patience,
            message,
            |mut client, request| async move { client.order(request).await },
        )
        .await
        .map(|v1::OrderResponse {}| ())
    }

    /// Asks the node at an address to be let in; it may send us on to the leader, once.
    ///
    /// # Errors
    /// [`Error::Refused`] with the cluster's reason; [`Error::Unreachable`]; [`Error::NoQuorum`].
    pub(crate) async fn join(
        &self,
        address: &str,
        join: &JoinRequest,
        patience: Duration,
    ) -> Result<Joined, Error> {
        let until = Instant::now() + patience;
        let first = self.lines.to_address(address);
        let answer = match self.join_at(first, address, join, until).await {
            Err(Failure::NotLeader(Some((_, leader)))) => {
                let second = self.lines.to(&leader, Purpose::Ask);
                self.join_at(second, &leader.address, join, until).await
            }
            other => other,
        };
        let answer = answer.map_err(error)?;
        joined_in(answer).map_err(|bad| Error::Unreachable {
            peer: address.to_owned(),
            reason: format!("it answers nonsense: {bad}"),
        })
    }

    /// Opens the pulse to the leader. The stream ends with the first error.
    ///
    /// # Errors
    /// As [`Peers::propose`], within [`OPENING`].
    pub(crate) async fn exchange(
        &self,
        leader: &Peer,
        reports: impl Stream<Item = Report> + Send + 'static,
    ) -> Result<BoxStream<'static, Result<Directive, Error>>, Error> {
        let mut client = PulseServiceClient::new(self.lines.to(leader, Purpose::Ask))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let reports = Reports(reports.map(v1::Report::from).boxed());
        let request = signed(&self.lines, reports);
        let name = leader.name.to_string();
        let directives = within(OPENING, &name, client.exchange(request)).await;
        let directives = directives.map_err(error)?.map(move |directive| {
            let directive = directive.map_err(|status| error(failure(&status, &name)))?;
            Directive::try_from(directive).map_err(|bad| Error::Unreachable {
                peer: name.clone(),
                reason: format!("it answers nonsense: {bad}"),
            })
        });
        Ok(directives.boxed())
    }

    async fn join_at(
        &self,
        channel: Channel,
        address: &str,
        join: &JoinRequest,
        until: Instant,
    ) -> Result<v1::JoinResponse, Failure> {
        let mut request = signed(&self.lines, join_out(join));
        request.metadata_mut().remove(CLUSTER);
        request.metadata_mut().remove(MEMBER);
        let left = until.saturating_duration_since(Instant::now());
        request.set_timeout(left);
        let mut client = client(channel);
        within(left, address, client.join(request)).await
    }

    /// One question for the leader; a member that no longer leads sends us on, once.
    async fn ask<Q, A, F>(
        &self,
        (method, leader): (&'static str, &Peer),
        patience: Duration,
        message: Q,
        call: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let until = Instant::now() + patience;
        let at = async |peer: &Peer, message: Q| {
            let left = until.saturating_duration_since(Instant::now());
            let told = trace::calling(method, || peer.name.to_string());
            let mut request = told.sign(signed(&self.lines, message));
            request.set_timeout(left);
            let client = client(self.lines.to(peer, Purpose::Ask));
            let asked = call(client, request).instrument(told.span().clone());
            let answer = within(left, peer.name.as_str(), asked).await;
            told.end(answer.as_ref().map(drop).map_err(Failure::name));
            answer
        };
        let answer = match at(leader, message.clone()).await {
            Err(Failure::NotLeader(Some((_, other)))) if other != *leader => {
                at(&other, message).await
            }
            answer => answer,
        };
        answer.map_err(error)
    }
}

/// Reports on their way. A type with a name: behind a bare `dyn Stream` the compiler does not see
/// that tonic's future may move between threads.
struct Reports(BoxStream<'static, v1::Report>);

impl Stream for Reports {
    type Item = v1::Report;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<v1::Report>> {
        self.0.poll_next_unpin(cx)
    }
}

fn client(channel: Channel) -> Client {
    Client::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

/// What a failed question means to whoever asked it.
fn error(failure: Failure) -> Error {
    match failure {
        Failure::Refused(error) | Failure::Unreached(error) => error,
        Failure::NotLeader(_) => lost(false),
        Failure::Broken(reason) => {
            tracing::debug!(reason, "the leader was lost while it was asked");
            lost(true)
        }
        Failure::TimedOut => Error::Timeout,
    }
}

const fn lost(maybe_applied: bool) -> Error {
    Error::NoQuorum {
        retry_after: RETRY_AFTER,
        maybe_applied,
    }
}
