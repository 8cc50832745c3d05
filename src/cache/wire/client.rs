//! The other nodes' caches by gRPC, through the cluster's own connections.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use llm_router_cluster::command::{Change, Done};
use llm_router_cluster::placement::Cells;
use llm_router_cluster::{Author, Error, Handle, Line, MemberId, trace};
use llm_router_proto::llm_router::cluster::v1;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status, Streaming};
use tracing::Instrument as _;
use v1::cache_service_client::CacheServiceClient;

use super::convert;
use super::server::{FLY, LOOK, MAX_MESSAGE, STAND};
use crate::cache::answer::Purge;
use crate::cache::epochs::Table;
use crate::cache::key::EntryId;
use crate::cache::peers::link::{Link, Members, Unanswered};
use crate::cache::peers::words::{
    Ask, Compared, FlyAsk, FlyWord, Group, Kept, Offered, Parcel, Sampled, Seen, Stand, Told,
    Wanted,
};
use crate::types::Moment;

/// For the cluster to agree.
const AGREED_WITHIN: Duration = Duration::from_secs(5);
/// For entries to arrive.
const BROUGHT_WITHIN: Duration = Duration::from_secs(5);
/// For what costs the other node a look at all it holds.
const COMPARED_WITHIN: Duration = Duration::from_secs(10);

/// A cache's way to the others.
pub(crate) struct ClusterLink {
    handle: Handle,
    /// Cells as they were decoded last.
    cells: Mutex<Option<Arc<Cells>>>,
}

impl fmt::Debug for ClusterLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterLink(of {})", self.handle.node())
    }
}

type Client = CacheServiceClient<Line>;

impl ClusterLink {
    /// Through this cluster.
    pub(crate) fn new(handle: Handle) -> Self {
        ClusterLink {
            handle,
            cells: Mutex::default(),
        }
    }

    fn name_of(&self, member: MemberId) -> String {
        let state = self.handle.state();
        let known = state.members().get(&member);
        known.map_or_else(|| member.to_string(), |known| known.name.to_string())
    }

    fn to(&self, member: MemberId) -> Result<Client, Unanswered> {
        let line = self.handle.line(member);
        let line = line.ok_or_else(|| Unanswered::Unreached("no such member".to_owned()))?;
        Ok(CacheServiceClient::new(line)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE))
    }
}

/// Waits for an answer.
async fn within<T>(
    patience: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Unanswered> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(unanswered(&status)),
        Err(_) => Err(Unanswered::Late),
    }
}

fn unanswered(status: &Status) -> Unanswered {
    let code = status.code();
    if matches!(code, Code::DeadlineExceeded | Code::ResourceExhausted) {
        return Unanswered::Late;
    }
    Unanswered::Unreached(format!("{code:?}: {}", status.message()))
}

fn nonsense(bad: impl fmt::Display) -> Unanswered {
    Unanswered::Unreached(format!("it answers nonsense: {bad}"))
}

/// Waits for the first word about a flight.
async fn begun(
    mut replies: Streaming<v1::FlyReply>,
    over: Moment,
) -> Result<(FlyWord, Streaming<v1::FlyReply>), Unanswered> {
    let first = tokio::time::timeout_at(over.to_instant(), replies.next()).await;
    let first = first.map_err(|_| Unanswered::Late)?;
    let first = first.ok_or_else(|| Unanswered::Unreached("it says nothing".to_owned()))?;
    Ok((word(first)?, replies))
}

fn word(reply: Result<v1::FlyReply, Status>) -> Result<FlyWord, Unanswered> {
    let reply = reply.map_err(|status| unanswered(&status))?;
    FlyWord::try_from(reply).map_err(nonsense)
}

#[async_trait]
impl Link for ClusterLink {
    fn me(&self) -> MemberId {
        self.handle.member()
    }

    fn members(&self) -> Members {
        let status = self.handle.status();
        let mut members = Members::default();
        for node in status.nodes {
            if node.alive {
                members.alive.push(node.member);
            }
            members.names.insert(node.member, node.id.to_string());
        }
        members.alive.sort_unstable();
        members
    }

    fn leads(&self) -> bool {
        let status = self.handle.status();
        status.leader.as_ref() == Some(&status.node)
    }

    fn last_contact(&self) -> Option<Duration> {
        self.handle.last_contact()
    }

    fn keeps_up(&self) -> bool {
        self.handle.is_connected()
    }

    fn epochs(&self) -> Table {
        let state = self.handle.state();
        Table::agreed(
            state.cache_epoch(),
            state.cache_floor(),
            state.cache_scopes(),
        )
    }

    fn epoch(&self) -> u64 {
        self.handle.state().cache_epoch()
    }

    fn cells(&self, space: &str) -> Option<Arc<Cells>> {
        let state = self.handle.state();
        let (epoch, agreed) = state.centroids(space)?;
        let mut known = self.cells.lock();
        let same = |cells: &&Arc<Cells>| cells.epoch() == epoch && cells.space() == space;
        if let Some(cells) = known.as_ref().filter(same) {
            return Some(Arc::clone(cells));
        }
        match Cells::from_agreed(epoch, agreed) {
            Ok(cells) => Some(Arc::clone(known.insert(Arc::new(cells)))),
            Err(error) => {
                tracing::warn!(%error, "agreed cells cannot be used");
                None
            }
        }
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let mut states = self.handle.watch();
        states.mark_changed();
        stream::unfold(states, |mut states| async move {
            states.changed().await.ok()?;
            states.mark_unchanged();
            Some(((), states))
        })
        .boxed()
    }

