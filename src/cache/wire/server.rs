//! `CacheService`: who calls was judged at the door; this converts, hands over to the cache on the
//! node's own threads, and converts back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use llm_router_cluster::{Guest, Visitor, trace};
use llm_router_proto::llm_router::cluster::v1;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument as _, Span};
use v1::cache_service_server::{CacheService, CacheServiceServer};

use super::convert;
use crate::cache::Inner;
use crate::cache::peers::words::{Ask, FlyAsk, Seen};
use crate::cache::peers::{flight, serve};

/// Largest message, both ways: the largest answer a cache may keep, with room.
pub(super) const MAX_MESSAGE: usize = 24 << 20;
/// The calls made for a request, by name, as both ends tell them in traces.
pub(super) const LOOK: &str = "llm_router.cluster.v1.CacheService/Look";
pub(super) const FLY: &str = "llm_router.cluster.v1.CacheService/Fly";
pub(super) const STAND: &str = "llm_router.cluster.v1.CacheService/Stand";
/// Most calls worked on at once; one more is refused, which is a miss to who asks.
const MAX_CALLS: usize = 512;
/// For the question on a flight's stream; callers send it with the call.
const FIRST_WITHIN: Duration = Duration::from_secs(2);
/// Longest a node is made to wait for another's forgetting.
const STAND_WITHIN: Duration = Duration::from_millis(1900);

/// The service to put behind the node-to-node door. Its work is done on the runtime this is called
/// on.
pub(crate) fn guest(inner: Arc<Inner>) -> Guest {
    let service = CacheServiceServer::new(Server {
        inner,
        runtime: Handle::current(),
        room: Semaphore::new(MAX_CALLS),
    });
    let service = service
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    Guest::new(service)
}

struct Server {
    inner: Arc<Inner>,
    runtime: Handle,
    room: Semaphore,
}

impl Server {
    /// Runs where the node works, not where its door is.
    async fn there<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Status> {
        let permit = self.room.try_acquire();
        let _permit = permit.map_err(|_| Status::resource_exhausted("too much is asked"))?;
        // given up with the call
        let done = AbortOnDropHandle::new(self.runtime.spawn(work)).await;
        done.map_err(|_| Status::unavailable("the cache is shutting down"))
    }

    async fn looked(&self, request: v1::LookRequest, span: &Span) -> Result<Seen, Status> {
        let ask = Ask::try_from(request)?;
        let inner = Arc::clone(&self.inner);
        let looking = async move { serve::look(&inner, &ask).await };
        self.there(looking.instrument(span.clone())).await
    }
}

/// What a flight's stream begins with, and the words after it.
async fn asked(
    mut words: Streaming<v1::FlyRequest>,
) -> Result<(FlyAsk, Streaming<v1::FlyRequest>), Status> {
    let first = tokio::time::timeout(FIRST_WITHIN, words.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("nothing is asked"))??;
    let first = first.ok_or_else(|| Status::invalid_argument("nothing is asked"))?;
    Ok((convert::fly_ask_in(first)?, words))
}

fn visitor<T>(request: &Request<T>) -> Result<Visitor, Status> {
    let visitor = request.extensions().get::<Visitor>().cloned();
    visitor.ok_or_else(|| Status::permission_denied("the caller is not known"))
}

#[tonic::async_trait]
impl CacheService for Server {
    async fn look(
        &self,
        request: Request<v1::LookRequest>,
    ) -> Result<Response<v1::LookReply>, Status> {
        let peer = visitor(&request)?.node;
        let mut call = trace::answering(LOOK, request.metadata(), peer.as_str());
        let seen = self.looked(request.into_inner(), call.span()).await;
        if let Ok(seen) = &seen {
            call.answered(seen.word());
        }
        let failed = seen.as_ref().map(drop);
        call.end(failed.map_err(|status| trace::code_name(status.code())));
        Ok(Response::new(seen?.into()))
    }

    type FlyStream = BoxStream<'static, Result<v1::FlyReply, Status>>;

