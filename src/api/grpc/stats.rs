//! `StatsService`: the node's counters and the status of its models.

use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use llm_router_proto::llm_router::v1;
use llm_router_proto::llm_router::v1::stats_service_server::StatsService;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::identify::request_id;
use super::use_case::UseCase;
use super::{convert, status};
use crate::error::{Error, Kind};

const DEFAULT_INTERVAL_MS: u32 = 1_000;
/// Fastest and slowest pace of a watch, in milliseconds.
const INTERVALS_MS: (u32, u32) = (100, 60_000);

/// The service over a node.
#[derive(Clone, Debug)]
pub(super) struct StatsDoor<U> {
    node: U,
    /// Ends the watches, so that none holds up a drain.
    shutdown: CancellationToken,
}

impl<U: UseCase> StatsDoor<U> {
    pub(super) fn new(node: U, shutdown: CancellationToken) -> Self {
        StatsDoor { node, shutdown }
    }
}

fn interval(given_ms: u32) -> Duration {
    let (fastest, slowest) = INTERVALS_MS;
    let millis = if given_ms == 0 {
        DEFAULT_INTERVAL_MS
    } else {
        given_ms.clamp(fastest, slowest)
    };
    Duration::from_millis(millis.into())
}

#[tonic::async_trait]
impl<U: UseCase> StatsService for StatsDoor<U> {
    type WatchStatsStream = BoxStream<'static, Result<v1::WatchStatsResponse, Status>>;

    async fn get_stats(
        &self,
        _call: Request<v1::GetStatsRequest>,
    ) -> Result<Response<v1::GetStatsResponse>, Status> {
        Ok(Response::new(self.node.stats().into()))
    }

    async fn watch_stats(
        &self,
        call: Request<v1::WatchStatsRequest>,
    ) -> Result<Response<Self::WatchStatsStream>, Status> {
        let mut ticks = tokio::time::interval(interval(call.get_ref().interval_ms));
        // a reader that fell behind gets the present, not a burst of the past
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let node = self.node.clone();
        let counters = stream::unfold((ticks, node), |(mut ticks, node)| async move {
            ticks.tick().await;
            Some((Ok(node.stats().into()), (ticks, node)))
        });
        let until = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(counters.take_until(until).boxed()))
    }

    async fn get_model_status(
        &self,
        call: Request<v1::GetModelStatusRequest>,
    ) -> Result<Response<v1::GetModelStatusResponse>, Status> {
        let id = request_id(call.metadata().as_ref());
        let asked = call.into_inner().model;
        let found = self
            .node
            .models()
            .into_iter()
            .find(|(name, _)| name.as_str() == asked);
        let (_, found) = found.ok_or_else(|| {
            let error = Error::new(Kind::UnknownModel, "no configured model of that name");
            status::report(&error.with_param("model"), &id)
        })?;
        Ok(Response::new(convert::model_status(found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_never_faster_or_slower_than_its_bounds() {
        assert_eq!(interval(0), Duration::from_secs(1));
        assert_eq!(interval(1), Duration::from_millis(100));
        assert_eq!(interval(250), Duration::from_millis(250));
        assert_eq!(interval(u32::MAX), Duration::from_secs(60));
    }
}