    async fn call_off(&self, purge: &Purge) -> Result<u64, Error> {
        let change = Change::CacheEpoch {
            scope: purge.scope(),
        };
        let author = Author::new("cache purge");
        let done = self.handle.propose(change, author, AGREED_WITHIN).await?;
        let Done::Epoch { epoch } = done else {
            // the scope is called off, and what is applied here covers it
            return Ok(self.handle.state().cache_epoch());
        };
        Ok(epoch)
    }

    async fn recell(&self, expected: Option<u64>, cells: &Cells) -> Result<(), Error> {
        let change = Change::Centroids {
            expected,
            centroids: cells.to_agreed(),
        };
        let author = Author::new("cache cells");
        let agreed = self.handle.propose(change, author, AGREED_WITHIN).await;
        agreed.map(drop)
    }

    async fn look(&self, to: MemberId, ask: &Ask, patience: Duration) -> Result<Seen, Unanswered> {
        let mut client = self.to(to)?;
        let mut call = trace::calling(LOOK, || self.name_of(to));
        let request = call.sign(tonic::Request::new(convert::ask_out(ask)));
        let asked = client.look(request).instrument(call.span().clone());
        let seen = within(patience, asked).await;
        let seen = seen.and_then(|reply| Seen::try_from(reply).map_err(nonsense));
        if let Ok(seen) = &seen {
            call.answered(seen.word());
        }
        call.end(seen.as_ref().map(drop).map_err(Unanswered::name));
        seen
    }

    async fn fly(
        &self,
        to: MemberId,
        ask: FlyAsk,
        told: mpsc::Receiver<Told>,
        patience: Duration,
    ) -> Result<BoxStream<'static, FlyWord>, Unanswered> {
        let over = Moment::now() + patience;
        let mut client = self.to(to)?;
        let first = stream::once(std::future::ready(convert::fly_ask_out(ask)));
        let words = first.chain(ReceiverStream::new(told).map(v1::FlyRequest::from));
        let mut call = trace::calling(FLY, || self.name_of(to));
        let request = call.sign(tonic::Request::new(words));
        let asked = client.fly(request).instrument(call.span().clone());
        let begun = match within(patience, asked).await {
            Ok(replies) => begun(replies, over).await,
            Err(unanswered) => Err(unanswered),
        };
        let (first, replies) = match begun {
            Ok(begun) => begun,
            Err(unanswered) => {
                call.end(Err(unanswered.name()));
                return Err(unanswered);
            }
        };
        if let Some(decision) = first.decision() {
            call.answered(decision);
        }
        // a stream that breaks has ended: whoever reads takes it for given up
        let further = replies
            // the call lasts as long as its words
            .map(move |reply| {
                let word = word(reply);
                if let Err(broken) = &word {
                    call.broke(broken.name());
                }
                word.ok()
            })
            .take_while(|word| std::future::ready(word.is_some()))
            .filter_map(std::future::ready);
        Ok(stream::once(std::future::ready(first))
            .chain(further)
            .boxed())
    }

    async fn put(
        &self,
        to: MemberId,
        parcels: Vec<Parcel>,
        used: Vec<EntryId>,
        repair: bool,
    ) -> Result<Kept, Unanswered> {
        let mut client = self.to(to)?;
        let call = client.put(convert::put_out(parcels, &used, repair));
        Ok(within(BROUGHT_WITHIN, call).await?.into())
    }

    async fn offer(&self, to: MemberId, entries: Vec<Offered>) -> Result<Wanted, Unanswered> {
        let mut client = self.to(to)?;
        let call = client.offer(convert::offer_out(&entries));
        Ok(within(BROUGHT_WITHIN, call).await?.into())
    }

    async fn compare(
        &self,
        to: MemberId,
        placement: u64,
        groups: Vec<Group>,
    ) -> Result<Compared, Unanswered> {
        let mut client = self.to(to)?;
        let call = client.compare(convert::groups_out(placement, &groups));
        Ok(within(COMPARED_WITHIN, call).await?.into())
    }

    async fn stand(
        &self,
        to: MemberId,
        epoch: u64,
        patience: Duration,
    ) -> Result<Stand, Unanswered> {
        let mut client = self.to(to)?;
        let call = trace::calling(STAND, || self.name_of(to));
        let mut request = call.sign(tonic::Request::new(v1::StandRequest { epoch }));
        request.set_timeout(patience);
        let asked = client.stand(request).instrument(call.span().clone());
        let stand = within(patience, asked).await;
        call.end(stand.as_ref().map(drop).map_err(Unanswered::name));
        Ok(stand?.into())
    }

    async fn sample(&self, to: MemberId, space: &str, most: u32) -> Result<Sampled, Unanswered> {
        let mut client = self.to(to)?;
        let call = client.sample(v1::SampleRequest {
            space: space.to_owned(),
            most,
        });
        let reply = within(COMPARED_WITHIN, call).await?;
        reply.try_into().map_err(nonsense)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_does_not_come_or_makes_no_sense_breaks_its_flight() {
        let name = |reply| word(reply).expect_err("it is broken").name();
        assert_eq!(name(Err(Status::deadline_exceeded("x"))), "late");
        assert_eq!(name(Err(Status::unavailable("x"))), "unreached");
        assert_eq!(name(Ok(v1::FlyReply::default())), "unreached");
    }
}