    async fn fly(
        &self,
        request: Request<Streaming<v1::FlyRequest>>,
    ) -> Result<Response<Self::FlyStream>, Status> {
        let peer = visitor(&request)?.node;
        let mut call = trace::answering(FLY, request.metadata(), peer.as_str());
        let (ask, words) = match asked(request.into_inner()).await {
            Ok(asked) => asked,
            Err(status) => return Err(call.refused(status)),
        };
        // a stream that breaks or makes no sense has ended: its answer is given up
        let told = words
            .map(|word| word.ok().and_then(|word| convert::told_in(word).ok()))
            .take_while(|told| std::future::ready(told.is_some()))
            .filter_map(std::future::ready)
            .boxed();
        let answer = {
            // a glance at a few tables: two changes of thread would cost more. Tasks begun by it
            // run where the node works.
            let _there = self.runtime.enter();
            let span = call.span().clone();
            span.in_scope(|| flight::fly(&self.inner, ask, told))
        };
        // the call lasts as long as its words
        let answer = answer.map(move |word| {
            if let Some(word) = word.decision() {
                call.answered(word);
            }
            Ok(v1::FlyReply::from(word))
        });
        Ok(Response::new(answer.boxed()))
    }

    async fn put(
        &self,
        request: Request<v1::PutRequest>,
    ) -> Result<Response<v1::PutReply>, Status> {
        visitor(&request)?;
        let v1::PutRequest {
            parcels,
            used,
            repair,
        } = request.into_inner();
        let (parcels, used) = (convert::parcels_in(parcels)?, convert::used_in(&used)?);
        let inner = Arc::clone(&self.inner);
        let kept = self.there(async move { serve::put(&inner, parcels, used, repair).await });
        Ok(Response::new(kept.await?.into()))
    }

    async fn offer(
        &self,
        request: Request<v1::OfferRequest>,
    ) -> Result<Response<v1::OfferReply>, Status> {
        visitor(&request)?;
        let entries = convert::offer_in(request.into_inner())?;
        let inner = Arc::clone(&self.inner);
        let wanted = self.there(async move { serve::offer(&inner, &entries) });
        Ok(Response::new(wanted.await?.into()))
    }

    async fn compare(
        &self,
        request: Request<v1::CompareRequest>,
    ) -> Result<Response<v1::CompareReply>, Status> {
        let from = visitor(&request)?.member;
        let v1::CompareRequest { placement, groups } = request.into_inner();
        let groups = convert::groups_in(groups)?;
        let inner = Arc::clone(&self.inner);
        let compared =
            self.there(async move { serve::compare(&inner, from, placement, groups).await });
        Ok(Response::new(compared.await?.into()))
    }

    async fn stand(
        &self,
        request: Request<v1::StandRequest>,
    ) -> Result<Response<v1::StandReply>, Status> {
        let peer = visitor(&request)?.node;
        let call = trace::answering(STAND, request.metadata(), peer.as_str());
        let epoch = request.into_inner().epoch;
        let inner = Arc::clone(&self.inner);
        let standing = async move { serve::stand(&inner, epoch, STAND_WITHIN).await };
        let stand = self.there(standing.instrument(call.span().clone())).await;
        let failed = stand.as_ref().map(drop);
        call.end(failed.map_err(|status| trace::code_name(status.code())));
        Ok(Response::new(stand?.into()))
    }

    async fn sample(
        &self,
        request: Request<v1::SampleRequest>,
    ) -> Result<Response<v1::SampleReply>, Status> {
        visitor(&request)?;
        let v1::SampleRequest { space, most } = request.into_inner();
        let inner = Arc::clone(&self.inner);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let sampled = self.there(async move {
            tokio::task::spawn_blocking(move || serve::sample(&inner, &space, most)).await
        });
        let sampled = sampled.await?;
        let sampled = sampled.map_err(|_| Status::unavailable("the cache is shutting down"))?;
        Ok(Response::new(sampled.into()))
    }
}
