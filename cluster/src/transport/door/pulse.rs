//! `PulseService`: a member's reports up, this node's directives down.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use llm_router_proto::llm_router::cluster::v1;
use tonic::{Request, Response, Status, Streaming};
use v1::pulse_service_server::PulseService;

use super::caller::{Door, caller};
use crate::error::{Error, Refused};
use crate::pulse::Report;
use crate::transport::Seat;
use crate::transport::call::status;
use crate::wire::raft::fault::Fault;

/// What answers the pulse.
pub(super) struct Service {
    seat: Arc<dyn Seat>,
}

impl Service {
    pub(super) fn new(seat: Arc<dyn Seat>) -> Self {
        Service { seat }
    }
}

#[tonic::async_trait]
impl PulseService for Service {
    type ExchangeStream = BoxStream<'static, Result<v1::Directive, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<v1::Report>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let caller = caller(self.seat.as_ref(), &request, Door::Member)?;
        let member = caller.member.ok_or_else(|| {
            status(&Fault::Error(Error::Refused(Refused::NotMember {
                name: caller.node.to_string(),
            })))
        })?;
        let reports = sensible(request.into_inner(), caller.node.to_string());
        let directives = self
            .seat
            .exchange(member, reports)
            .map_err(|error| status(&Fault::Error(error)))?;
        let directives = directives.map(|directive| Ok(v1::Directive::from(directive)));
        Ok(Response::new(directives.boxed()))
    }
}

/// The reports until the stream breaks or one makes no sense.
fn sensible(reports: Streaming<v1::Report>, from: String) -> BoxStream<'static, Report> {
    reports
        .map(move |report| match report.map(Report::try_from) {
            Ok(Ok(report)) => Some(report),
            Ok(Err(bad)) => {
                tracing::warn!(from, reason = %bad, "a report is refused");
                None
            }
            Err(status) => {
                tracing::debug!(from, %status, "a pulse has ended");
                None
            }
        })
        .take_while(|report| std::future::ready(report.is_some()))
        .filter_map(std::future::ready)
        .boxed()
}
