//! `grpc.health.v1.Health`: the door's own word on whether it takes calls.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use llm_router_proto::llm_router::v1::admin_service_server::SERVICE_NAME as ADMIN;
use llm_router_proto::llm_router::v1::router_service_server::SERVICE_NAME as ROUTER;
use llm_router_proto::llm_router::v1::stats_service_server::SERVICE_NAME as STATS;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthRpc, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

/// The services whose health is reported; the empty name is the node as a whole.
const REPORTED: [&str; 4] = ["", ROUTER, STATS, ADMIN];

/// A handle on what the health service answers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// Every service answers SERVING.
    pub(super) async fn serving() -> Self {
        let health = Health {
            reporter: HealthReporter::new(),
        };
        health.report(ServingStatus::Serving).await;
        health
    }

    /// Every service answers NOT_SERVING from now on, so that load balancers look elsewhere while
    /// running calls finish. Calls are still taken until the door is shut.
    pub async fn drain(&self) {
        self.report(ServingStatus::NotServing).await;
    }

    async fn report(&self, status: ServingStatus) {
        for name in REPORTED {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// The service to mount. Its watches end with `shutdown`.
    pub(super) fn service(&self, shutdown: CancellationToken) -> HealthServer<impl HealthRpc> {
        let inner = HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(Watched { inner, shutdown })
    }
}

/// The health service with an end to its watches, which would otherwise hold up a drain.
struct Watched {
    inner: HealthService,
    shutdown: CancellationToken,
}

#[tonic::async_trait]
impl HealthRpc for Watched {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        call: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.inner.check(call).await
    }

    async fn watch(
        &self,
        call: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let until = self.shutdown.clone().cancelled_owned();
        let watch = self.inner.watch(call).await?;
        Ok(watch.map(|changes| changes.take_until(until).boxed()))
    }
}
